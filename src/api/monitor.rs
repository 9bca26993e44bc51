//! Statistics and health.

use crate::catalog::tenants::pg_uuid;
use crate::sys::clock;
use crate::{context, doctor, monitor};
use pgrx::datum::TimestampWithTimeZone;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

/// What was done for all tenants, where the caller watches the server; for the tenant in force otherwise.
#[pg_extern(sql = false)]
#[allow(clippy::type_complexity)]
fn tenant_stats() -> Result<
    TableIterator<
        'static,
        (
            name!(tenant_id, pgrx::Uuid),
            name!(tenant, Option<String>),
            name!(transactions, i64),
            name!(rolled_back, i64),
            name!(statements, i64),
            name!(rows, i64),
            name!(exec_time, f64),
            name!(errors, i64),
            name!(refused_writes, i64),
            name!(quota_refusals, i64),
            name!(last_seen, Option<TimestampWithTimeZone>),
            name!(stats_since, Option<TimestampWithTimeZone>),
        ),
    >,
    ErrorReport,
> {
    let found = if monitor::sees_all() {
        monitor::tenants(None)?
    } else {
        match context::current()? {
            Some(tenant) => monitor::tenants(Some(tenant))?,
            None => Vec::new(),
        }
    };
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let time = move |at: u64| TimestampWithTimeZone::try_from(clock::timestamp(number(at))).ok();
    Ok(TableIterator::new(found.into_iter().map(move |tenant| {
        let tally = tenant.tally;
        (
            pg_uuid(tenant.id),
            tenant.key,
            number(tally.transactions),
            number(tally.rolled_back),
            number(tally.statements),
            number(tally.rows),
            tally.nanoseconds as f64 / 1e6,
            number(tally.errors),
            number(tally.refused_writes),
            number(tally.quota_refusals),
            time(tally.last_seen),
            time(tally.since),
        )
    })))
}

#[pg_extern(sql = false)]
fn reset_stats(tenant: Option<&str>) -> Result<(), ErrorReport> {
    Ok(monitor::reset(tenant)?)
}

#[pg_extern(sql = false)]
#[allow(clippy::type_complexity)]
fn stats_tracking()
-> Result<TableIterator<'static, (name!(slots, i64), name!(used, i64), name!(evicted, i64))>, ErrorReport> {
    let usage = monitor::tracking()?;
    Ok(TableIterator::once((usage.slots, usage.used, usage.evicted)))
}

#[pg_extern(sql = false)]
#[allow(clippy::type_complexity)]
fn health()
-> Result<TableIterator<'static, (name!(check, String), name!(ok, bool), name!(detail, String))>, ErrorReport> {
    let checks = monitor::examine(doctor::weaknesses_of_server()?)?;
    Ok(TableIterator::new(checks.into_iter().map(|check| (check.name.to_owned(), check.ok, check.detail))))
}
