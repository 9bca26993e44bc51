//! Explaining and proving isolation.

use super::{jsonb, required};
use crate::context::Status;
use crate::proof::Acting;
use crate::sys::Oid;
use crate::{context, isolation, proof};
use pgrx::AnyElement;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

#[pg_extern(sql = false, name = "why")]
#[allow(clippy::type_complexity)]
fn explain(
    tbl: Option<Oid>,
    row_key: Option<AnyElement>,
) -> Result<
    TableIterator<'static, (name!(check_name, String), name!(passed, Option<bool>), name!(detail, String))>,
    ErrorReport,
> {
    let (table, key) = (required(tbl, "tbl")?, required(jsonb(row_key), "row_key")?);
    let acting = match context::status() {
        Status::None => Acting::ForNone,
        Status::Acting { id, key, by_default } => Acting::For { id, key, by_default },
        Status::Refused(error) => Acting::Refused(error),
    };
    let _leftovers = context::leave_leftovers();
    let checks = proof::why(table, &key, &acting)?;
    Ok(TableIterator::new(checks.into_iter().map(|check| (check.name, check.passed, check.detail))))
}

#[pg_extern(sql = false)]
#[allow(clippy::type_complexity)]
fn prove(
    tbl: Option<Oid>,
) -> Result<
    TableIterator<
        'static,
        (name!(tbl, Oid), name!(attack, &'static str), name!(blocked, Option<bool>), name!(detail, String)),
    >,
    ErrorReport,
> {
    let findings =
        proof::prove(tbl, |tenants| Box::new((context::set_aside(tenants), isolation::leave_bypasses_unrecorded())))?;
    Ok(TableIterator::new(findings.into_iter().map(|found| (found.table, found.attack, found.blocked, found.detail))))
}
