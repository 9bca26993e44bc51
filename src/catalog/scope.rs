//! What has to be known of tables, keys and foreign keys to lead them by the tenant column; and running what
//! follows from it.
//!
//! The queries rely on the search path that the functions of `sql/install/12_scope.sql` pin. They read catalogs and
//! records alone, with the rights of the extension's owner.

use super::relations::Family;
use super::spi::{self, Row};
use crate::error::Result;
use crate::sql::Ident;
use crate::sys::types::{self, Base};
use crate::sys::{INVALID_OID, Oid, role, savepoint};
use pgrx::PgSqlErrorCode;
use std::collections::HashMap;

const TABLES: &str = include_str!("../../sql/queries/scope/tables.sql");
const PROSPECTS: &str = include_str!("../../sql/queries/scope/prospects.sql");
const KEYS: &str = include_str!("../../sql/queries/scope/keys.sql");
const INDEXES: &str = include_str!("../../sql/queries/scope/indexes.sql");
const FOREIGN_KEYS: &str = include_str!("../../sql/queries/scope/foreign_keys.sql");

/// The tenant column of a protected table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    pub ident: Ident,
    pub attnum: i16,
    pub type_name: String,
    /// The type under all domains.
    pub base_type: Oid,
    /// `None`: the type is unsuitable.
    pub family: Option<Family>,
    pub not_null: bool,
    pub collation: Oid,
    pub collation_name: String,
}

/// A table, and what is recorded of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    pub oid: Oid,
    /// Schema-qualified.
    pub ident: Ident,
    pub partitioned: bool,
    /// A partition, whose indexes come through its parent's.
    pub part: bool,
    /// `None`: nothing is recorded.
    pub kind: Option<String>,
    pub tenant: Option<Tenant>,
}

/// What a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    Primary,
    Unique,
    Exclusion,
    /// A unique index without a constraint.
    Index,
}

/// Something that is unique in a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    pub index: Oid,
    pub kind: KeyKind,
    pub name: String,
    pub ident: Ident,
    /// The index, schema-qualified.
    pub index_ident: Ident,
    pub method: Ident,
    /// The columns that make it unique; 0 for an expression.
    pub attnums: Vec<i16>,
    pub columns: Vec<Ident>,
    pub include: Vec<Ident>,
    pub include_attnums: Vec<i16>,
    /// A column, or an expression, that may be NULL.
    pub nullable: bool,
    pub valid: bool,
    pub deferrable: bool,
    pub deferred: bool,
    pub nulls_not_distinct: bool,
    /// The last column is WITHOUT OVERLAPS.
    pub period: bool,
    /// Storage parameters, as WITH takes them.
    pub options: Option<String>,
    pub tablespace: Option<Ident>,
    pub replica_identity: bool,
    pub clustered: bool,
    pub comment: Option<String>,
    pub index_comment: Option<String>,
    /// A part of the key of the table's parent.
    pub part: bool,
    /// Indexes and exclusion constraints: their definition after the opening parenthesis, up to a WHERE, and that.
    pub definition: Option<String>,
    pub predicate: String,
    /// What other than foreign keys depends on it.
    pub users: Vec<String>,
    /// A part of it is a replica identity, or clustered by.
    pub parts_marked: bool,
    pub multicolumn: bool,
    /// Its access method knows the tenant column's type.
    pub takes_tenant: bool,
}

/// An index of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    pub table: Oid,
    pub ident: Ident,
    /// Schema-qualified.
    pub full_ident: Ident,
    pub unique: bool,
    pub immediate: bool,
    pub valid: bool,
    /// Of columns alone, and of all rows.
    pub plain: bool,
    pub nulls_not_distinct: bool,
    pub of_constraint: bool,
    /// A btree in default order.
    pub default_order: bool,
    pub attnums: Vec<i16>,
    pub include: Vec<i16>,
}

/// A pair of columns of a foreign key, and how PostgreSQL compares them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    pub child: Ident,
    pub parent: Ident,
    pub child_attnum: i16,
    pub parent_attnum: i16,
    pub operator: String,
    pub child_cast: String,
    pub parent_cast: String,
    /// With COLLATE before it, or empty.
    pub collation: String,
}

/// A foreign key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignKey {
    pub name: String,
    pub ident: Ident,
    pub child: Oid,
    pub parent: Oid,
    /// The index that it refers to, the topmost one of a partitioned table.
    pub index: Oid,
    /// A part of the foreign key of the table's parent.
    pub part: bool,
    pub pairs: Vec<Pair>,
    pub nullable: bool,
    /// `pg_constraint.confupdtype`, `confdeltype`.
    pub on_update: String,
    pub on_delete: String,
    /// The columns that its action on DELETE sets, where not all.
    pub set_columns: Option<Vec<Ident>>,
    pub match_full: bool,
    pub deferrable: bool,
    pub deferred: bool,
    pub validated: bool,
    pub enforced: bool,
    /// The last pair is a PERIOD.
    pub period: bool,
    pub comment: Option<String>,
    /// Roles whose functions comparing the columns would call as the current user.
    pub cast_owners: Vec<String>,
}

/// The tables.
pub fn tables(oids: &[Oid]) -> Result<HashMap<Oid, Table>> {
    let tables = spi::read_latest(TABLES, &[oids.to_vec().into()], table)?;
    Ok(tables.into_iter().map(|table| (table.oid, table)).collect())
}

/// The tables as they will be once they are protected by the column, which will be of that type where it is not there yet.
pub fn prospects(oids: &[Oid], column: &str, type_oid: Oid) -> Result<Vec<Table>> {
    spi::read_latest(PROSPECTS, &[oids.to_vec().into(), column.into(), type_oid.into()], table)
}

fn table(row: Row<'_>) -> Result<Table> {
    Ok(Table {
        oid: row.require(1)?,
        ident: Ident::quoted(row.require(2)?),
        partitioned: row.require(3)?,
        kind: row.get(4)?,
        tenant: row.get::<String>(5)?.map(|ident| tenant(&row, ident)).transpose()?,
        part: row.require(12)?,
    })
}

fn tenant(row: &Row<'_>, ident: String) -> Result<Tenant> {
    let type_oid: Oid = row.require(7)?;
    let (base_type, family) = match types::base(type_oid) {
        Base::Uuid => (types::under_domains(type_oid), Some(Family::Id)),
        Base::Text => (types::TEXT, Some(Family::Key)),
        Base::Integer(base) => (base, Some(Family::Number)),
        Base::Other => (type_oid, None),
    };
    Ok(Tenant {
        ident: Ident::quoted(ident),
        attnum: row.require(6)?,
        type_name: row.require(8)?,
        base_type,
        family,
        not_null: row.require(9)?,
        collation: row.require(10)?,
        collation_name: row.require(11)?,
    })
}

/// The keys of a table, its primary key first, seen from the tenant column that it has or will have.
pub fn keys(table: Oid, tenant: Option<&Tenant>) -> Result<Vec<Key>> {
    let (base_type, attnum) = tenant.map_or((INVALID_OID, 0), |tenant| (tenant.base_type, tenant.attnum));
    spi::read_latest(KEYS, &[table.into(), base_type.into(), attnum.into()], |row| {
        let attnums: Vec<i16> = row.require(7)?;
        let mut columns: Vec<Ident> = idents(row.require(8)?);
        let include = columns.split_off(attnums.len().min(columns.len()));
        Ok(Key {
            index: row.require(1)?,
            kind: match row.require::<String>(2)?.as_str() {
                "p" => KeyKind::Primary,
                "u" => KeyKind::Unique,
                "x" => KeyKind::Exclusion,
                _ => KeyKind::Index,
            },
            name: row.require(3)?,
            ident: Ident::quoted(row.require(4)?),
            index_ident: Ident::quoted(row.require(5)?),
            method: Ident::quoted(row.require(6)?),
            attnums,
            columns,
            include,
            include_attnums: row.require(28)?,
            nullable: row.require(9)?,
            valid: row.require(10)?,
            deferrable: row.require(11)?,
            deferred: row.require(12)?,
            nulls_not_distinct: row.require(13)?,
            period: row.require(14)?,
            options: row.get(15)?,
            tablespace: row.get(16)?.map(Ident::quoted),
            replica_identity: row.require(17)?,
            clustered: row.require(18)?,
            comment: row.get(19)?,
            index_comment: row.get(20)?,
            part: row.require(21)?,
            definition: row.get(22)?,
            predicate: row.require(23)?,
            users: row.require(24)?,
            parts_marked: row.require(25)?,
            multicolumn: row.get(26)?.unwrap_or(false),
            takes_tenant: row.require(27)?,
        })
    })
}

fn idents(texts: Vec<String>) -> Vec<Ident> {
    texts.into_iter().map(Ident::quoted).collect()
}

/// The indexes of the tables.
pub fn indexes(tables: &[Oid]) -> Result<Vec<Index>> {
    spi::read_latest(INDEXES, &[tables.to_vec().into()], |row| {
        Ok(Index {
            table: row.require(1)?,
            ident: Ident::quoted(row.require(2)?),
            full_ident: Ident::quoted(row.require(3)?),
            unique: row.require(4)?,
            immediate: row.require(5)?,
            valid: row.require(6)?,
            plain: row.require(7)?,
            nulls_not_distinct: row.require(8)?,
            of_constraint: row.require(9)?,
            default_order: row.require(10)?,
            attnums: row.require(11)?,
            include: row.require(12)?,
        })
    })
}

/// The foreign keys of the tables, and those that refer to them, as seen by the role that is to compare their columns.
pub fn foreign_keys(tables: &[Oid], role: Oid) -> Result<Vec<ForeignKey>> {
    spi::read_latest(FOREIGN_KEYS, &[tables.to_vec().into(), role.into()], |row| {
        Ok(ForeignKey {
            name: row.require(1)?,
            ident: Ident::quoted(row.require(2)?),
            child: row.require(3)?,
            parent: row.require(4)?,
            index: row.require(5)?,
            part: row.require(6)?,
            pairs: pairs(&row)?,
            nullable: row.require(15)?,
            on_update: row.require(16)?,
            on_delete: row.require(17)?,
            set_columns: row.get::<Vec<String>>(18)?.map(idents),
            match_full: row.require(19)?,
            deferrable: row.require(20)?,
            deferred: row.require(21)?,
            validated: row.require(22)?,
            enforced: row.require(23)?,
            period: row.require(24)?,
            comment: row.get(25)?,
            cast_owners: row.get(26)?.unwrap_or_default(),
        })
    })
}

fn pairs(row: &Row<'_>) -> Result<Vec<Pair>> {
    let (child_attnums, parent_attnums): (Vec<i16>, Vec<i16>) = (row.require(7)?, row.require(8)?);
    let text = |column| row.require::<Vec<String>>(column).map(Vec::into_iter);
    let (mut children, mut parents) = (text(9)?, text(10)?);
    let (mut operators, mut parent_casts, mut child_casts) = (text(11)?, text(12)?, text(13)?);
    let mut collations = text(14)?;
    Ok(child_attnums
        .into_iter()
        .zip(parent_attnums)
        .map(|(child_attnum, parent_attnum)| Pair {
            child: Ident::quoted(children.next().unwrap_or_default()),
            parent: Ident::quoted(parents.next().unwrap_or_default()),
            child_attnum,
            parent_attnum,
            operator: operators.next().unwrap_or_default(),
            child_cast: child_casts.next().unwrap_or_default(),
            parent_cast: parent_casts.next().unwrap_or_default(),
            collation: collations.next().unwrap_or_default(),
        })
        .collect())
}

/// The table and its partitions.
pub fn partitions(table: Oid) -> Result<Vec<Oid>> {
    let mut all = spi::read_latest(
        "SELECT relid::oid FROM pg_catalog.pg_partition_tree($1::pg_catalog.oid)",
        &[table.into()],
        |row| row.require(1),
    )?;
    if !all.contains(&table) {
        all.push(table);
    }
    Ok(all)
}

/// The relation names in the table's schema that begin so.
pub fn names_like(table: Oid, beginning: &str) -> Result<Vec<String>> {
    spi::read_latest(
        "SELECT c.relname::text FROM pg_catalog.pg_class AS c \
         WHERE c.relnamespace = (SELECT t.relnamespace FROM pg_catalog.pg_class AS t WHERE t.oid = $1) \
           AND starts_with(c.relname::text, $2)",
        &[table.into(), beginning.into()],
        |row| row.require(1),
    )
}

/// Counts rows of tables that the current user owns, whoever's they are: forced row security would leave him none.
/// `latest` sees what others have committed since the transaction took its snapshot, by PostgreSQL's rules.
pub fn count(query: &str, latest: bool) -> Result<i64> {
    let counts = role::unforced(|| {
        let read = |row: Row<'_>| row.require::<i64>(1);
        if latest { spi::write(query, &[], read) } else { spi::read(query, &[], read) }
    })?;
    Ok(counts.into_iter().next().unwrap_or(0))
}

/// Runs the statements as the current user, and those that check a foreign key so that they look at all rows: forced
/// row security would have PostgreSQL look at none. It stays forced for the others, since building an index calls the
/// functions of its expressions. Returns false, as if nothing had been run, when a row breaks a foreign key.
pub fn execute(ddl: &[String], checks_foreign_key: impl Fn(&str) -> bool) -> Result<bool> {
    let run = |line: &String| spi::run(line, &[]).map(|_| ());
    let run_each = |line: &String| if checks_foreign_key(line) { role::unforced(|| run(line)) } else { run(line) };
    savepoint::attempt(PgSqlErrorCode::ERRCODE_FOREIGN_KEY_VIOLATION, || ddl.iter().try_for_each(run_each))
        .map_or(Ok(false), |outcome| outcome.map(|()| true))
}
