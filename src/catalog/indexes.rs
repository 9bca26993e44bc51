//! Indexes of protected tables, and what else tells which of them are of use.

use super::registry::as_owner;
use super::spi::{self, Row};
use crate::error::Result;
use crate::sql::Ident;
use crate::sys::{Oid, index};
use std::collections::{HashMap, HashSet};

const TABLES: &str = include_str!("../../sql/queries/indexes/tables.sql");
const INDEXES: &str = include_str!("../../sql/queries/indexes/indexes.sql");
const OPERATORS: &str = include_str!("../../sql/queries/indexes/operators.sql");
const FOREIGN_KEYS: &str = include_str!("../../sql/queries/indexes/foreign_keys.sql");
const SIZES: &str = include_str!("../../sql/queries/indexes/sizes.sql");

/// A protected table that is to get an index.
#[derive(Debug, Clone)]
pub struct Target {
    /// Schema-qualified.
    pub ident: Ident,
    pub name: String,
    pub schema: Oid,
    pub tenant_column: String,
    pub tenant_ident: Ident,
    pub tenant_type: Oid,
    pub tenant_type_name: String,
}

/// The table with its tenant column, if it is protected and has it.
pub fn target(table: Oid) -> Result<Option<Target>> {
    let rows = as_owner(|| {
        spi::read_latest(
            "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname), c.relname::pg_catalog.text, c.relnamespace, \
                    a.attname::pg_catalog.text, pg_catalog.quote_ident(a.attname), a.atttypid, \
                    pg_catalog.format_type(a.atttypid, NULL) \
             FROM tenancy.protection AS p \
             JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) p.relation \
             JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace \
             JOIN pg_catalog.pg_attribute AS a ON a.attrelid OPERATOR(pg_catalog.=) c.oid \
              AND a.attname OPERATOR(pg_catalog.=) p.tenant_column AND NOT a.attisdropped \
             WHERE p.relation OPERATOR(pg_catalog.=) $1",
            &[table.into()],
            |row| {
                Ok(Target {
                    ident: Ident::quoted(row.require(1)?),
                    name: row.require(2)?,
                    schema: row.require(3)?,
                    tenant_column: row.require(4)?,
                    tenant_ident: Ident::quoted(row.require(5)?),
                    tenant_type: row.require(6)?,
                    tenant_type_name: row.require(7)?,
                })
            },
        )
    })?;
    Ok(rows.into_iter().next())
}

/// The relation of that name in a schema.
pub fn by_name(schema: Oid, name: &str) -> Result<Option<Oid>> {
    let oids = spi::read_latest(
        "SELECT oid FROM pg_catalog.pg_class \
         WHERE relnamespace OPERATOR(pg_catalog.=) $1 AND relname OPERATOR(pg_catalog.=) $2::pg_catalog.name",
        &[schema.into(), name.into()],
        |row| row.require(1),
    )?;
    Ok(oids.into_iter().next())
}

/// A protected table or a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    pub oid: Oid,
    pub ident: Ident,
    pub partitioned: bool,
    /// Of which it is a partition.
    pub parent: Option<Oid>,
    /// Attribute number of the tenant column.
    pub tenant: i16,
    pub tenant_collation: Oid,
    pub tenant_ident: Ident,
    /// A tenant sees rows of nobody, or of tenants below it, beside its own.
    pub shows_others: bool,
}

/// One key column of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Attribute number; 0 for an expression.
    pub attribute: i16,
    pub operator_class: Oid,
    pub collation: Oid,
    /// Bit 0: descending; bit 1: nulls first.
    pub options: i16,
    /// As it is printed.
    pub text: String,
    /// Its conditions are kept back by row security, since the expression calls what is not leakproof.
    pub leaky: bool,
}

/// An index of such a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    pub oid: Oid,
    pub table: Oid,
    pub ident: Ident,
    pub method: String,
    pub keys: Vec<Key>,
    /// Attribute numbers of what is stored beside the keys.
    pub included: Vec<i16>,
    pub expressions: Option<String>,
    pub predicate: Option<String>,
    pub unique: bool,
    pub nulls_not_distinct: bool,
    /// Uniqueness is not deferred.
    pub immediate: bool,
    /// Complete and in use.
    pub valid: bool,
    /// It belongs to a constraint, or a foreign key, replication or CLUSTER relies on it.
    pub bound: bool,
    pub partitioned: bool,
    /// It is a part of an index of the partitioned table.
    pub attached: bool,
}

/// A foreign key of such a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignKey {
    pub table: Oid,
    pub name: Ident,
    pub columns: Vec<i16>,
    pub idents: Vec<String>,
    /// The table it refers to has tenants as well.
    pub to_tenants: bool,
}

/// How an operator class stands to row security.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Operators {
    pub leakproof: Vec<String>,
    /// Those that row security keeps from the index.
    pub leaky: Vec<String>,
}

/// All that advice is made of.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    pub tables: Vec<Table>,
    pub indexes: Vec<Index>,
    pub foreign_keys: Vec<ForeignKey>,
    /// By operator class.
    pub operators: HashMap<Oid, Operators>,
}

/// The facts of one protected table with its parts, or of all. Needs the rights of the extension's owner.
pub fn facts(table: Option<Oid>) -> Result<Facts> {
    let tables = spi::read(TABLES, &[table.into()], |row| {
        Ok(Table {
            oid: row.require(1)?,
            ident: Ident::quoted(row.require(2)?),
            partitioned: row.require(3)?,
            parent: row.get(4)?,
            tenant: row.require(5)?,
            tenant_ident: Ident::quoted(row.require(6)?),
            tenant_collation: row.require(7)?,
            shows_others: row.require(8)?,
        })
    })?;
    let oids: Vec<Oid> = tables.iter().map(|table| table.oid).collect();
    let indexes = spi::read(INDEXES, &[oids.clone().into()], index)?;
    let foreign_keys = spi::read(FOREIGN_KEYS, &[oids.into()], |row| {
        Ok(ForeignKey {
            table: row.require(1)?,
            name: Ident::quoted(row.require(2)?),
            columns: row.require(3)?,
            idents: row.require(4)?,
            to_tenants: row.require(5)?,
        })
    })?;
    let classes: HashSet<Oid> =
        indexes.iter().flat_map(|index| index.keys.iter().map(|key| key.operator_class)).collect();
    let classes: Vec<Oid> = classes.into_iter().collect();
    let mut operators: HashMap<Oid, Operators> = HashMap::new();
    let found = spi::read(OPERATORS, &[classes.into()], |row| {
        Ok((row.require::<Oid>(1)?, row.require::<String>(2)?, row.require::<bool>(3)?))
    })?;
    for (class, operator, leakproof) in found {
        let operators = operators.entry(class).or_default();
        if leakproof { &mut operators.leakproof } else { &mut operators.leaky }.push(operator);
    }
    Ok(Facts { tables, indexes, foreign_keys, operators })
}

fn index(row: Row<'_>) -> Result<Index> {
    let oid = row.require(1)?;
    let expressions: Option<String> = row.get(10)?;
    let mut leaky = if expressions.is_some() { index::leaky_expressions(oid) } else { Vec::new() }.into_iter();
    let attributes: Vec<i16> = row.require(5)?;
    let classes: Vec<Oid> = row.require(6)?;
    let collations: Vec<Oid> = row.require(7)?;
    let options: Vec<i16> = row.require(8)?;
    let texts: Vec<String> = row.require(18)?;
    let keys = attributes.into_iter().zip(classes).zip(collations).zip(options).zip(texts);
    let keys = keys.map(|((((attribute, operator_class), collation), options), text)| Key {
        attribute,
        operator_class,
        collation,
        options,
        text,
        leaky: attribute == 0 && leaky.next().unwrap_or(true),
    });
    Ok(Index {
        oid,
        table: row.require(2)?,
        ident: Ident::quoted(row.require(3)?),
        method: row.require(4)?,
        keys: keys.collect(),
        included: row.require(9)?,
        expressions,
        predicate: row.get(11)?,
        unique: row.require(12)?,
        nulls_not_distinct: row.require(13)?,
        valid: row.require(14)?,
        bound: row.require(15)?,
        partitioned: row.require(16)?,
        attached: row.require(17)?,
        immediate: row.require(19)?,
    })
}

/// Bytes on disk of tables and indexes, each with its partitions.
pub fn sizes(relations: Vec<Oid>) -> Result<HashMap<Oid, i64>> {
    let sizes = spi::read(SIZES, &[relations.into()], |row| Ok((row.require(1)?, row.require(2)?)))?;
    Ok(sizes.into_iter().collect())
}
