//! Keys and foreign keys led by the tenant column.

use super::{name_text, required};
use crate::keys;
use crate::sys::Oid;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use std::ffi::CStr;

type Ddl = SetOfIterator<'static, String>;

#[pg_extern(sql = false)]
fn scope_unique(tbl: Option<Oid>, constraint_name: Option<&CStr>, dry_run: Option<bool>) -> Result<Ddl, ErrorReport> {
    let (table, name) = (required(tbl, "tbl")?, name_text(required(constraint_name, "constraint_name")?));
    Ok(SetOfIterator::new(keys::scope_unique(table, &name, required(dry_run, "dry_run")?)?))
}

#[pg_extern(sql = false)]
fn scope_foreign_key(
    tbl: Option<Oid>,
    constraint_name: Option<&CStr>,
    dry_run: Option<bool>,
) -> Result<Ddl, ErrorReport> {
    let (table, name) = (required(tbl, "tbl")?, name_text(required(constraint_name, "constraint_name")?));
    Ok(SetOfIterator::new(keys::scope_foreign_key(table, &name, required(dry_run, "dry_run")?)?))
}

#[pg_extern(sql = false)]
fn scope_plan(
    tbl: Option<Oid>,
) -> Result<TableIterator<'static, (name!(step, i32), name!(ddl, String), name!(lock, String))>, ErrorReport> {
    let steps = keys::scope_plan(required(tbl, "tbl")?)?;
    Ok(TableIterator::new((1..).zip(steps).map(|(number, step)| (number, step.ddl, step.lock))))
}

#[pg_extern(sql = false)]
fn validate_foreign_key(tbl: Option<Oid>, constraint_name: Option<&CStr>) -> Result<(), ErrorReport> {
    let name = name_text(required(constraint_name, "constraint_name")?);
    Ok(keys::validate_foreign_key(required(tbl, "tbl")?, &name)?)
}
