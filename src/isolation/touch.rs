//! A statement is about to touch tables. What row security alone leaves open is asked here: a role that
//! it does not bind, and a context that somebody has forgotten.

use super::{bypass, reassign, unwritten};
use crate::catalog::{changed, protection};
use crate::error::{Error, Result};
use crate::guc::{self, OnMissing};
use crate::sys::backend::BackendCell;
use crate::sys::permissions::{self, Checks};
use crate::sys::{INVALID_OID, Oid, hooks, invalidation, relation, role, xact};

type HasTenant = fn() -> bool;

/// The role that was last found to be bound by row security; an invalid OID when that may have changed.
static BOUND: BackendCell<Oid> = BackendCell::new(INVALID_OID);

static HAS_TENANT: BackendCell<HasTenant> = BackendCell::new(|| false);

/// Connects the checks to PostgreSQL. Called once per backend; `has_tenant` tells whether a context is set.
pub fn init(has_tenant: HasTenant) {
    HAS_TENANT.set(has_tenant);
    changed::init();
    invalidation::on_relation(|relation| {
        protection::relation_changed(relation);
        changed::relation_changed(relation);
    });
    xact::on_end(transaction_ended);
    xact::on_rollback_to_savepoint(permissions::rolled_back);
    invalidation::on_role(|| BOUND.set(INVALID_OID));
    unwritten::init();
    permissions::install(Checks { passes, touched, touched_on_the_way });
    hooks::guard_reassigning(reassign::check);
}

/// What most statements are: those of a role that is known to be bound, on whatever table, or on tables that are
/// known not to be protected. Not while something waits to be written, which is tried again then.
fn passes(table: Oid, user: Oid) -> bool {
    if unwritten::is_waiting() {
        return false;
    }
    let bound = BOUND.get();
    (bound != INVALID_OID && bound == user && guc::on_missing() == OnMissing::Empty)
        || protection::is_known_unprotected(table)
}

fn transaction_ended(committed: bool) {
    permissions::rolled_back();
    changed::transaction_ended();
    bypass::transaction_ended(committed);
}

fn touched(table: Oid, user: Oid) -> Result<()> {
    if unwritten::is_waiting() {
        unwritten::try_again();
    }
    if role::bypasses(user) {
        return if protection::is_protected(table) { bypass::check(table, user) } else { Ok(()) };
    }
    BOUND.set(user);
    if guc::on_missing() == OnMissing::Error && protection::is_protected(table) && !HAS_TENANT.get()() {
        let name = relation::name(table).unwrap_or_else(|| table.to_u32().to_string());
        return Err(Error::NoTenantForTable(name));
    }
    Ok(())
}

/// What PostgreSQL does for a foreign key it does past row security, for the rows that the key ties together. What is
/// called on the way has no such bounds. Who bypasses row security anyway, or has said why, is let through, to be asked as
/// always.
fn touched_on_the_way(table: Oid, user: Oid) -> Result<()> {
    let bypasses = role::bypasses(role::outer()) || role::bypasses(user) && bypass::is_declared(user);
    if bypasses || !protection::is_protected(table) {
        return Ok(());
    }
    Err(Error::OnTheWay(relation::name(table).unwrap_or_else(|| table.to_u32().to_string())))
}
