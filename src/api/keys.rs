//! Indexes led by the tenant, and numbers of a tenant.

use super::{name_text, required};
use crate::context;
use crate::keys::{self, Advice, Definition};
use crate::sys::Oid;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use std::ffi::CStr;

#[pg_extern(sql = false)]
fn create_index(
    tbl: Option<Oid>,
    columns: Option<Vec<Option<String>>>,
    index_name: Option<&CStr>,
    is_unique: Option<bool>,
    method: Option<&str>,
    include: Option<Vec<Option<String>>>,
    predicate: Option<String>,
) -> Result<Oid, ErrorReport> {
    let texts = |array: Option<Vec<Option<String>>>, name| {
        required(array, name)?.into_iter().map(|text| required(text, name)).collect::<Result<_, _>>()
    };
    let definition = Definition {
        columns: texts(columns, "columns")?,
        name: index_name.map(name_text),
        unique: required(is_unique, "is_unique")?,
        method: required(method, "method")?.to_owned(),
        include: texts(include, "include")?,
        predicate,
    };
    Ok(keys::create_index(required(tbl, "tbl")?, &definition)?)
}

/// tbl, code, detail, size_bytes, ddl.
type Row = (Oid, String, String, i64, Option<String>);

#[pg_extern(sql = false)]
#[allow(clippy::type_complexity)]
fn index_advice(
    tbl: Option<Oid>,
) -> Result<
    TableIterator<
        'static,
        (
            name!(tbl, Oid),
            name!(code, String),
            name!(detail, String),
            name!(size_bytes, i64),
            name!(ddl, Option<String>),
        ),
    >,
    ErrorReport,
> {
    let rows = keys::advice(tbl)?;
    Ok(TableIterator::new(
        rows.into_iter()
            .map(|(Advice { table, code, detail, ddl, .. }, size)| -> Row { (table, code.into(), detail, size, ddl) }),
    ))
}

#[pg_extern(sql = false)]
fn next_number(name: Option<&str>) -> Result<i64, ErrorReport> {
    let name = required(name, "name")?;
    Ok(keys::next_number(context::require()?, name)?)
}

#[pg_extern(sql = false)]
fn reserve_numbers(
    name: Option<&str>,
    count: Option<i32>,
) -> Result<TableIterator<'static, (name!(first, i64), name!(last, i64))>, ErrorReport> {
    let (name, count) = (required(name, "name")?, required(count, "count")?);
    Ok(TableIterator::once(keys::reserve_numbers(context::require()?, name, count)?))
}

#[pg_extern(sql = false)]
fn set_number(
    tenant: Option<&str>,
    name: Option<&str>,
    last_value: Option<i64>,
    gapless: Option<bool>,
) -> Result<(), ErrorReport> {
    Ok(keys::set_number(
        required(tenant, "tenant")?,
        required(name, "name")?,
        required(last_value, "last_value")?,
        required(gapless, "gapless")?,
    )?)
}
