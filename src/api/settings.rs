//! Settings functions.

use super::{jsonb, required};
use crate::sys::json::Jsonb;
use crate::{context, registry};
use pgrx::AnyElement;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

#[pg_extern(sql = false)]
fn set_setting(
    path: Option<&str>,
    value: Option<AnyElement>,
    tenant: Option<&str>,
    plan: Option<&str>,
) -> Result<(), ErrorReport> {
    Ok(registry::set_setting(required(path, "path")?, jsonb(value), tenant, plan)?)
}

#[pg_extern(sql = false)]
fn setting(path: Option<&str>, fallback: Option<AnyElement>) -> Result<Option<AnyElement>, ErrorReport> {
    let value = context::setting(required(path, "path")?)?;
    Ok(value.or(jsonb(fallback)).and_then(Jsonb::into_result))
}

#[pg_extern(sql = false)]
fn settings() -> Result<Option<AnyElement>, ErrorReport> {
    Ok(context::settings()?.into_result())
}

#[pg_extern(sql = false)]
fn setting_text(path: Option<&str>, fallback: Option<String>) -> Result<Option<String>, ErrorReport> {
    Ok(context::setting_text(required(path, "path")?)?.or(fallback))
}

#[pg_extern(sql = false)]
fn setting_int(path: Option<&str>, fallback: Option<i64>) -> Result<Option<i64>, ErrorReport> {
    Ok(context::setting_int(required(path, "path")?)?.or(fallback))
}

#[pg_extern(sql = false)]
fn setting_bool(path: Option<&str>, fallback: Option<bool>) -> Result<Option<bool>, ErrorReport> {
    Ok(context::setting_bool(required(path, "path")?)?.or(fallback))
}

#[pg_extern(sql = false)]
fn feature(name: Option<&str>) -> Result<bool, ErrorReport> {
    let path = format!("features.{}", required(name, "name")?);
    Ok(context::setting_bool(&path)?.unwrap_or(false))
}
