//! Settings of tenants and plans, and the defaults of both.

use super::access::known_tenant;
use super::handlers::{self, Kind};
use crate::catalog::event::{self, Event};
use crate::catalog::json;
use crate::catalog::settings::{self, Level};
use crate::catalog::tenants;
use crate::catalog::tree::Path;
use crate::error::{Error, Result};
use crate::sys::json::Jsonb;
use crate::tenant::TenantRef;
use serde_json::json;

/// Sets or, without a value, removes a setting of a tenant, of a plan, or of the defaults. Called as the extension's owner.
///
/// # Errors
/// 42704 unknown tenant or plan; 22023 malformed path, a path through something that is no object, both a tenant and a plan, a
/// setting of PostgreSQL's own that there may not be, or that has no such value, more than a level may have.
pub fn set_setting(path: &str, value: Option<Jsonb>, tenant: Option<&str>, plan: Option<&str>) -> Result<()> {
    let at = Path::parse(path)?;
    let level = match (tenant, plan) {
        (Some(_), Some(_)) => {
            return Err(Error::InvalidArgument { what: "level", reason: "it is a tenant's or a plan's".into() });
        }
        (Some(tenant), None) => Level::Tenant(known_tenant(tenant)?),
        (None, Some(plan)) => Level::Plan(plan.to_owned()),
        (None, None) => Level::Defaults,
    };
    let mut all = settings::lock(&level)?.ok_or_else(|| match plan {
        Some(plan) => Error::UnknownPlan(plan.to_owned()),
        None => Error::UnknownTenant(tenant.unwrap_or_default().to_owned()),
    })?;
    let changed = match &value {
        Some(value) => all.set(&at, settings::tree_of(value)?)?,
        None => all.remove(&at),
    };
    if !changed {
        return Ok(());
    }
    // What stands elsewhere, or goes, can't be wrong for this.
    if let (Some(_), true) = (&value, at.is_in(settings::POSTGRES)) {
        settings::check_postgres(&all)?;
    }
    settings::replace(&level, &all)?;
    let entry = Event {
        event: if value.is_some() { "setting.set" } else { "setting.removed" },
        tenant: match level {
            Level::Tenant(tenant) => Some(tenant),
            _ => None,
        },
        object: Some(path.to_owned()),
        detail: Some(json!({ "plan": plan })),
        ..Event::default()
    };
    match level {
        Level::Tenant(id) => {
            let key = tenants::find(&TenantRef::Id(id))?.ok_or_else(|| Error::UnknownTenant(id.to_string()))?.key;
            handlers::happened(Kind::Settings, key.as_str(), entry, json!({ "path": path }))
        }
        _ => event::write(entry),
    }
}

/// Settings that come as a whole are merged key by key, so they must be an object.
///
/// # Errors
/// 22023 when they are none, or too many, or have settings of PostgreSQL's own among them that there may not be.
pub fn check(settings: Option<&Jsonb>) -> Result<()> {
    let Some(settings) = settings else { return Ok(()) };
    if !json::is_object(settings)? {
        return Err(Error::InvalidArgument { what: "settings", reason: "they must be a JSON object".into() });
    }
    settings::check_size(settings)?;
    settings::check_postgres(&settings::tree_of(settings)?)
}
