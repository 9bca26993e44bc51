//! The tables of users, as far as isolation is concerned: columns, policies, grants, indexes.

use super::spi::{self, Row};
use crate::error::{Error, Result};
use crate::sql::{Command, Ident};
use crate::sys::relation::{self, Kind};
use crate::sys::types::{self, Base};
use crate::sys::{Oid, savepoint};
use crate::tenant::TenantKey;
use pgrx::PgSqlErrorCode;
use std::collections::HashMap;
use uuid::Uuid;

const TREE: &str = include_str!("../../sql/queries/relation_tree.sql");
const POLICIES: &str = include_str!("../../sql/queries/relation_policies.sql");
const GRANTS: &str = include_str!("../../sql/queries/relation_grants.sql");

/// What a tenant column holds, and so which context function it is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// `uuid`: the tenant's id.
    Id,
    /// `text`, `varchar`: the tenant's key.
    Key,
    /// `smallint`, `integer`, `bigint`: the tenant's key as a number.
    Number,
}

impl Family {
    /// The function that gives the tenants whose rows the one in force reads in tables of kind tree, in the column's terms.
    pub fn visible_function(self) -> &'static str {
        match self {
            Self::Id => "tenancy.visible_tenants()",
            Self::Key => "tenancy.visible_keys()",
            Self::Number => "tenancy.visible_key_ints()",
        }
    }
}

/// A column that may be the tenant column.
#[derive(Debug, Clone)]
pub struct Column {
    pub ident: Ident,
    pub type_name: String,
    /// `None`: the type is unsuitable.
    pub family: Option<Family>,
    /// The type to which PostgreSQL coerces the column in a comparison, where it does.
    pub coerced_to: Option<String>,
    pub deterministic: bool,
    pub not_null: bool,
    pub in_primary_key: bool,
    /// Identity or generated: its default is not free.
    pub computed: bool,
    pub default: Option<String>,
    /// A valid, complete btree index has the column first.
    pub leads_index: bool,
    pub references_tenants: bool,
    /// As ALTER COLUMN … SET STATISTICS set it.
    pub statistics_target: Option<i32>,
}

impl Column {
    /// Why it can't be a tenant column, if it can't.
    pub fn unsuitable(&self) -> Option<String> {
        if self.family.is_none() {
            Some(format!("its type is {}", self.type_name))
        } else if !self.deterministic {
            Some("its collation is nondeterministic".into())
        } else {
            self.computed.then(|| "it is an identity or generated column".into())
        }
    }
}

/// A policy on a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    pub name: String,
    pub permissive: bool,
    pub command: Option<Command>,
    pub to_public: bool,
    pub using: Option<String>,
    pub check: Option<String>,
}

/// Privileges that would let their holder round row security.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    pub grantee: Ident,
    pub privileges: String,
}

/// The trigger that refuses TRUNCATE, as it is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TruncateGuard {
    Missing,
    /// A trigger by its name that does something else.
    Other,
    /// Disabled, or silenced in some sessions.
    NotAlways,
    Always,
}

/// A table, a partition or an inheritance child.
#[derive(Debug, Clone)]
pub struct Relation {
    pub oid: Oid,
    pub parent: Option<Oid>,
    pub schema: Oid,
    /// Schema-qualified.
    pub ident: Ident,
    pub kind: Kind,
    pub temporary: bool,
    pub row_security: bool,
    pub forced: bool,
    pub column: Option<Column>,
    pub policies: Vec<Policy>,
    pub grants: Vec<Grant>,
    pub truncate_guard: TruncateGuard,
    /// The table's own `autovacuum_analyze_scale_factor`.
    pub analyze_scale_factor: Option<f64>,
}

impl Relation {
    pub fn is_partitioned(&self) -> bool {
        self.kind == Kind::Partitioned
    }
}

/// The table and all that inherits from it, parents before children, with the state of the column
/// of the given name.
pub fn tree(root: Oid, column: &str) -> Result<Vec<Relation>> {
    Ok(forest(vec![root], vec![column.to_owned()])?.into_iter().map(|(_, relation)| relation).collect())
}

/// The tables alone, each with the state of the column of the given name.
pub fn alone(tables: Vec<Oid>, column: &str) -> Result<Vec<Relation>> {
    let columns = vec![column.to_owned(); tables.len()];
    Ok(read(tables, columns, false)?.into_iter().map(|(_, relation)| relation).collect())
}

/// The trees of several tables, each with its tenant column's name: relations with their roots, those
/// of one root together. What belongs to several comes once.
pub fn forest(roots: Vec<Oid>, columns: Vec<String>) -> Result<Vec<(Oid, Relation)>> {
    read(roots, columns, true)
}

fn read(roots: Vec<Oid>, columns: Vec<String>, descend: bool) -> Result<Vec<(Oid, Relation)>> {
    let args = [roots.into(), columns.into(), descend.into()];
    let mut relations = spi::read_latest(TREE, &args, |row| Ok((row.require(18)?, relation(row)?)))?;
    let oids: Vec<Oid> = relations.iter().map(|(_, relation)| relation.oid).collect();
    let places: HashMap<Oid, usize> = oids.iter().copied().zip(0..).collect();
    for (oid, policy) in spi::read_latest(POLICIES, &[oids.clone().into()], policy)? {
        if let Some(place) = places.get(&oid) {
            relations[*place].1.policies.push(policy);
        }
    }
    for (oid, grant) in spi::read_latest(GRANTS, &[oids.into()], grant)? {
        if let Some(place) = places.get(&oid) {
            relations[*place].1.grants.push(grant);
        }
    }
    Ok(relations)
}

fn relation(row: Row<'_>) -> Result<Relation> {
    Ok(Relation {
        oid: row.require(1)?,
        parent: row.get(2)?,
        schema: row.require(19)?,
        ident: Ident::quoted(row.require(3)?),
        kind: Kind::from_code(row.require::<i8>(4)? as u8),
        temporary: row.require(5)?,
        row_security: row.require(6)?,
        forced: row.require(7)?,
        column: row.get::<String>(8)?.map(|ident| column(&row, ident)).transpose()?,
        policies: Vec::new(),
        grants: Vec::new(),
        truncate_guard: match row.get::<String>(20)?.as_deref() {
            None => TruncateGuard::Missing,
            Some("A") => TruncateGuard::Always,
            Some("O" | "D" | "R") => TruncateGuard::NotAlways,
            Some(_) => TruncateGuard::Other,
        },
        analyze_scale_factor: row.get::<String>(22)?.and_then(|factor| factor.parse().ok()),
    })
}

fn column(row: &Row<'_>, ident: String) -> Result<Column> {
    let type_oid: Oid = row.require(9)?;
    let base = types::base(type_oid);
    let family = match base {
        Base::Uuid => Some(Family::Id),
        Base::Text => Some(Family::Key),
        Base::Integer(_) => Some(Family::Number),
        Base::Other => None,
    };
    Ok(Column {
        ident: Ident::quoted(ident),
        type_name: row.require(10)?,
        family,
        coerced_to: types::coercion(type_oid, base),
        deterministic: row.require(11)?,
        not_null: row.require(12)?,
        in_primary_key: row.require(13)?,
        computed: row.require(14)?,
        default: row.get(15)?,
        leads_index: row.require(16)?,
        references_tenants: row.require(17)?,
        statistics_target: row.get(21)?,
    })
}

fn policy(row: Row<'_>) -> Result<(Oid, Policy)> {
    let policy = Policy {
        name: row.require(2)?,
        permissive: row.require(3)?,
        command: Command::from_catalog(&row.require::<String>(4)?),
        to_public: row.require(5)?,
        using: row.get(6)?,
        check: row.get(7)?,
    };
    Ok((row.require(1)?, policy))
}

fn grant(row: Row<'_>) -> Result<(Oid, Grant)> {
    let grant = Grant { grantee: Ident::quoted(row.require(2)?), privileges: row.require(3)? };
    Ok((row.require(1)?, grant))
}

/// Only tables can be protected, classified or explained.
///
/// # Errors
/// 42809.
pub fn check_kind(kind: Kind, name: &str) -> Result<()> {
    let reason = match kind {
        Kind::Table | Kind::Partitioned => return Ok(()),
        Kind::View => "it is a view",
        Kind::MaterializedView => "it is a materialized view",
        Kind::ForeignTable => "it is a foreign table",
        Kind::Other => "it is not a table",
    };
    Err(Error::WrongRelationKind { object: name.to_owned(), reason })
}

/// As `check_kind`, and only tables of users.
///
/// # Errors
/// 42809, 0A000.
pub fn check_user_table(brief: &relation::Brief, name: &str) -> Result<()> {
    if relation::is_system(brief) || relation::is_extension_schema(brief) {
        return Err(Error::UnsupportedRelation { object: name.to_owned(), reason: "it is a system table" });
    }
    check_kind(brief.kind, name)
}

/// Only tables of users, and only for their owners.
///
/// # Errors
/// As for `check_user_table`; 42501.
pub fn check_owned(table: Oid) -> Result<()> {
    let brief = relation::brief(table)?;
    let name = name(table)?;
    check_user_table(&brief, &name)?;
    if !relation::is_owned(table) {
        return Err(Error::NotOwner(name));
    }
    Ok(())
}

/// The schema of that name.
pub fn schema(name: &str) -> Result<Oid> {
    let oids = spi::read_latest(
        "SELECT oid FROM pg_catalog.pg_namespace WHERE nspname OPERATOR(pg_catalog.=) $1::pg_catalog.name",
        &[name.into()],
        |row| row.require(1),
    )?;
    oids.into_iter().next().ok_or_else(|| Error::UnknownSchema(name.to_owned()))
}

/// The schemas' names, quoted.
pub fn schema_names(schemas: &[Oid]) -> Result<Vec<String>> {
    spi::read(
        "SELECT pg_catalog.quote_ident(nspname) FROM pg_catalog.pg_namespace \
         WHERE oid OPERATOR(pg_catalog.=) ANY ($1) ORDER BY nspname",
        &[schemas.to_vec().into()],
        |row| row.require(1),
    )
}

/// Tables of a schema that have a column of the given name and are not part of another such table.
pub fn with_column(schema_name: &str, column: &str) -> Result<Vec<Oid>> {
    const TABLES: &str = include_str!("../../sql/queries/tables_with_column.sql");
    spi::read_latest(TABLES, &[schema(schema_name)?.into(), column.into()], |row| row.require(1))
}

/// The relation's schema-qualified name, for messages and records.
pub fn name(relation: Oid) -> Result<String> {
    relation::name(relation).ok_or(Error::UnknownRelation(relation.to_u32()))
}

/// The relation's direct and indirect parents.
pub fn ancestors(relation: Oid) -> Result<Vec<Oid>> {
    spi::read_latest(
        "WITH RECURSIVE up(oid) AS ( \
           SELECT inhparent FROM pg_catalog.pg_inherits WHERE inhrelid OPERATOR(pg_catalog.=) $1 \
           UNION \
           SELECT i.inhparent FROM up JOIN pg_catalog.pg_inherits AS i \
             ON i.inhrelid OPERATOR(pg_catalog.=) up.oid) \
         SELECT oid FROM up",
        &[relation.into()],
        |row| row.require(1),
    )
}

/// A name as an identifier in SQL text.
pub fn quoted(name: &str) -> Result<Ident> {
    let quoted = spi::read("SELECT pg_catalog.quote_ident($1)", &[name.into()], |row| row.require(1))?;
    quoted.into_iter().next().map(Ident::quoted).ok_or_else(|| Error::Spi("a name can't be quoted".into()))
}

/// A type as it is named in SQL text; qualified unless it is PostgreSQL's own.
///
/// # Errors
/// 42704 when there is no such type.
pub fn type_name(type_oid: Oid) -> Result<String> {
    let name = spi::read(
        "SELECT pg_catalog.format_type(oid, NULL) FROM pg_catalog.pg_type WHERE oid OPERATOR(pg_catalog.=) $1",
        &[type_oid.into()],
        |row| row.require(1),
    )?;
    name.into_iter().next().ok_or_else(|| Error::UnknownType(type_oid.to_u32()))
}

/// Runs one composed DDL statement as the current user.
pub fn execute(ddl: &str) -> Result<()> {
    spi::run(ddl, &[])?;
    Ok(())
}

/// Runs an ALTER COLUMN … SET NOT NULL as the current user. Returns false, as if it had not been run, when there
/// are null values.
pub fn execute_not_null(ddl: &str) -> Result<bool> {
    savepoint::attempt(PgSqlErrorCode::ERRCODE_NOT_NULL_VIOLATION, || execute(ddl))
        .map_or(Ok(false), |outcome| outcome.map(|()| true))
}

/// What a tenant column of that type holds for the tenant, or why it can't.
pub fn held_value(base: Base, id: Uuid, key: &TenantKey) -> std::result::Result<(Family, String), String> {
    match base {
        Base::Uuid => Ok((Family::Id, id.to_string())),
        Base::Text => Ok((Family::Key, key.as_str().to_owned())),
        Base::Integer(type_oid) => match key.number() {
            Some(number) if types::holds(type_oid, number) => Ok((Family::Number, number.to_string())),
            Some(_) => Err("the tenant's key is too large a number for its type".into()),
            None => Err("the tenant's key is no number".into()),
        },
        Base::Other => Err("its type holds no tenant".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_holds_id_key_or_number() {
        let id = Uuid::from_u128(7);
        let held = |base, key: &str| held_value(base, id, &TenantKey::parse(key).unwrap()).map(|(_, text)| text);
        assert_eq!(held(Base::Uuid, "acme"), Ok(id.to_string()));
        assert_eq!(held(Base::Text, "42"), Ok("42".into()));
        assert_eq!(held(Base::Integer(types::INT2), "32767"), Ok("32767".into()));
        for (base, key) in
            [(Base::Integer(types::INT2), "32768"), (Base::Integer(types::INT2), "042"), (Base::Other, "1")]
        {
            assert!(held(base, key).is_err(), "{key}");
        }
    }
}
