//! `tenancy.lifecycle_handlers`: which functions are called when something becomes of a tenant.

use super::spi;
use super::tenants::pg_uuid;
use crate::error::{Lifecycle, Result};
use crate::sys::{Oid, foreign};
use pgrx::JsonB;
use uuid::Uuid;

/// A function as the catalog has it.
#[derive(Debug, Clone)]
pub struct Function {
    /// Schema and name, quoted where they must be.
    pub name: String,
    pub owner: Oid,
    /// An ordinary function of (uuid, jsonb), and nothing else.
    pub is_handler: bool,
}

/// The function with that OID, if there is one.
pub fn function(oid: Oid) -> Result<Option<Function>> {
    let rows = spi::read_latest(
        "SELECT pg_catalog.format('%I.%I', n.nspname, p.proname), p.proowner, \
                p.prokind OPERATOR(pg_catalog.=) 'f' AND NOT p.proretset \
                AND p.proargtypes OPERATOR(pg_catalog.=) '2950 3802'::pg_catalog.oidvector \
                AND p.provariadic OPERATOR(pg_catalog.=) 0::pg_catalog.oid \
                AND p.prorettype NOT IN ('pg_catalog.trigger'::pg_catalog.regtype, \
                                         'pg_catalog.event_trigger'::pg_catalog.regtype) \
         FROM pg_catalog.pg_proc AS p \
         JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) p.pronamespace \
         WHERE p.oid OPERATOR(pg_catalog.=) $1",
        &[oid.into()],
        |row| Ok(Function { name: row.require(1)?, owner: row.require(2)?, is_handler: row.require(3)? }),
    )?;
    Ok(rows.into_iter().next())
}

/// Registers a handler. Returns false when it is registered already. Needs the rights of the extension's owner.
pub fn put(event: &str, name: &str) -> Result<bool> {
    let count = spi::run(
        "INSERT INTO tenancy.lifecycle_handlers (event, handler) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        &[event.into(), name.into()],
    )?;
    Ok(count > 0)
}

/// Removes a handler, or all of an event. Returns their names. Needs the rights of the extension's owner.
pub fn remove(event: &str, name: Option<&str>) -> Result<Vec<String>> {
    spi::write(
        "DELETE FROM tenancy.lifecycle_handlers \
         WHERE event OPERATOR(pg_catalog.=) $1 AND ($2 IS NULL OR handler OPERATOR(pg_catalog.=) $2) \
         RETURNING handler",
        &[event.into(), name.into()],
        |row| row.require(1),
    )
}

/// The names of the handlers of an event, in the order in which they were registered. Needs the rights of the extension's
/// owner.
pub fn handlers(event: &str) -> Result<Vec<String>> {
    spi::read_latest(
        "SELECT handler FROM tenancy.lifecycle_handlers \
         WHERE event OPERATOR(pg_catalog.=) $1 ORDER BY registered_at, handler",
        &[event.into()],
        |row| row.require(1),
    )
}

/// The function that a handler's name means now, and its owner; one that ran before may have changed that.
fn meant(name: &str) -> Result<Option<(Oid, Oid)>> {
    let rows = spi::read_latest(
        "SELECT p.oid, p.proowner FROM pg_catalog.pg_proc AS p \
         WHERE p.oid OPERATOR(pg_catalog.=) pg_catalog.to_regprocedure( \
                   $1 OPERATOR(pg_catalog.||) '(pg_catalog.uuid,pg_catalog.jsonb)')::pg_catalog.oid \
           AND p.prokind OPERATOR(pg_catalog.=) 'f' AND NOT p.proretset",
        &[name.into()],
        |row| Ok((row.require(1)?, row.require(2)?)),
    )?;
    Ok(rows.into_iter().next())
}

/// Calls a handler, as its owner. Its errors pass.
///
/// # Errors
/// 55000 when there is no such function any more.
pub fn call(event: &str, handler: &str, tenant: Uuid, what: serde_json::Value) -> Result<()> {
    let gone = || Lifecycle::HandlerGone { event: event.to_owned(), handler: handler.to_owned() };
    let (function, owner) = meant(handler)?.ok_or_else(gone)?;
    foreign::naming(&format!("handler {handler} of lifecycle event \"{event}\""), || {
        foreign::in_the_name_of(owner, || foreign::call(function, pg_uuid(tenant), JsonB(what)));
    });
    Ok(())
}
