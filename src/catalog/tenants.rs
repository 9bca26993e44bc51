//! `tenancy.tenants`.

use super::registry::{self, Registry};
use super::{event, spi};
use crate::error::{Error, Result};
use crate::guc;
use crate::sys::directory::{self, Entry, Home, Name};
use crate::sys::json::{self, Jsonb};
use crate::sys::scan::{self, Key, Place};
use crate::sys::session;
use crate::tenant::{TenantKey, TenantRef};
use uuid::Uuid;

// Attribute numbers of the table, fixed by its DDL; new columns come after these.
const ID: i16 = 1;
const KEY: i16 = 2;
const STATUS: i16 = 4;
const REGION: i16 = 6;

const ACTIVE: &str = "active";

/// What the context needs to know of a tenant.
#[derive(Debug, Clone)]
pub struct TenantRow {
    pub id: Uuid,
    pub key: TenantKey,
    pub status: String,
    pub region: Option<String>,
    /// Where the row lies, for who reads more of it soon.
    pub place: Option<Place>,
}

impl TenantRow {
    pub fn is_active(&self) -> bool {
        self.status == ACTIVE
    }
}

/// Asks for the memory that sessions share. Called once per backend.
pub fn init() {
    directory::init(guc::shared_tenants());
}

/// The tenant as last committed, if there is one by that name. Active ones come from the memory that
/// sessions share, where there is one and they are in it.
pub fn find(tenant: &TenantRef) -> Result<Option<TenantRow>> {
    let registry = registry::get()?;
    let home = Home { database: session::database(), table: registry.tenants };
    let name = match tenant {
        TenantRef::Id(id) => Name::Id(id.as_bytes()),
        TenantRef::Key(key) => Name::Key(key.as_str()),
    };
    if let Some(entry) = directory::find(home, name) {
        return Ok(Some(TenantRow {
            id: Uuid::from_bytes(entry.id),
            key: TenantKey::stored(entry.key),
            status: ACTIVE.into(),
            region: None,
            place: Some(entry.place),
        }));
    }
    let ticket = directory::ticket_to_enter();
    let found = read_registry(registry, tenant)?;
    if let (Some(ticket), Some(row)) = (ticket, &found)
        && let Some(place) = row.place
        && row.is_active()
        && row.region.is_none()
    {
        let entry = Entry { id: *row.id.as_bytes(), key: row.key.as_str().to_owned(), place };
        directory::enter(ticket, home, name, &entry);
    }
    Ok(found)
}

fn read_registry(registry: Registry, tenant: &TenantRef) -> Result<Option<TenantRow>> {
    let (index, key) = match tenant {
        TenantRef::Id(id) => (registry.tenants_by_id, (ID, Key::Uuid(*id))),
        TenantRef::Key(key) => (registry.tenants_by_key, (KEY, Key::Text(key.as_str()))),
    };
    let mut found = None;
    scan::find(registry.tenants, index, &[key], |row| {
        found = Some(read(row));
        true
    });
    found.transpose()
}

fn read(row: &scan::Row) -> Result<TenantRow> {
    let text = |attribute: i16| row.text(attribute as usize);
    let key = text(KEY).ok_or(Error::NotInstalled)?;
    Ok(TenantRow {
        id: row.uuid(ID as usize).ok_or(Error::NotInstalled)?,
        key: TenantKey::stored(key),
        status: text(STATUS).ok_or(Error::NotInstalled)?,
        region: text(REGION),
        place: Some(row.place()),
    })
}

/// A tenant to be registered.
pub struct NewTenant {
    pub id: Option<Uuid>,
    pub key: Option<TenantKey>,
    pub name: Option<String>,
    pub plan: Option<String>,
    pub region: Option<String>,
    /// An object.
    pub settings: Option<Jsonb>,
    pub parent: Option<Uuid>,
}

/// Inserts a tenant; without an id it gets a random one, without a key its id. Returns the id, or
/// `None` when the id or the key is taken.
pub fn insert(tenant: NewTenant) -> Result<Option<Uuid>> {
    let _told = event::told();
    let rows = spi::write_kept(
        "INSERT INTO tenancy.tenants (id, key, name, plan, region, settings, parent) \
         SELECT new.id, coalesce($2, new.id::pg_catalog.text), $3, $4, $5, coalesce($6, '{}'), $7 \
         FROM (SELECT coalesce($1, pg_catalog.gen_random_uuid()) AS id) AS new \
         ON CONFLICT DO NOTHING RETURNING id",
        &[
            tenant.id.map(pg_uuid).into(),
            tenant.key.map(|key| key.as_str().to_owned()).into(),
            tenant.name.into(),
            tenant.plan.into(),
            tenant.region.into(),
            json::argument(tenant.settings.as_ref()),
            tenant.parent.map(pg_uuid).into(),
        ],
        |row| row.require::<pgrx::Uuid>(1),
    )?;
    Ok(rows.first().map(|id| Uuid::from_bytes(*id.as_bytes())))
}

/// The tenant, locked until the transaction ends so that its status can be moved.
pub fn lock(tenant: &TenantRef) -> Result<Option<TenantRow>> {
    const QUERY: &str = "SELECT id, key, status, region FROM tenancy.tenants \
                         WHERE id OPERATOR(pg_catalog.=) $1 OR key OPERATOR(pg_catalog.=) $2 \
                         FOR NO KEY UPDATE";
    let (id, key) = match tenant {
        TenantRef::Id(id) => (Some(pg_uuid(*id)), None),
        TenantRef::Key(key) => (None, Some(key.as_str().to_owned())),
    };
    let rows = spi::write(QUERY, &[id.into(), key.into()], |row| {
        Ok(TenantRow {
            id: Uuid::from_bytes(*row.require::<pgrx::Uuid>(1)?.as_bytes()),
            key: TenantKey::stored(row.require(2)?),
            status: row.require(3)?,
            region: row.get(4)?,
            place: None,
        })
    })?;
    Ok(rows.into_iter().next())
}

/// Moves a tenant to another status.
pub fn set_status(id: Uuid, status: &str) -> Result<()> {
    spi::run(
        "UPDATE tenancy.tenants SET status = $2, status_changed_at = pg_catalog.now() \
         WHERE id OPERATOR(pg_catalog.=) $1",
        &[pg_uuid(id).into(), status.into()],
    )?;
    Ok(())
}

/// A UUID as SPI takes it.
pub fn pg_uuid(id: Uuid) -> pgrx::Uuid {
    pgrx::Uuid::from_bytes(*id.as_bytes())
}
