//! The doctor.

use super::name_text;
use crate::{doctor, hardening, isolation, registry};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use std::ffi::CStr;

/// code, severity, object, detail, fix.
type Row = (String, String, String, String, Option<String>);

#[pg_extern(sql = false, name = "doctor")]
#[allow(clippy::type_complexity)]
fn examine(
    schema: Option<&CStr>,
) -> Result<
    TableIterator<
        'static,
        (
            name!(code, String),
            name!(severity, String),
            name!(object, String),
            name!(detail, String),
            name!(fix, Option<String>),
        ),
    >,
    ErrorReport,
> {
    let schema = schema.map(name_text);
    let drifted = isolation::drift(schema.as_deref())?.into_iter().map(|drift| (drift.relation, drift.remedy));
    let softened = if schema.is_none() { hardening::drift()? } else { Vec::new() };
    let softened = softened.into_iter().map(|drift| (drift.role, drift.remedy));
    let stale = registry::stale_publications(schema.as_deref())?.into_iter();
    let stale = stale.map(|found| (found.publication, found.table, found.remedy));
    let findings = doctor::examine(schema.as_deref(), drifted, softened, stale)?;
    Ok(TableIterator::new(findings.into_iter().map(|found| -> Row {
        (found.code.into(), found.severity.as_str().into(), found.object, found.detail, found.fix)
    })))
}
