//! Where the tables lie that the context is resolved from, and how a change of them is announced.

use crate::error::{Error, Result};
use crate::sys::backend::BackendCell;
use crate::sys::{INVALID_OID, Oid, directory, invalidation, relation, role, scan};
use std::ffi::CStr;

const SCHEMA: &CStr = c"tenancy";

/// OIDs of the tables and indexes that are read as catalogs are.
#[derive(Debug, Clone, Copy)]
pub struct Registry {
    pub tenants: Oid,
    pub tenants_by_id: Oid,
    pub tenants_by_key: Oid,
    pub access: Oid,
    pub access_by_tenant: Oid,
    pub jwt_keys: Oid,
    pub jwt_keys_by_kid: Oid,
    pub protection: Oid,
    pub protection_by_relation: Oid,
    pub audited: Oid,
    pub audited_by_relation: Oid,
    pub audit_log: Oid,
    pub audit_log_ids: Oid,
}

static REGISTRY: BackendCell<Option<Registry>> = BackendCell::new(None);

/// The registry of this database.
pub fn get() -> Result<Registry> {
    if let Some(registry) = REGISTRY.get() {
        return Ok(registry);
    }
    let oid = |name| scan::relation_oid(SCHEMA, name).ok_or(Error::NotInstalled);
    let registry = Registry {
        tenants: oid(c"tenants")?,
        tenants_by_id: oid(c"tenants_pkey")?,
        tenants_by_key: oid(c"tenants_key_key")?,
        access: oid(c"access")?,
        access_by_tenant: oid(c"access_tenant_id_role_key")?,
        jwt_keys: oid(c"jwt_keys")?,
        jwt_keys_by_kid: oid(c"jwt_keys_pkey")?,
        protection: oid(c"protection")?,
        protection_by_relation: oid(c"protection_pkey")?,
        audited: oid(c"audited")?,
        audited_by_relation: oid(c"audited_pkey")?,
        audit_log: oid(c"audit_log")?,
        audit_log_ids: oid(c"audit_log_id_seq")?,
    };
    REGISTRY.set(Some(registry));
    Ok(registry)
}

/// Whether a relation is one that resolving reads. Can't fail.
pub fn is_part(relation: Oid) -> bool {
    REGISTRY.get().is_some_and(|registry| [registry.tenants, registry.access, registry.jwt_keys].contains(&relation))
}

/// Whether a relation is the table of protected tables. Can't fail.
pub fn is_protection(relation: Oid) -> bool {
    REGISTRY.get().is_some_and(|registry| relation == registry.protection)
}

/// The tables may have been dropped and made again. Can't fail.
pub fn forget() {
    REGISTRY.set(None);
    super::protection::relation_changed(INVALID_OID);
}

/// Tells every session that tenants or accesses changed.
pub fn announce_change() -> Result<()> {
    directory::change_begins();
    invalidation::announce(get()?.tenants);
    Ok(())
}

/// Runs `work` as the owner of the extension's tables, for what a caller may cause but not do.
pub fn as_owner<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    let owner = relation::brief(get()?.tenants)?.owner;
    role::acting_as(owner, work)
}
