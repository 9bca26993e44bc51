//! Table functions.

use super::{name_text, required};
use crate::isolation::{self, Kind, Options};
use crate::sys::Oid;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use std::ffi::CStr;

type Ddl = SetOfIterator<'static, String>;

#[pg_extern(sql = false)]
fn protect(
    tbl: Option<Oid>,
    tenant_column: Option<&CStr>,
    kind: Option<&str>,
    create_index: Option<bool>,
    reference_tenants: Option<bool>,
    dry_run: Option<bool>,
    statistics_target: Option<i32>,
) -> Result<Ddl, ErrorReport> {
    let options = Options {
        tenant_column: name_text(required(tenant_column, "tenant_column")?),
        kind: Kind::parse(required(kind, "kind")?)?,
        create_index: required(create_index, "create_index")?,
        reference_tenants: required(reference_tenants, "reference_tenants")?,
        statistics_target,
        dry_run: required(dry_run, "dry_run")?,
    };
    Ok(SetOfIterator::new(isolation::protect(required(tbl, "tbl")?, &options)?))
}

#[pg_extern(sql = false)]
fn protect_schema(
    schema: Option<&CStr>,
    tenant_column: Option<&CStr>,
    dry_run: Option<bool>,
) -> Result<Ddl, ErrorReport> {
    let schema = name_text(required(schema, "schema")?);
    let column = name_text(required(tenant_column, "tenant_column")?);
    let ddl = isolation::protect_schema(&schema, &column, required(dry_run, "dry_run")?)?;
    Ok(SetOfIterator::new(ddl))
}

#[pg_extern(sql = false)]
fn unprotect(tbl: Option<Oid>) -> Result<Ddl, ErrorReport> {
    Ok(SetOfIterator::new(isolation::unprotect(required(tbl, "tbl")?)?))
}

#[pg_extern(sql = false)]
fn classify(tbl: Option<Oid>, kind: Option<&str>) -> Result<(), ErrorReport> {
    let kind = Kind::parse(required(kind, "kind")?)?;
    Ok(isolation::classify(required(tbl, "tbl")?, kind)?)
}

#[pg_extern(sql = false)]
fn add_tenant_column(
    tbl: Option<Oid>,
    tenant: Option<&str>,
    tenant_column: Option<&CStr>,
    column_type: Option<Oid>,
) -> Result<(), ErrorReport> {
    let (tenant, column_type) = (required(tenant, "tenant")?, required(column_type, "column_type")?);
    let column = name_text(required(tenant_column, "tenant_column")?);
    Ok(isolation::add_tenant_column(required(tbl, "tbl")?, tenant, &column, column_type)?)
}

#[pg_extern(sql = false)]
fn manage_schema(schema: Option<&CStr>, on_new: Option<&str>) -> Result<(), ErrorReport> {
    let schema = name_text(required(schema, "schema")?);
    Ok(isolation::manage_schema(&schema, required(on_new, "on_new")?)?)
}

#[pg_extern(sql = false)]
fn bypass(reason: Option<&str>) -> Result<(), ErrorReport> {
    Ok(isolation::declare_bypass(required(reason, "reason")?)?)
}
