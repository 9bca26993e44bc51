//! Quota functions.

use super::required;
use crate::catalog::tenants::pg_uuid;
use crate::context;
use crate::quota::{self, Wanted};
use crate::sys::{Oid, role};
use pgrx::datum::Interval;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

#[pg_extern(sql = false)]
fn create_resource(name: Option<&str>, kind: Option<&str>, description: Option<String>) -> Result<(), ErrorReport> {
    Ok(quota::create_resource(required(name, "name")?, required(kind, "kind")?, description)?)
}

#[pg_extern(sql = false)]
fn set_quota(
    tenant: Option<&str>,
    resource: Option<&str>,
    max_amount: Option<i64>,
    per: Option<Interval>,
    mode: Option<&str>,
    warn_at: Option<f32>,
) -> Result<(), ErrorReport> {
    let wanted = wanted(resource, max_amount, per, mode, warn_at)?;
    Ok(quota::set_quota(required(tenant, "tenant")?, &wanted)?)
}

#[pg_extern(sql = false)]
fn set_plan_quota(
    plan: Option<&str>,
    resource: Option<&str>,
    max_amount: Option<i64>,
    per: Option<Interval>,
    mode: Option<&str>,
    warn_at: Option<f32>,
) -> Result<(), ErrorReport> {
    let wanted = wanted(resource, max_amount, per, mode, warn_at)?;
    Ok(quota::set_plan_quota(required(plan, "plan")?, &wanted)?)
}

fn wanted<'a>(
    resource: Option<&'a str>,
    max: Option<i64>,
    per: Option<Interval>,
    mode: Option<&'a str>,
    warn_at: Option<f32>,
) -> Result<Wanted<'a>, ErrorReport> {
    Ok(Wanted { resource: required(resource, "resource")?, max, per, mode: required(mode, "mode")?, warn_at })
}

#[pg_extern(sql = false)]
fn attach_quota(tbl: Option<Oid>, resource: Option<&str>) -> Result<(), ErrorReport> {
    Ok(quota::attach(required(tbl, "tbl")?, required(resource, "resource")?)?)
}

#[pg_extern(sql = false)]
fn detach_quota(tbl: Option<Oid>, resource: Option<&str>) -> Result<(), ErrorReport> {
    Ok(quota::detach(required(tbl, "tbl")?, required(resource, "resource")?)?)
}

#[pg_extern(sql = false)]
#[allow(clippy::type_complexity)]
fn recount(
    resource: Option<&str>,
) -> Result<
    TableIterator<'static, (name!(tenant_id, pgrx::Uuid), name!(resource, String), name!(was, i64), name!(now, i64))>,
    ErrorReport,
> {
    let rows = quota::recount(resource)?;
    Ok(TableIterator::new(rows.into_iter().map(|row| (pg_uuid(row.tenant), row.resource, row.was, row.now))))
}

#[pg_extern(sql = false)]
fn meter_usage() -> Result<i64, ErrorReport> {
    Ok(i64::try_from(quota::meter()?).unwrap_or(i64::MAX))
}

#[pg_extern(sql = false)]
fn check_quota(resource: Option<&str>, amount: Option<i64>) -> Result<bool, ErrorReport> {
    let (resource, amount) = (required(resource, "resource")?, required(amount, "amount")?);
    Ok(quota::check(context::require()?, resource, amount)?)
}

#[pg_extern(sql = false)]
fn consume(
    resource: Option<&str>,
    amount: Option<i64>,
    idempotency_key: Option<&str>,
) -> Result<Option<i64>, ErrorReport> {
    let (resource, amount) = (required(resource, "resource")?, required(amount, "amount")?);
    Ok(quota::consume(context::require()?, resource, amount, idempotency_key)?)
}

#[pg_extern(sql = false)]
fn release(resource: Option<&str>, amount: Option<i64>) -> Result<Option<i64>, ErrorReport> {
    let (resource, amount) = (required(resource, "resource")?, required(amount, "amount")?);
    Ok(quota::release(context::require()?, resource, amount)?)
}

/// What a tenant has spent of a rate, or how many sessions act for it: NULL for another tenant than the one in force,
/// unless row security doesn't bind the caller.
#[pg_extern(sql = false)]
fn usage_in_memory(tenant_id: Option<pgrx::Uuid>, resource_id: Option<i32>) -> Result<Option<i64>, ErrorReport> {
    let Some((tenant, resource)) = tenant_id.zip(resource_id) else { return Ok(None) };
    let tenant = uuid::Uuid::from_bytes(*tenant.as_bytes());
    let may = role::bypasses_row_security() || context::current()? == Some(tenant);
    if may { Ok(quota::usage_in_memory(tenant, resource)?) } else { Ok(None) }
}

#[pg_extern(sql = false)]
#[allow(clippy::type_complexity)]
fn rate_tracking() -> Result<
    TableIterator<'static, (name!(slots, i64), name!(used, i64), name!(evicted, i64), name!(evicted_spent, i64))>,
    ErrorReport,
> {
    let usage = quota::tracking()?;
    Ok(TableIterator::once((usage.slots, usage.used, usage.evicted, usage.evicted_spent)))
}
