//! Audit functions.

use super::required;
use crate::audit::{self, Config};
use crate::context::{self, Status};
use crate::sys::Oid;
use pgrx::Array;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use std::ffi::CStr;

#[pg_extern(sql = false, name = "audit")]
fn have_audited(
    tbl: Option<Oid>,
    ignore: Option<Array<'_, &CStr>>,
    redact: Option<Array<'_, &CStr>>,
) -> Result<(), ErrorReport> {
    let config = Config { ignore: names(&required(ignore, "ignore")?), redact: names(&required(redact, "redact")?) };
    Ok(audit::audit(required(tbl, "tbl")?, &config)?)
}

#[pg_extern(sql = false)]
fn unaudit(tbl: Option<Oid>) -> Result<(), ErrorReport> {
    Ok(audit::unaudit(required(tbl, "tbl")?)?)
}

#[pg_extern(sql = false)]
fn audit_maintain() -> Result<i64, ErrorReport> {
    Ok(i64::try_from(audit::maintain()?).unwrap_or(i64::MAX))
}

#[pg_extern(sql = false)]
fn audit_seal() -> Result<i64, ErrorReport> {
    Ok(audit::seal()?)
}

#[pg_extern(sql = false)]
#[allow(clippy::type_complexity)]
fn audit_verify(
    checkpoint: Option<&str>,
) -> Result<TableIterator<'static, (name!(ok, bool), name!(first_bad, Option<i64>), name!(detail, String))>, ErrorReport>
{
    let findings = audit::verify(checkpoint)?;
    Ok(TableIterator::new(findings.into_iter().map(|found| (found.ok, found.first_bad, found.detail))))
}

#[pg_extern(sql = false)]
fn audit_retain(keep: Option<Interval>) -> Result<i64, ErrorReport> {
    Ok(audit::retain(required(keep, "keep")?)?)
}

/// The first argument is an `xid8`, taken as its bits.
#[pg_extern(sql = false)]
fn audit_revert(txid: Option<i64>, dry_run: Option<bool>) -> Result<SetOfIterator<'static, String>, ErrorReport> {
    let tenant = match context::status() {
        Status::Acting { id, .. } => Some(id),
        _ => None,
    };
    let txid = required(txid, "txid")?.cast_unsigned();
    Ok(SetOfIterator::new(audit::revert(txid, tenant, required(dry_run, "dry_run")?)?))
}

/// The argument is a `jsonb`, taken as its bytes.
#[pg_extern(sql = false)]
fn audit_row_hash(row_key: Option<&[u8]>) -> Option<i64> {
    row_key.map(audit::row_hash)
}

/// The elements of a `name[]`.
fn names(array: &Array<'_, &CStr>) -> Vec<String> {
    array.iter().flatten().map(super::name_text).collect()
}
