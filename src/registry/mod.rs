//! Tenants and their lifecycle, accesses, administrators, plans. Called as the extension's owner,
//! by those who may. May import `catalog` and below.

mod access;
mod lifecycle;
mod plans;

pub use access::{grant_access, grant_admin, revoke_access, revoke_admin};
pub use lifecycle::{Transition, create_tenant, transition};
pub use plans::create_plan;

use crate::error::{Error, Result};
use pgrx::JsonB;

/// Settings are merged key by key, so they must be an object.
fn settings_object(settings: Option<JsonB>) -> Result<JsonB> {
    match settings {
        None => Ok(JsonB(serde_json::json!({}))),
        Some(settings) if settings.0.is_object() => Ok(settings),
        Some(_) => Err(Error::InvalidArgument { what: "settings", reason: "they must be a JSON object".into() }),
    }
}
