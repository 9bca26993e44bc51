//! Tenants and their lifecycle, accesses, administrators, plans. Called as the extension's owner,
//! by those who may. May import `catalog` and below.

mod access;
mod jwt_keys;
mod lifecycle;
mod plans;

pub use crate::catalog::jwt_keys::Terms;
pub use access::{grant_access, grant_admin, revoke_access, revoke_admin};
pub use jwt_keys::{NewKey, add_jwt_key, import_jwks, remove_jwt_key};
pub use lifecycle::{Transition, create_tenant, transition};
pub use plans::create_plan;

use crate::catalog::json;
use crate::error::{Error, Result};
use crate::sys::json::Jsonb;

/// Settings are merged key by key, so they must be an object.
fn check_settings(settings: Option<&Jsonb>) -> Result<()> {
    match settings {
        Some(settings) if !json::is_object(settings)? => {
            Err(Error::InvalidArgument { what: "settings", reason: "they must be a JSON object".into() })
        }
        _ => Ok(()),
    }
}
