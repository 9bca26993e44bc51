//! Giving a schema that knew no tenants to one.

use super::{name_text, required};
use crate::adoption::{self, Adoption, COLUMN, Protected, Range, Step};
use crate::error::{self, Error};
use crate::isolation::{self, Kind, Options};
use crate::keys::{self, Prospects, ScopeStep};
use crate::sys::Oid;
use pgrx::Array;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use std::ffi::CStr;

#[pg_extern(sql = false)]
fn adopt_plan(
    schema: Option<&CStr>,
    tenant: Option<&str>,
    global_tables: Option<Array<'_, Oid>>,
) -> Result<
    TableIterator<'static, (name!(step, i32), name!(phase, String), name!(ddl, String), name!(lock, String))>,
    ErrorReport,
> {
    let steps = plan(&read(schema, tenant, global_tables)?)?;
    Ok(TableIterator::new((1..).zip(steps).map(|(number, step)| (number, step.phase.to_owned(), step.ddl, step.lock))))
}

#[pg_extern(sql = false)]
fn adopt(
    schema: Option<&CStr>,
    tenant: Option<&str>,
    global_tables: Option<Array<'_, Oid>>,
) -> Result<SetOfIterator<'static, String>, ErrorReport> {
    Ok(SetOfIterator::new(run(&read(schema, tenant, global_tables)?)?))
}

#[pg_extern(sql = false)]
fn adopt_rows(
    tbl: Option<Oid>,
    tenant: Option<&str>,
    first_page: Option<i64>,
    pages: Option<i64>,
    path: Option<&str>,
) -> Result<i64, ErrorReport> {
    let range = Range { first: required(first_page, "first_page")?, count: pages };
    Ok(adoption::fill(required(tbl, "tbl")?, required(tenant, "tenant")?, range, required(path, "path")?)?)
}

fn read(schema: Option<&CStr>, tenant: Option<&str>, global_tables: Option<Array<'_, Oid>>) -> error::Result<Adoption> {
    let schema = name_text(required(schema, "schema")?);
    let global: Option<Vec<Oid>> = required(global_tables, "global_tables")?.iter().collect();
    let global = global.ok_or(Error::NullArgument("an element of global_tables"))?;
    adoption::read(&schema, required(tenant, "tenant")?, &global)
}

fn plan(adoption: &Adoption) -> error::Result<Vec<Step>> {
    let prospects = Prospects {
        column: COLUMN.to_owned(),
        column_type: Some(adoption.column_type),
        protected: adoption.unprotected(),
        global: adoption.global.iter().map(|(oid, _)| *oid).collect(),
    };
    let keys = keys::outlook(&adoption.tables(), &prospects)?;
    let mut done = Vec::new();
    for root in &adoption.roots {
        if let Some(protected) = &root.protected
            && isolation::protect(root.oid, &options(Some(protected), true)?)?.is_empty()
        {
            done.push(root.oid);
        }
    }
    let mut steps = adoption::before(adoption);
    steps.extend(keys.before.into_iter().map(|step| scope_step("keys", step)));
    steps.extend(keys.indexes.into_iter().map(|step| scope_step("indexes", step)));
    steps.extend(adoption::after(adoption, |root| done.contains(&root.oid)));
    steps.extend(keys.after.into_iter().map(|step| scope_step("keys", step)));
    let remarks: Vec<String> = adoption.remarks().chain(keys.remarks.into_iter().map(|step| step.ddl)).collect();
    Ok(adoption::finish(steps, remarks))
}

fn run(adoption: &Adoption) -> error::Result<Vec<String>> {
    let mut ddl = adoption::begin(adoption)?;
    for (table, name) in &adoption.global {
        isolation::classify(*table, Kind::Global)?;
        ddl.push(adoption::classification(name));
    }
    for root in &adoption.roots {
        ddl.extend(isolation::protect(root.oid, &options(root.protected.as_ref(), false)?)?);
    }
    ddl.extend(keys::scope_all(&adoption.tables())?);
    if !ddl.iter().any(|line| adoption::is_statement(line)) {
        return Ok(Vec::new());
    }
    ddl.extend(adoption.remarks());
    adoption::note(adoption, &ddl)?;
    Ok(ddl)
}

fn options(protected: Option<&Protected>, dry_run: bool) -> error::Result<Options> {
    Ok(Options {
        tenant_column: protected.map_or(COLUMN, |protected| &protected.column).to_owned(),
        kind: protected.map_or(Ok(Kind::Tenant), |protected| Kind::parse(&protected.kind))?,
        create_index: false,
        reference_tenants: false,
        statistics_target: None,
        dry_run,
    })
}

fn scope_step(phase: &'static str, step: ScopeStep) -> Step {
    Step { phase, ddl: step.ddl, lock: step.lock }
}
