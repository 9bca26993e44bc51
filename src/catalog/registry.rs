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
    pub tenants_by_parent: Oid,
    pub access: Oid,
    pub access_by_tenant: Oid,
    pub plans: Oid,
    pub plans_by_name: Oid,
    pub defaults: Oid,
    pub defaults_only: Oid,
    pub tenants_with_postgres: Oid,
    pub plans_with_postgres: Oid,
    pub defaults_with_postgres: Oid,
    pub hosts: Oid,
    pub hosts_by_name: Oid,
    pub members: Oid,
    pub members_by_user: Oid,
    pub jwt_keys: Oid,
    pub jwt_keys_by_kid: Oid,
    pub protection: Oid,
    pub protection_by_relation: Oid,
    pub audited: Oid,
    pub audited_by_relation: Oid,
    pub audit_log: Oid,
    pub audit_log_ids: Oid,
}

impl Registry {
    fn has(&self, relation: Oid) -> bool {
        [
            self.tenants,
            self.tenants_by_id,
            self.tenants_by_key,
            self.tenants_by_parent,
            self.access,
            self.access_by_tenant,
            self.plans,
            self.plans_by_name,
            self.defaults,
            self.defaults_only,
            self.tenants_with_postgres,
            self.plans_with_postgres,
            self.defaults_with_postgres,
            self.hosts,
            self.hosts_by_name,
            self.members,
            self.members_by_user,
            self.jwt_keys,
            self.jwt_keys_by_kid,
            self.protection,
            self.protection_by_relation,
            self.audited,
            self.audited_by_relation,
            self.audit_log,
            self.audit_log_ids,
        ]
        .contains(&relation)
    }
}

/// As last looked up: a table that is still there is known again by its OID, whatever became of its indexes.
static REGISTRY: BackendCell<Option<Registry>> = BackendCell::new(None);

/// Whether all has to be looked up anew: an index is another one after REINDEX CONCURRENTLY. Set by invalidation callbacks.
static OUTDATED: BackendCell<bool> = BackendCell::new(true);

/// The registry of this database.
pub fn get() -> Result<Registry> {
    if let (false, Some(registry)) = (OUTDATED.get(), REGISTRY.get()) {
        return Ok(registry);
    }
    // What comes while looking outdates it again.
    OUTDATED.set(false);
    let found = look_up();
    match found {
        Ok(registry) => REGISTRY.set(Some(registry)),
        Err(_) => OUTDATED.set(true),
    }
    found
}

fn look_up() -> Result<Registry> {
    let oid = |name| scan::relation_oid(SCHEMA, name).ok_or(Error::NotInstalled);
    Ok(Registry {
        tenants: oid(c"tenants")?,
        tenants_by_id: oid(c"tenants_pkey")?,
        tenants_by_key: oid(c"tenants_key_key")?,
        tenants_by_parent: oid(c"tenants_parent_idx")?,
        access: oid(c"access")?,
        access_by_tenant: oid(c"access_tenant_id_role_key")?,
        plans: oid(c"plans")?,
        plans_by_name: oid(c"plans_pkey")?,
        defaults: oid(c"default_settings")?,
        defaults_only: oid(c"default_settings_pkey")?,
        tenants_with_postgres: oid(c"tenants_with_postgres_idx")?,
        plans_with_postgres: oid(c"plans_with_postgres_idx")?,
        defaults_with_postgres: oid(c"default_settings_with_postgres_idx")?,
        hosts: oid(c"hosts")?,
        hosts_by_name: oid(c"hosts_pkey")?,
        members: oid(c"members")?,
        members_by_user: oid(c"members_pkey")?,
        jwt_keys: oid(c"jwt_keys")?,
        jwt_keys_by_kid: oid(c"jwt_keys_pkey")?,
        protection: oid(c"protection")?,
        protection_by_relation: oid(c"protection_pkey")?,
        audited: oid(c"audited")?,
        audited_by_relation: oid(c"audited_pkey")?,
        audit_log: oid(c"audit_log")?,
        audit_log_ids: oid(c"audit_log_id_seq")?,
    })
}

/// Called when a relation changed. Can't fail.
pub fn relation_changed(relation: Oid) {
    if REGISTRY.get().is_some_and(|registry| registry.has(relation)) {
        OUTDATED.set(true);
    }
}

/// Whether a relation is one that resolving reads. Can't fail.
pub fn is_part(relation: Oid) -> bool {
    REGISTRY.get().is_some_and(|registry| [registry.tenants, registry.access, registry.jwt_keys].contains(&relation))
}

/// Whether a relation is the table of members. Can't fail.
pub fn is_members(relation: Oid) -> bool {
    REGISTRY.get().is_some_and(|registry| relation == registry.members)
}

/// What the event is called when rows come into this table; `None` for others.
pub fn load_event(table: Oid) -> Result<Option<&'static str>> {
    let registry = get()?;
    Ok(if table == registry.tenants {
        Some("tenants.loaded")
    } else if table == registry.hosts {
        Some("hosts.loaded")
    } else if table == registry.members {
        Some("members.loaded")
    } else {
        None
    })
}

/// Whether a relation is the table of protected tables. Can't fail.
pub fn is_protection(relation: Oid) -> bool {
    REGISTRY.get().is_some_and(|registry| relation == registry.protection)
}

/// The tables may have been dropped and made again. Can't fail.
pub fn forget() {
    OUTDATED.set(true);
    super::protection::relation_changed(INVALID_OID);
}

/// Tells every session that tenants or accesses changed.
pub fn announce_change() -> Result<()> {
    directory::change_begins();
    invalidation::announce(get()?.tenants);
    Ok(())
}

/// Tells every session that members changed.
pub fn announce_members() -> Result<()> {
    invalidation::announce(get()?.members);
    Ok(())
}

/// Runs `work` as the owner of the extension's tables, for what a caller may cause but not do.
pub fn as_owner<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    let owner = relation::brief(get()?.tenants)?.owner;
    role::acting_as(owner, work)
}
