//! Trigger functions of the extension's own tables and events.

use crate::catalog::{protection, registry};
use crate::native_trigger;

native_trigger! {
    /// `tenancy.registry_changed()`: tells every session that tenants or accesses changed, so that
    /// plain DML on the registry counts at once too.
    tenancy_registry_changed, pg_finfo_tenancy_registry_changed, registry::announce_change
}

native_trigger! {
    /// `tenancy.forget_dropped()`: removes the records of dropped tables.
    tenancy_forget_dropped, pg_finfo_tenancy_forget_dropped, protection::forget_dropped
}
