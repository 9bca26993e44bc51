//! Settings of tenants and plans, and the defaults of both: `tenancy.tenants`, `tenancy.plans`, `tenancy.default_settings`.

use super::tree::{Stacked, Tree};
use super::{registry, spi, tenants::pg_uuid};
use crate::error::{Error, Result};
use crate::sys::json::JsonbImage;
use crate::sys::scan::{self, Key, Place, Row};
use crate::sys::{json, option};
use std::ffi::CStr;
use uuid::Uuid;

// Attribute numbers of the tables, fixed by their DDL; new columns come after these.
const TENANT_ID: i16 = 1;
const TENANT_PLAN: usize = 5;
const TENANT_SETTINGS: usize = 7;
const PLAN_NAME: i16 = 1;
const PLAN_SETTINGS: usize = 2;
const DEFAULTS_ONLY: i16 = 1;
const DEFAULTS_SETTINGS: usize = 2;

/// A tenant's plan, and its own settings, as last committed; also how many bytes they were read from. Its row is looked for at
/// `place` first.
pub fn of_tenant(tenant: Uuid, place: Option<Place>) -> Result<(Option<String>, Tree, usize)> {
    let registry = registry::get()?;
    let (mut plan, mut own) = (None, None);
    let mut read = |row: &Row| {
        plan = row.text(TENANT_PLAN);
        own = row.json(TENANT_SETTINGS);
    };
    if !place.is_some_and(|place| scan::find_at(registry.tenants, place, TENANT_ID, tenant, &mut read)) {
        scan::find(registry.tenants, registry.tenants_by_id, &[(TENANT_ID, Key::Uuid(tenant))], |row| {
            read(row);
            true
        });
    }
    let size = own.as_ref().map_or(0, String::len);
    let own = own.map_or_else(|| Ok(Tree::default()), |own| Tree::parse(&own))?;
    Ok((plan, own, size))
}

/// What holds where the tenant has nothing of its own, as last committed: the defaults, and over them the plan's settings. Also
/// how many bytes they were read from.
pub fn of_plan(plan: Option<&str>) -> Result<(Tree, usize)> {
    let registry = registry::get()?;
    let mut levels = [None, None];
    scan::find(registry.defaults, registry.defaults_only, &[(DEFAULTS_ONLY, Key::Bool(true))], |row| {
        levels[0] = row.json(DEFAULTS_SETTINGS);
        true
    });
    if let Some(plan) = plan {
        scan::find(registry.plans, registry.plans_by_name, &[(PLAN_NAME, Key::Text(plan))], |row| {
            levels[1] = row.json(PLAN_SETTINGS);
            true
        });
    }
    let mut effective = Tree::default();
    let mut size = 0;
    for level in levels.into_iter().flatten() {
        size += level.len();
        effective.merge(Tree::parse(&level)?);
    }
    Ok((effective, size))
}

/// Under this name PostgreSQL's own settings stand.
pub const POSTGRES: &str = "postgres";

/// Those that there may be.
const ALLOWED: [&CStr; 5] =
    [c"statement_timeout", c"lock_timeout", c"idle_in_transaction_session_timeout", c"work_mem", c"temp_file_limit"];

/// Whether any tenant, any plan, or the defaults have settings of PostgreSQL's own.
pub fn any_postgres() -> Result<bool> {
    let registry = registry::get()?;
    let mut any = false;
    for (table, index) in [
        (registry.tenants, registry.tenants_with_postgres),
        (registry.plans, registry.plans_with_postgres),
        (registry.defaults, registry.defaults_with_postgres),
    ] {
        scan::find(table, index, &[], |_| {
            any = true;
            true
        });
    }
    Ok(any)
}

/// The settings of PostgreSQL's own that are among these, but for what can't be one.
pub fn postgres_of(settings: &Stacked<'_>) -> Vec<(&'static CStr, String)> {
    let postgres = settings.name(POSTGRES);
    let Some(Tree::Object(names)) = postgres.as_deref() else { return Vec::new() };
    let value = |name: &'static CStr| Some((name, names.get(name.to_str().ok()?)?.scalar()?));
    ALLOWED.into_iter().filter_map(value).collect()
}

/// Refuses settings of PostgreSQL's own, among these, that there may not be, or that have no such value.
///
/// # Errors
/// 22023
pub fn check_postgres(settings: &Tree) -> Result<()> {
    let refused = |reason: String| Err(Error::InvalidArgument { what: "setting", reason });
    let names = match settings.name(POSTGRES) {
        None => return Ok(()),
        Some(Tree::Object(names)) => names,
        Some(_) => return refused("\"postgres\" is an object".into()),
    };
    for (name, value) in names {
        let Some(allowed) = ALLOWED.into_iter().find(|allowed| allowed.to_bytes() == name.as_bytes()) else {
            let all: Vec<_> = ALLOWED.iter().map(|name| name.to_string_lossy()).collect();
            return refused(format!("\"postgres.{name}\" is none of {}", all.join(", ")));
        };
        match value.scalar() {
            Some(value) => option::check(allowed, &value),
            None => return refused(format!("\"postgres.{name}\" is a text or a number")),
        }
    }
    Ok(())
}

/// The most that settings of one level take as text, in bytes; what is kept in memory of many tenants rests on it.
const MAX_BYTES: usize = 1_048_576;

/// Refuses settings that are too many, as the constraints of the tables do.
///
/// # Errors
/// 22023
pub fn check_size(settings: &json::Jsonb) -> Result<()> {
    if settings.to_text().len() > MAX_BYTES {
        let reason = format!("they take at most {MAX_BYTES} bytes as text");
        return Err(Error::InvalidArgument { what: "settings", reason });
    }
    Ok(())
}

/// At which level settings are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Level {
    Defaults,
    Plan(String),
    Tenant(Uuid),
}

/// The settings of one level, locked until the transaction ends; `None` when there is no such plan or tenant. Needs the
/// rights of the extension's owner.
pub fn lock(level: &Level) -> Result<Option<Tree>> {
    let read = |query, args: &[_]| spi::write(query, args, |row| row.require::<String>(1));
    let rows = match level {
        Level::Defaults => {
            spi::run("INSERT INTO tenancy.default_settings DEFAULT VALUES ON CONFLICT DO NOTHING", &[])?;
            read("SELECT settings::pg_catalog.text FROM tenancy.default_settings FOR NO KEY UPDATE", &[])?
        }
        Level::Plan(plan) => read(
            "SELECT settings::pg_catalog.text FROM tenancy.plans \
             WHERE name OPERATOR(pg_catalog.=) $1 FOR NO KEY UPDATE",
            &[plan.as_str().into()],
        )?,
        Level::Tenant(tenant) => read(
            "SELECT settings::pg_catalog.text FROM tenancy.tenants \
             WHERE id OPERATOR(pg_catalog.=) $1 FOR NO KEY UPDATE",
            &[pg_uuid(*tenant).into()],
        )?,
    };
    rows.first().map(|settings| Tree::parse(settings)).transpose()
}

/// Replaces the settings of one level. Needs the rights of the extension's owner.
///
/// # Errors
/// 22023 when they are too many.
pub fn replace(level: &Level, settings: &Tree) -> Result<()> {
    let json = settings.to_json();
    check_size(&JsonbImage::new(&json).copy())?;
    match level {
        Level::Defaults => {
            spi::run("UPDATE tenancy.default_settings SET settings = $1::pg_catalog.jsonb", &[json.into()])?
        }
        Level::Plan(plan) => spi::run(
            "UPDATE tenancy.plans SET settings = $1::pg_catalog.jsonb WHERE name OPERATOR(pg_catalog.=) $2",
            &[json.into(), plan.as_str().into()],
        )?,
        Level::Tenant(tenant) => spi::run(
            "UPDATE tenancy.tenants SET settings = $1::pg_catalog.jsonb WHERE id OPERATOR(pg_catalog.=) $2",
            &[json.into(), pg_uuid(*tenant).into()],
        )?,
    };
    Ok(())
}

/// A `jsonb` value as a tree.
pub fn tree_of(value: &json::Jsonb) -> Result<Tree> {
    Tree::parse(&value.to_text())
}
