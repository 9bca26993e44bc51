//! Plans: named sets of settings that tenants subscribe to.

use super::settings::check;
use crate::catalog::event::{self, Event};
use crate::catalog::plans;
use crate::error::{Error, Result};
use crate::sys::json::Jsonb;
use serde_json::json;

/// Makes a plan.
///
/// # Errors
/// 22023 empty name, or settings that are no object; 42710 when the name is taken.
pub fn create_plan(name: &str, settings: Option<Jsonb>) -> Result<()> {
    if name.is_empty() {
        return Err(Error::InvalidArgument { what: "plan", reason: "its name must not be empty".into() });
    }
    check(settings.as_ref())?;
    if !plans::insert(name, settings.as_ref())? {
        return Err(Error::AlreadyExists(format!("plan \"{name}\"")));
    }
    event::write(Event {
        event: "plan.created",
        object: Some(name.to_owned()),
        detail: Some(json!({})),
        ..Event::default()
    })
}
