//! A statement is about to touch tables. What row security alone leaves open is asked here: a role that
//! it does not bind, and a context that somebody has forgotten.

use super::bypass;
use crate::catalog::protection;
use crate::error::{Error, Result};
use crate::guc::{self, OnMissing};
use crate::sys::backend::BackendCell;
use crate::sys::permissions::{self, Checks};
use crate::sys::{Oid, invalidation, relation, role, xact};

type HasTenant = fn() -> bool;

static HAS_TENANT: BackendCell<HasTenant> = BackendCell::new(|| false);

/// Connects the guards to PostgreSQL. Called once per backend; `has_tenant` tells whether a context is set.
pub fn init(has_tenant: HasTenant) {
    HAS_TENANT.set(has_tenant);
    invalidation::on_relation(protection::relation_changed);
    xact::on_end(transaction_ended);
    xact::on_rollback_to_savepoint(permissions::rolled_back);
    permissions::install(Checks { is_exempt: protection::is_known_unprotected, touched });
}

fn transaction_ended(committed: bool) {
    permissions::rolled_back();
    bypass::transaction_ended(committed);
}

fn touched(table: Oid, user: Oid) -> Result<()> {
    if !protection::is_protected(table) {
        return Ok(());
    }
    if role::bypasses(user) {
        return bypass::check(table, user);
    }
    if guc::on_missing() == OnMissing::Error && !HAS_TENANT.get()() {
        let name = relation::name(table).unwrap_or_else(|| table.to_u32().to_string());
        return Err(Error::NoTenantForTable(name));
    }
    Ok(())
}
