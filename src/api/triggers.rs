//! Trigger functions of the extension's own tables and events.

use crate::catalog::{protection, registry};
use crate::context::Status;
use crate::error::Result;
use crate::sys::Oid;
use crate::{audit, context, isolation, quota};
use crate::{native_change_trigger, native_command_trigger, native_row_trigger, native_trigger};

native_trigger! {
    /// `tenancy.registry_changed()`: tells every session that tenants or accesses changed, so that
    /// plain DML on the registry counts at once too.
    tenancy_registry_changed, pg_finfo_tenancy_registry_changed, |_| registry::announce_change()
}

native_trigger! {
    /// `tenancy.members_changed()`: the same of members.
    tenancy_members_changed, pg_finfo_tenancy_members_changed, |_| registry::announce_members()
}

native_row_trigger! {
    /// `tenancy.note_load()`: records what plain SQL has registered.
    tenancy_note_load, pg_finfo_tenancy_note_load, crate::registry::loaded
}

native_row_trigger! {
    /// `tenancy.keep_owner()`: refuses to leave a tenant without an owner.
    tenancy_keep_owner, pg_finfo_tenancy_keep_owner, crate::registry::owner_left
}

native_row_trigger! {
    /// `tenancy.plan_moved()`: tells of a tenant's change of plan.
    tenancy_plan_moved, pg_finfo_tenancy_plan_moved, crate::registry::plan_moved
}

native_row_trigger! {
    /// `tenancy.parent_set()`: refuses a place in the tree that can't be.
    tenancy_parent_set, pg_finfo_tenancy_parent_set, crate::registry::parent_set
}

native_row_trigger! {
    /// `tenancy.parent_left()`: refuses to leave tenants without their parent.
    tenancy_parent_left, pg_finfo_tenancy_parent_left, crate::registry::parent_left
}

native_trigger! {
    /// `tenancy.forget_dropped()`: removes the records of dropped tables.
    tenancy_forget_dropped, pg_finfo_tenancy_forget_dropped, |_| protection::forget_dropped()
}

native_command_trigger! {
    /// `tenancy.follow_schema()`: keeps what is recorded of a schema under its new name.
    tenancy_follow_schema, pg_finfo_tenancy_follow_schema, isolation::follow_schema
}

native_command_trigger! {
    /// `tenancy.guard_removal()`: before the extension is dropped.
    tenancy_guard_removal, pg_finfo_tenancy_guard_removal, isolation::before_removal
}

native_trigger! {
    /// `tenancy.guard_truncate()`: refuses TRUNCATE of a protected table.
    tenancy_guard_truncate, pg_finfo_tenancy_guard_truncate, guard_truncate
}

fn guard_truncate(table: Option<Oid>) -> Result<()> {
    isolation::check_truncate(table, context::copied_id()?.is_some())
}

native_trigger! {
    /// `tenancy.guard_command()`: looks at what a DDL command did.
    tenancy_guard_command, pg_finfo_tenancy_guard_command, |_| after_command()
}

fn after_command() -> Result<()> {
    isolation::after_command()?;
    quota::after_command()?;
    audit::after_command()
}

native_trigger! {
    /// `tenancy.guard_grant()`: looks at what GRANT did.
    tenancy_guard_grant, pg_finfo_tenancy_guard_grant, |_| isolation::after_grant()
}

native_trigger! {
    /// `tenancy.guard_drop()`: looks at what a DDL command dropped.
    tenancy_guard_drop, pg_finfo_tenancy_guard_drop, |_| isolation::after_drop()
}

native_row_trigger! {
    /// `tenancy.count_rows()`: counts what a statement wrote to a table that counts for a quota.
    tenancy_count_rows, pg_finfo_tenancy_count_rows, quota::rows_written
}

native_row_trigger! {
    /// `tenancy.limits_changed()`: shares out a limit that was changed.
    tenancy_limits_changed, pg_finfo_tenancy_limits_changed, quota::limits_changed
}

native_row_trigger! {
    /// `tenancy.resources_changed()`: tells every session that resources or limits changed.
    tenancy_resources_changed, pg_finfo_tenancy_resources_changed, quota::resources_changed
}

native_row_trigger! {
    /// `tenancy.plan_changed()`: shares out the limits of another plan.
    tenancy_plan_changed, pg_finfo_tenancy_plan_changed, quota::plan_changed
}

native_trigger! {
    /// `tenancy.count_parts()`: has parts that came to a counted table count as well.
    tenancy_count_parts, pg_finfo_tenancy_count_parts, |_| quota::take_in_parts()
}

native_change_trigger! {
    /// `tenancy.audit_change()`: records what a statement changed.
    tenancy_audit_change, pg_finfo_tenancy_audit_change, |change| audit::changed(change, ASKS)
}

const ASKS: audit::Asks = audit::Asks {
    reason: isolation::declared_reason,
    acting: || match context::status() {
        Status::Acting { id, .. } => Some(id),
        _ => None,
    },
};

native_trigger! {
    /// `tenancy.guard_audit_log()`: refuses to change the audit log.
    tenancy_guard_audit_log, pg_finfo_tenancy_guard_audit_log, |_| audit::check_log()
}
