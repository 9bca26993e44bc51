//! A tenant's life: created, suspended, resumed, archived.

use super::handlers::{self, Kind};
use super::{parents, settings};
use crate::catalog::event::Event;
use crate::catalog::plans;
use crate::catalog::tenants::{self, NewTenant};
use crate::error::{Error, Result};
use crate::sys::json::Jsonb;
use crate::tenant::{TenantKey, TenantRef};
use serde_json::json;
use uuid::Uuid;

/// Registers a tenant. Without a key it is known by its id; a key that reads as a UUID is the id.
///
/// # Errors
/// 22023 malformed key, or a key that reads as another tenant's id; 42704 unknown plan or parent; 42710 when
/// the id or key is taken; 55000 when the parent is archived or erased; 54000 when the tree would get too many levels; what
/// a handler raises.
pub fn create_tenant(
    key: Option<&str>,
    id: Option<Uuid>,
    name: Option<String>,
    plan: Option<String>,
    region: Option<String>,
    settings: Option<Jsonb>,
    parent: Option<&str>,
) -> Result<Uuid> {
    let (id, key) = identity(key, id)?;
    settings::check(settings.as_ref())?;
    if let Some(plan) = &plan
        && !plans::exists(plan)?
    {
        return Err(Error::UnknownPlan(plan.clone()));
    }
    if region.as_deref().is_some_and(str::is_empty) {
        return Err(Error::InvalidArgument { what: "region", reason: "it must not be empty".into() });
    }
    let parent = parent.map(parents::place).transpose()?;
    let called = match (&key, id) {
        (Some(key), _) => key.as_str().to_owned(),
        (None, Some(id)) => id.to_string(),
        (None, None) => "tenant".into(),
    };
    let mut detail = json!({ "key": key.as_ref().map(TenantKey::as_str), "plan": plan, "region": region });
    let mut told = json!({ "plan": plan, "region": region });
    if let Some(parent) = parent {
        detail["parent"] = parent.to_string().into();
        told["parent"] = parent.to_string().into();
    }
    let named = key.as_ref().map(|key| key.as_str().to_owned());
    let tenant = NewTenant { id, key, name, plan, region, settings, parent };
    let id = tenants::insert(tenant)?.ok_or_else(|| Error::AlreadyExists(format!("tenant \"{called}\"")))?;
    let entry = Event { event: "tenant.created", tenant: Some(id), detail: Some(detail), ..Event::default() };
    handlers::happened(Kind::Created, &named.unwrap_or_else(|| id.to_string()), entry, told)?;
    Ok(id)
}

/// The id and the key as they were asked for; a missing one is made when the row is.
pub(super) fn identity(key: Option<&str>, id: Option<Uuid>) -> Result<(Option<Uuid>, Option<TenantKey>)> {
    let Some(key) = key else { return Ok((id, None)) };
    match TenantRef::parse(key)? {
        TenantRef::Key(key) => Ok((id, Some(key))),
        TenantRef::Id(own) if id.is_none_or(|id| id == own) => Ok((Some(own), None)),
        TenantRef::Id(_) => Err(Error::InvalidArgument {
            what: "key",
            reason: "a key that reads as a UUID must be the tenant's own id".into(),
        }),
    }
}

/// A move from one status to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transition {
    Suspend,
    Resume,
    Archive,
}

impl Transition {
    /// From which status, to which, and what the event is called.
    fn path(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Suspend => ("active", "suspended", "tenant.suspended"),
            Self::Resume => ("suspended", "active", "tenant.resumed"),
            Self::Archive => ("suspended", "archived", "tenant.archived"),
        }
    }

    fn kind(self) -> Kind {
        match self {
            Self::Suspend => Kind::Suspended,
            Self::Resume => Kind::Resumed,
            Self::Archive => Kind::Archived,
        }
    }
}

/// Moves a tenant to another status. Every session hears of it at its next statement after commit.
///
/// # Errors
/// 42704 unknown tenant; 22023 malformed name; 55000 when it is not in the status to move from; what a
/// handler raises.
pub fn transition(tenant: &str, transition: Transition, reason: Option<String>) -> Result<()> {
    let found = tenants::lock(&TenantRef::parse(tenant)?)?.ok_or_else(|| Error::UnknownTenant(tenant.to_owned()))?;
    let (from, to, event) = transition.path();
    if found.status != from {
        return Err(Error::WrongStatus { tenant: tenant.to_owned(), status: found.status, wanted: from });
    }
    tenants::set_status(found.id, to)?;
    let entry = Event { event, tenant: Some(found.id), reason, ..Event::default() };
    handlers::happened(transition.kind(), found.key.as_str(), entry, json!({}))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";

    #[test]
    fn a_key_that_reads_as_a_uuid_is_the_id() {
        let id = Uuid::try_parse(ID).ok();
        assert_eq!(identity(Some(&ID.to_uppercase()), None), Ok((id, None)));
        assert_eq!(identity(Some(ID), id), Ok((id, None)));
        assert!(identity(Some(ID), Some(Uuid::nil())).is_err());
        assert_eq!(identity(None, id), Ok((id, None)));
        let (none, key) = identity(Some("acme"), None).unwrap();
        assert_eq!((none, key.unwrap().as_str()), (None, "acme"));
    }

    #[test]
    fn only_a_suspended_tenant_can_be_archived() {
        assert_eq!(Transition::Archive.path().0, "suspended");
        assert_eq!(Transition::Resume.path().1, "active");
    }
}
