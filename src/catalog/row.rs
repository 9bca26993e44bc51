//! One row of a user's table: finding it, and asking a policy about it, without ever handing out what is in it.

use super::spi;
use crate::error::{Error, Result};
use crate::guc;
use crate::sql::{self, Command, Ident};
use crate::sys::composite::Composite;
use crate::sys::option::{self, Scope};
use crate::sys::types::{self, Value};
use crate::sys::{Oid, relation, role, subxact};
use pgrx::datum::DatumWithOid;

const TABLE: &str = include_str!("../../sql/queries/why_table.sql");
const GRANTS: &str = include_str!("../../sql/queries/why_grants.sql");
const POLICIES: &str = include_str!("../../sql/queries/why_policies.sql");

/// What decides whether the current role gets at a table's rows at all.
#[derive(Debug, Clone)]
pub struct Table {
    pub row_security: bool,
    pub forced: bool,
    pub schema_usage: bool,
    /// `pg_trigger.tgenabled` of the guard against TRUNCATE.
    pub truncate_guard: Option<String>,
    /// Its name without the schema, under which a printed policy refers to it.
    pub alias: Ident,
}

pub fn table(table: Oid) -> Result<Table> {
    let rows = spi::read(TABLE, &[table.into()], |row| {
        Ok(Table {
            row_security: row.require(1)?,
            forced: row.require(2)?,
            schema_usage: row.require(3)?,
            truncate_guard: row.get(4)?,
            alias: Ident::quoted(row.require(5)?),
        })
    })?;
    rows.into_iter().next().ok_or(Error::UnknownRelation(table.to_u32()))
}

/// The current role's right to a command.
#[derive(Debug, Clone)]
pub struct Grant {
    pub command: String,
    pub on_table: bool,
    /// The columns on which it has the right, quoted and comma-separated.
    pub columns: Option<String>,
}

/// SELECT, INSERT, UPDATE and DELETE, in this order.
pub fn grants(table: Oid) -> Result<Vec<Grant>> {
    spi::read(GRANTS, &[table.into()], |row| {
        Ok(Grant { command: row.require(1)?, on_table: row.require(2)?, columns: row.get(3)? })
    })
}

/// A policy, with whether it binds the current role.
#[derive(Debug, Clone)]
pub struct Policy {
    pub name: String,
    pub permissive: bool,
    pub command: Command,
    pub applies: bool,
    pub using: Option<String>,
    pub check: Option<String>,
}

/// The table's policies, the restrictive ones first, printed for that search path.
pub fn policies(table: Oid, path: &str) -> Result<Vec<Policy>> {
    let policies = subxact::discarded(|| {
        option::set(guc::SEARCH_PATH, path, Scope::Transaction);
        read_policies(table)
    });
    policies.map_err(|failure| failure.pass_on())
}

fn read_policies(table: Oid) -> Result<Vec<Policy>> {
    spi::read(POLICIES, &[table.into()], |row| {
        Ok(Policy {
            name: row.require(1)?,
            permissive: row.require(2)?,
            command: Command::from_catalog(&row.require::<String>(3)?).unwrap_or(Command::All),
            applies: row.require(4)?,
            using: row.get(5)?,
            check: row.get(6)?,
        })
    })
}

/// A column that a key names, and the value it must have.
#[derive(Debug, Clone)]
pub struct KeyColumn {
    pub ident: Ident,
    /// The type under all domains, which is what a column of a domain is compared as.
    pub base: Oid,
    /// Its name.
    pub base_type: String,
    pub value: Option<String>,
}

/// The key's columns, given by name.
///
/// # Errors
/// 42703 where the table has no such column.
pub fn key_columns(table: Oid, table_name: &str, key: Vec<(String, Option<String>)>) -> Result<Vec<KeyColumn>> {
    key.into_iter()
        .map(|(name, value)| {
            let found = spi::read(
                "SELECT pg_catalog.quote_ident(attname), atttypid FROM pg_catalog.pg_attribute \
                 WHERE attrelid OPERATOR(pg_catalog.=) $1 AND attnum OPERATOR(pg_catalog.>) 0 AND NOT attisdropped \
                 AND attname OPERATOR(pg_catalog.=) $2",
                &[table.into(), name.as_str().into()],
                |row| Ok((row.require::<String>(1)?, row.require::<Oid>(2)?)),
            )?;
            let (ident, type_oid) = found
                .into_iter()
                .next()
                .ok_or_else(|| Error::NoSuchKeyColumn { relation: table_name.to_owned(), column: name })?;
            let base = types::under_domains(type_oid);
            let base_type = spi::read("SELECT pg_catalog.format_type($1, NULL)", &[base.into()], |row| row.require(1))?;
            Ok(KeyColumn {
                ident: Ident::quoted(ident),
                base,
                base_type: base_type.into_iter().next().unwrap_or_default(),
                value,
            })
        })
        .collect()
}

/// Whether to read a value of the type may run what somebody wrote who is no superuser: the condition of a domain, for one.
pub fn runs_code(type_oid: Oid) -> Result<bool> {
    const TYPE: &str = include_str!("../../sql/queries/why_type.sql");
    Ok(spi::read(TYPE, &[type_oid.into()], |row| row.require(1))?.into_iter().any(|runs| runs))
}

/// Whether the role may read the whole table.
pub fn may_select(role: Oid, table: Oid) -> Result<bool> {
    const MAY: &str = "SELECT pg_catalog.has_table_privilege($1, $2, 'SELECT')";
    Ok(spi::read(MAY, &[role.into(), table.into()], |row| row.require(1))?.into_iter().any(|may| may))
}

/// Whether the value can be one of its column. Its type is asked as the current user, as in a query of his.
pub fn is_of_type(column: &KeyColumn) -> bool {
    subxact::discarded(|| values(std::slice::from_ref(column)).map(drop)).is_ok()
}

/// The values that are no NULL, read as the current user; what is called on the way can't change that.
fn values(key: &[KeyColumn]) -> Result<Vec<Value>> {
    let read = |column: &KeyColumn, text: &str| {
        types::read(column.base, text).ok_or_else(|| Error::InvalidArgument {
            what: "row_key",
            reason: format!("the value of {} holds what no text can", column.ident),
        })
    };
    role::acting_as(role::current(), || {
        key.iter().filter_map(|column| column.value.as_deref().map(|text| read(column, text))).collect()
    })
}

/// A row that was found. What is in it stays here.
pub struct Found {
    image: Composite,
    /// Whose it is; `None` where there is no telling.
    pub owner: Option<Owner>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    Nobody,
    /// The tenant in force.
    Current,
    /// A tenant below the one in force, which reads its rows here.
    Below,
    /// Another tenant, or any while none is in force.
    Other,
}

/// What to look for, and among whose rows.
pub struct Wanted<'a> {
    pub table: Oid,
    pub ident: &'a Ident,
    pub key: &'a [KeyColumn],
    pub tenant_column: Option<&'a Ident>,
    /// What that column holds for the tenant in force, as SQL.
    pub tenant: Option<&'a str>,
    /// The function that gives, in the column's terms, the tenants whose rows it reads, where it reads others' than its own.
    pub visible: Option<&'static str>,
    /// Only among the rows of the tenant in force.
    pub own_only: bool,
    /// The caller's search path, on which what policies call may rely.
    pub path: &'a str,
}

/// Finds the rows that the current role sees, up to two. An error is told by its SQLSTATE.
pub fn find(wanted: &Wanted<'_>) -> std::result::Result<Vec<Found>, String> {
    look_up(wanted, |query, args| {
        option::set(guc::SEARCH_PATH, wanted.path, Scope::Transaction);
        spi::read(query, args, found)
    })
}

/// As `find`, whoever sees the rows: they are read by the table's owner, exempt from row security. For those who
/// may know of every row.
pub fn find_any(wanted: &Wanted<'_>) -> std::result::Result<Vec<Found>, String> {
    look_up(wanted, |query, args| {
        let owner = relation::brief(wanted.table)?.owner;
        role::acting_as_table_owner(owner, || spi::read(query, args, found))
    })
}

fn found(row: spi::Row<'_>) -> Result<Found> {
    let owner = match (row.get::<bool>(2)?, row.get::<bool>(3)?) {
        (Some(true), _) => Some(Owner::Nobody),
        (Some(false), Some(true)) => Some(Owner::Current),
        (Some(false), _) if row.get::<bool>(4)? == Some(true) => Some(Owner::Below),
        (Some(false), _) => Some(Owner::Other),
        (None, _) => None,
    };
    Ok(Found { image: row.require(1)?, owner })
}

fn look_up(
    wanted: &Wanted<'_>,
    read: impl FnOnce(&str, &[DatumWithOid<'_>]) -> Result<Vec<Found>>,
) -> std::result::Result<Vec<Found>, String> {
    let mut conditions = Vec::new();
    let mut given = 0;
    for column in wanted.key {
        if column.value.is_none() {
            conditions.push(format!("wanted.{} IS NULL", column.ident));
        } else {
            given += 1;
            conditions.push(sql::equal(format_args!("wanted.{}", column.ident), format_args!("${given}")));
        }
    }
    let is_current = wanted
        .tenant_column
        .zip(wanted.tenant)
        .map(|(column, tenant)| sql::equal(format_args!("wanted.{column}"), tenant));
    let is_visible = wanted
        .tenant_column
        .zip(wanted.visible)
        .map(|(column, visible)| sql::equal(format_args!("wanted.{column}"), format_args!("ANY ({visible})")));
    if wanted.own_only {
        conditions.push(is_current.clone().unwrap_or_else(|| "false".into()));
    }
    // A cast to the table's own type does nothing, and keeps a column named like the alias out of it.
    let query = format!(
        "SELECT (wanted.*)::{table}, {}, {}, {} FROM {table} AS wanted WHERE {} LIMIT 2",
        wanted.tenant_column.map_or("NULL::pg_catalog.bool".into(), |column| format!("wanted.{column} IS NULL")),
        is_current.as_deref().unwrap_or("NULL::pg_catalog.bool"),
        is_visible.as_deref().unwrap_or("NULL::pg_catalog.bool"),
        conditions.join(" AND "),
        table = wanted.ident,
    );
    let found = subxact::discarded(|| {
        let values = values(wanted.key)?;
        read(&query, &values.iter().map(Value::as_argument).collect::<Vec<_>>())
    });
    found.map_err(|failure| failure.sqlstate())
}

/// What an expression says of a row: NULL counts as false, as it does in a policy. Evaluated by the current role,
/// as in a query of its own, but so that what the expression calls can't change the role. `path` is the search path
/// for which it was printed. An error is told by its SQLSTATE.
pub fn holds(alias: &Ident, expression: &str, row: &Found, path: &str) -> std::result::Result<bool, String> {
    let query = format!("SELECT ({expression}) IS TRUE FROM pg_catalog.unnest(ARRAY[$1]) AS {alias}");
    let outcome = subxact::discarded(|| {
        option::set(guc::SEARCH_PATH, path, Scope::Transaction);
        role::acting_as(role::current(), || spi::read(&query, &[row.image.as_argument()], |row| row.require::<bool>(1)))
    });
    outcome.map(|holds| holds.into_iter().any(|holds| holds)).map_err(|failure| failure.sqlstate())
}
