//! Resources, and the limits of tenants and plans.

use super::{escrow, locks};
use crate::catalog::event::{self, Event};
use crate::catalog::quotas::{self, Kind, Limit, Mode};
use crate::catalog::registry::as_owner;
use crate::catalog::{bounds, plans, tenants};
use crate::error::{Error, Result};
use crate::sys::slots::Key;
use crate::sys::transition::{Event as Change, Fired, Row, Side};
use crate::sys::xact;
use crate::tenant::TenantRef;
use pgrx::datum::Interval;
use serde_json::json;
use uuid::Uuid;

/// The longest name of a resource, in characters.
const MAX_NAME_CHARS: usize = 255;

// Attribute numbers of tenancy.quotas, plan_quotas, tenants and resources, fixed by their DDL.
const OWNER: i16 = 1;
const RESOURCE: i16 = 2;
const MAX_AMOUNT: i16 = 3;
const PER: i16 = 6;
const TENANT_ID: i16 = 1;
const TENANT_PLAN: i16 = 5;
const ID: i16 = 1;
const KIND: i16 = 3;

/// Makes a resource. Called as the extension's owner.
///
/// # Errors
/// 22023 malformed name or unknown kind; 42710 when the name is taken.
pub fn create_resource(name: &str, kind: &str, description: Option<String>) -> Result<()> {
    let kind = Kind::parse(kind)?;
    let reason = if name.is_empty() || name.chars().count() > MAX_NAME_CHARS {
        Some("it has 1 to 255 characters")
    } else if name.trim() != name || name.chars().any(char::is_control) {
        Some("it has no control characters, and no space at either end")
    } else {
        None
    };
    if let Some(reason) = reason {
        return Err(Error::InvalidArgument { what: "name", reason: reason.into() });
    }
    if !quotas::insert_resource(name, kind, description)? {
        return Err(Error::AlreadyExists(format!("resource \"{name}\"")));
    }
    log("resource.created", None, name, json!({ "kind": kind.as_str() }))
}

/// A limit as somebody asks for it.
pub struct Wanted<'a> {
    pub resource: &'a str,
    pub max: Option<i64>,
    pub per: Option<Interval>,
    pub mode: &'a str,
    pub warn_at: Option<f32>,
}

impl Wanted<'_> {
    fn checked(&self) -> Result<(quotas::Resource, Limit)> {
        let invalid = |what, reason: &str| Err(Error::InvalidArgument { what, reason: reason.into() });
        let mode = Mode::parse(self.mode)?;
        if self.max.is_some_and(|max| max < 0) {
            return invalid("max_amount", "it must not be negative");
        }
        if self.warn_at.is_some_and(|part| !(part > 0.0 && part <= 1.0)) {
            return invalid("warn_at", "it is a part of the limit, above 0 and at most 1");
        }
        let resource = quotas::resource_named(self.resource)?;
        match (resource.kind, self.per.map(|per| per.as_micros())) {
            (Kind::Rate, Some(micros)) if !(1..=bounds::MAX_PER).contains(&micros) => {
                return invalid("per", "it is an interval above 0, of at most a year");
            }
            (Kind::Rate, None) if self.max.is_some() => {
                return invalid("per", "a rate is so many per interval: per => '1 minute'");
            }
            (Kind::Rate, _) | (_, None) => {}
            _ => return invalid("per", "rates alone are limited per interval"),
        }
        Ok((resource, Limit { max: self.max, mode, warn_at: self.warn_at }))
    }

    fn described(&self) -> serde_json::Value {
        let per = self.per.map(|per| per.as_micros() as f64 / 1e6);
        json!({ "max": self.max, "per_seconds": per, "mode": self.mode, "warn_at": self.warn_at })
    }
}

/// Sets a tenant's own limit, for what is written from here on. Called as the extension's owner.
///
/// # Errors
/// 42704 unknown tenant or resource; 22023 for what can't be a limit.
pub fn set_quota(tenant: &str, wanted: &Wanted<'_>) -> Result<()> {
    let (resource, limit) = wanted.checked()?;
    let found = tenants::find(&TenantRef::parse(tenant)?)?.ok_or_else(|| Error::UnknownTenant(tenant.to_owned()))?;
    quotas::put(&Key { tenant: found.id, resource: resource.id }, &limit, wanted.per)?;
    log("quota.set", Some(found.id), wanted.resource, wanted.described())
}

/// Sets the limit of every tenant on the plan that has none of its own. Called as the extension's owner.
///
/// # Errors
/// 42704 unknown plan or resource; 22023 for what can't be a limit.
pub fn set_plan_quota(plan: &str, wanted: &Wanted<'_>) -> Result<()> {
    let (resource, limit) = wanted.checked()?;
    if !plans::exists(plan)? {
        return Err(Error::UnknownPlan(plan.to_owned()));
    }
    quotas::put_for_plan(plan, resource.id, &limit, wanted.per)?;
    let mut detail = wanted.described();
    detail["plan"] = plan.into();
    log("quota.set", None, wanted.resource, detail)
}

fn log(event: &'static str, tenant: Option<Uuid>, resource: &str, detail: serde_json::Value) -> Result<()> {
    event::write(Event { event, tenant, object: Some(resource.to_owned()), detail: Some(detail), ..Event::default() })
}

/// A limit was set, changed or removed, by a function or by plain DML: what is counted already is shared out anew.
pub fn limits_changed(fired: Fired<'_>) -> Result<()> {
    xact::next_command();
    let old = fired.row(Side::Old);
    let new = fired.row(Side::New);
    if let Some(new) = &new
        && new.is_null(PER)
        && !new.is_null(MAX_AMOUNT)
        && bounds::kind(new.integer(RESOURCE).ok_or(Error::NotInstalled)?)? == Some(Kind::Rate)
    {
        return Err(without_interval());
    }
    if fired.event() == Change::Truncate {
        return settle_all(&as_owner(quotas::keys)?);
    }
    [old, new].into_iter().flatten().try_for_each(|row| limit_changed(&row))
}

/// Shares out the limit that a row tells of.
fn limit_changed(row: &Row<'_>) -> Result<()> {
    let resource = row.integer(RESOURCE).ok_or(Error::NotInstalled)?;
    // Its resource may have been removed, which removes the limit.
    if bounds::kind(resource)?.is_none_or(Kind::is_in_memory) {
        return Ok(());
    }
    if row.is_uuid(OWNER) {
        let tenant = row.uuid(OWNER).ok_or(Error::NotInstalled)?;
        return escrow::settle(&Key { tenant, resource }, 0);
    }
    let plan = row.text(OWNER).ok_or(Error::NotInstalled)?;
    locks::plan(&plan)?;
    // Before it is asked who has slots: whoever is making his first one by another limit is waited for.
    locks::all_shares(resource)?;
    as_owner(|| quotas::keys_of_plan(&plan, resource))?.iter().try_for_each(|key| escrow::settle_held(key, 0))
}

/// Shares out the limits of what is used.
fn settle_all(keys: &[Key]) -> Result<()> {
    keys.iter().try_for_each(|key| {
        locks::all_shares(key.resource)?;
        escrow::settle_held(key, 0)
    })
}

/// A tenant subscribes to another plan.
pub fn plan_changed(fired: Fired<'_>) -> Result<()> {
    xact::next_command();
    let sides = [Side::Old, Side::New];
    let tenant = fired.row(Side::New).and_then(|row| row.uuid(TENANT_ID)).ok_or(Error::NotInstalled)?;
    let mut plans: Vec<String> = sides.iter().filter_map(|side| fired.row(*side)?.text(TENANT_PLAN)).collect();
    // Always in the same order.
    plans.sort_unstable();
    for plan in &plans {
        locks::subscription(plan)?;
    }
    let mut resources = Vec::new();
    for plan in &plans {
        resources.extend(as_owner(|| quotas::resources_of_plan(plan))?);
    }
    resources.sort_unstable();
    resources.dedup();
    for resource in resources {
        if bounds::kind(resource)?.is_some_and(|kind| !kind.is_in_memory()) {
            escrow::settle(&Key { tenant, resource }, 0)?;
        }
    }
    Ok(())
}

/// A resource was made, changed or removed, or a statement has changed limits, by a function or by plain DML.
pub fn resources_changed(fired: Fired<'_>) -> Result<()> {
    bounds::announce_change()?;
    let becomes_rate = fired
        .row(Side::Old)
        .and(fired.row(Side::New))
        .filter(|new| new.text(KIND).is_some_and(|kind| kind == Kind::Rate.as_str()));
    let Some(rate) = becomes_rate else { return Ok(()) };
    let resource = rate.integer(ID).ok_or(Error::NotInstalled)?;
    if as_owner(|| quotas::is_limited_without_interval(resource))? {
        return Err(without_interval());
    }
    Ok(())
}

fn without_interval() -> Error {
    Error::InvalidArgument { what: "per", reason: "a rate is so many per interval".into() }
}
