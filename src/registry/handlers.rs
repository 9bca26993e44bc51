//! Lifecycle events: written down, announced, and handled by functions of the application's own.

use crate::catalog::event::{self, Event};
use crate::catalog::registry::as_owner;
use crate::catalog::{announce, lifecycle};
use crate::error::{Error, Lifecycle, Result};
use crate::sys::backend::{BackendCell, Raised};
use crate::sys::transition::{Fired, Side};
use crate::sys::{Oid, role};
use serde_json::{Map, Value, json};
use uuid::Uuid;

// Attribute numbers of tenancy.tenants, fixed by its DDL.
const ID: i16 = 1;
const KEY: i16 = 2;
const PLAN: i16 = 5;

/// What can become of a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Created,
    Suspended,
    Resumed,
    Archived,
    Erased,
    Settings,
    Plan,
}

impl Kind {
    const ALL: [Self; 7] =
        [Self::Created, Self::Suspended, Self::Resumed, Self::Archived, Self::Erased, Self::Settings, Self::Plan];

    /// As SQL names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Suspended => "suspended",
            Self::Resumed => "resumed",
            Self::Archived => "archived",
            Self::Erased => "erased",
            Self::Settings => "settings",
            Self::Plan => "plan",
        }
    }

    fn parse(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| Error::InvalidArgument {
            what: "event",
            reason: format!("\"{text}\" is none of {}", Self::ALL.map(Self::as_str).join(", ")),
        })
    }
}

/// Has a function called whenever that becomes of a tenant. Called as the extension's owner.
///
/// # Errors
/// 22023 unknown event; 42501 when the caller doesn't own the function; 42809 when it is of another kind; 42710 when it is
/// registered already.
pub fn on_lifecycle(kind: &str, handler: Oid) -> Result<()> {
    let kind = Kind::parse(kind)?;
    let Some(function) = lifecycle::function(handler)? else {
        return Err(Lifecycle::UnknownHandler { event: kind.as_str(), handler: handler.to_u32().to_string() }.into());
    };
    // It will run as its owner: whoever registers it has what he thereby lends.
    if !role::has_privileges_of(role::outer(), function.owner) {
        return Err(Lifecycle::NotFunctionOwner(function.name).into());
    }
    if !function.is_handler {
        return Err(Lifecycle::UnsuitableHandler(function.name).into());
    }
    if !lifecycle::put(kind.as_str(), &function.name)? {
        return Err(Error::AlreadyExists(format!("handler {} of event \"{}\"", function.name, kind.as_str())));
    }
    log("lifecycle.handler_added", kind, function.name)
}

/// Takes a handler away, or all of an event. Called as the extension's owner.
///
/// # Errors
/// 22023 unknown event; 42704 when it is not registered.
pub fn off_lifecycle(kind: &str, handler: Option<Oid>) -> Result<()> {
    let kind = Kind::parse(kind)?;
    let unknown = |handler: String| Lifecycle::UnknownHandler { event: kind.as_str(), handler };
    let name = match handler {
        None => None,
        Some(oid) => Some(lifecycle::function(oid)?.ok_or_else(|| unknown(oid.to_u32().to_string()))?.name),
    };
    let removed = lifecycle::remove(kind.as_str(), name.as_deref())?;
    if let (true, Some(name)) = (removed.is_empty(), name) {
        return Err(unknown(name).into());
    }
    removed.into_iter().try_for_each(|name| log("lifecycle.handler_removed", kind, name))
}

fn log(event: &'static str, kind: Kind, name: String) -> Result<()> {
    event::write(Event {
        event,
        object: Some(name),
        detail: Some(json!({ "event": kind.as_str() })),
        ..Event::default()
    })
}

/// What has become of a tenant: writes the entry, has it announced at commit, and calls the handlers, which are also told
/// the tenant's key, the reason, and `more`. Called as the extension's owner.
///
/// # Errors
/// What a handler raises; 55000 when one exists no longer.
pub fn happened(kind: Kind, key: &str, entry: Event, more: Value) -> Result<()> {
    let Some(tenant) = entry.tenant else { return Err(Error::NotInstalled) };
    let reason = entry.reason.clone();
    let id = event::write_returning(entry)?;
    announce::at_commit(id);
    let mut what = Map::new();
    if let Value::Object(more) = more {
        what.extend(more);
    }
    what.insert("event".into(), kind.as_str().into());
    what.insert("event_id".into(), id.into());
    what.insert("key".into(), key.into());
    what.insert("reason".into(), reason.into());
    let what = Value::Object(what);
    for handler in lifecycle::handlers(kind.as_str())? {
        lifecycle::call(kind.as_str(), &handler, tenant, what.clone())?;
    }
    Ok(())
}

/// Whether anything is called when that happens.
///
/// # Errors
/// As SPI has them.
pub fn exist(kind: Kind) -> Result<bool> {
    Ok(!lifecycle::handlers(kind.as_str())?.is_empty())
}

/// True while a tenant's plan, and its place in the tree, go with all else.
static ERASING: BackendCell<bool> = BackendCell::new(false);

/// A change of plan is nothing to tell of until what is returned is dropped.
pub fn erasing() -> Raised<'static> {
    ERASING.raised()
}

/// Whether that is so.
pub(super) fn is_erasing() -> bool {
    ERASING.get()
}

/// A tenant has another plan, by plain DML.
///
/// # Errors
/// As for `happened`.
pub fn plan_moved(fired: Fired<'_>) -> Result<()> {
    if is_erasing() {
        return Ok(());
    }
    let (Some(old), Some(new)) = (fired.row(Side::Old), fired.row(Side::New)) else { return Ok(()) };
    let tenant: Option<Uuid> = new.uuid(ID);
    let plans = json!({ "plan": new.text(PLAN), "plan_before": old.text(PLAN) });
    let key = new.text(KEY).ok_or(Error::NotInstalled)?;
    as_owner(|| {
        let entry = Event { event: "tenant.plan_changed", tenant, detail: Some(plans.clone()), ..Event::default() };
        happened(Kind::Plan, &key, entry, plans)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_as_they_are_named() {
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(kind.as_str()), Ok(kind));
        }
        for name in ["", "Created", "deleted"] {
            assert!(Kind::parse(name).is_err(), "{name}");
        }
    }
}
