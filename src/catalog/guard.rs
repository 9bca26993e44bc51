//! What DDL has just done, and to which tables. All but `facts_around` for event triggers alone, with the
//! rights of the extension's owner.

use super::protection::Protection;
use super::spi::{self, Row};
use crate::error::{Error, Result};
use crate::sys::{Oid, scan};
use std::collections::BTreeMap;

const COMMANDS: &str = include_str!("../../sql/queries/guard_commands.sql");
const TOUCHED: &str = include_str!("../../sql/queries/guard_touched.sql");
const PARTS: &str = include_str!("../../sql/queries/guard_parts.sql");
const FACTS: &str = include_str!("../../sql/queries/guard_facts.sql");
const REGRANTED: &str = include_str!("../../sql/queries/guard_regranted.sql");
const DROPPED: &str = "SELECT 1 FROM pg_catalog.pg_event_trigger_dropped_objects() AS d \
                       WHERE d.object_type IN ('policy', 'trigger', 'rule', 'default value', 'table column', \
                                               'table constraint') LIMIT 1";
const ACTING: &str = include_str!("../../sql/queries/guard_acting.sql");
const BEREFT: &str = include_str!("../../sql/queries/guard_bereft.sql");

/// What is to happen to tables that come into a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Managed {
    pub on_new: String,
    pub tenant_column: String,
}

/// A table that a command has made or changed, and of which, or around which, something is recorded.
#[derive(Debug, Clone)]
pub struct Touched {
    pub oid: Oid,
    pub own: Option<Protection>,
    /// The record of the nearest protected parent; else of one classified as global.
    pub above: Option<Protection>,
    pub managed: Option<Managed>,
    /// An extension's script made it, or changed it.
    pub in_extension: bool,
}

/// A table that its parent's protection doesn't cover yet.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    pub oid: Oid,
    pub parent_has_index: bool,
    /// The statistics target of the parent's tenant column.
    pub parent_statistics: Option<i32>,
}

/// What is so of one table: parts and their states, in the catalogs' own terms.
pub type Facts = BTreeMap<String, String>;

/// Facts of several tables, by their OIDs.
pub type TableFacts = BTreeMap<u32, Facts>;

/// Whether anything is recorded that a command could touch. Costs next to nothing.
pub fn is_needed() -> Result<bool> {
    let oid = |name| scan::relation_oid(c"tenancy", name).ok_or(Error::NotInstalled);
    for (table, index) in [(c"protection", c"protection_pkey"), (c"managed_schema", c"managed_schema_pkey")] {
        let mut found = false;
        scan::find(oid(table)?, oid(index)?, &[], |_| {
            found = true;
            true
        });
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The tables that the current command reports, or that are behind what it reports.
pub fn touched() -> Result<Vec<Touched>> {
    let commands = spi::read_latest(COMMANDS, &[], |row| {
        Ok((row.require::<String>(1)?, row.require::<Oid>(2)?, row.require::<bool>(3)?))
    })?;
    let of = |class: &str| -> Vec<Oid> { commands.iter().filter(|command| command.0 == class).map(|c| c.1).collect() };
    let classes = ["pg_class", "pg_trigger", "pg_policy", "pg_rewrite", "pg_type"].map(of);
    if classes.iter().all(Vec::is_empty) {
        return Ok(Vec::new());
    }
    spi::read_latest(TOUCHED, &classes.map(Into::into), |row| {
        let oid: Oid = row.require(1)?;
        let managed = match (row.get(6)?, row.get(7)?) {
            (Some(on_new), Some(tenant_column)) => Some(Managed { on_new, tenant_column }),
            _ => None,
        };
        let in_extension = commands.iter().any(|command| command.1 == oid && command.2);
        Ok(Touched { oid, own: record(&row, 2)?, above: record(&row, 4)?, managed, in_extension })
    })
}

/// The record in two columns of a row, if there is one.
fn record(row: &Row<'_>, at: usize) -> Result<Option<Protection>> {
    let kind: Option<String> = row.get(at)?;
    kind.map(|kind| Ok(Protection { kind, tenant_column: row.get(at + 1)? })).transpose()
}

/// The topmost tables, of this one and all that inherits from it, that are not recorded as it should be.
pub fn unrecorded_parts(table: Oid, kind: &str, tenant_column: &str) -> Result<Vec<Part>> {
    spi::read_latest(PARTS, &[table.into(), kind.into(), tenant_column.into()], |row| {
        Ok(Part { oid: row.require(1)?, parent_has_index: row.require(2)?, parent_statistics: row.get(3)? })
    })
}

/// Protected tables whose privileges or owners may have changed in this transaction; of these alone, if they are known.
pub fn regranted(changed: Option<Vec<Oid>>) -> Result<Vec<Oid>> {
    match changed {
        Some(changed) => spi::read_latest(
            "SELECT p.relation::pg_catalog.oid FROM tenancy.protection AS p \
             WHERE p.relation OPERATOR(pg_catalog.=) ANY ($1) AND p.kind OPERATOR(pg_catalog.<>) 'global'",
            &[changed.into()],
            |row| row.require(1),
        ),
        None => spi::read_latest(REGRANTED, &[], |row| row.require(1)),
    }
}

/// Protected tables that the current command took something from. For a `sql_drop` event trigger alone.
pub fn bereft() -> Result<Vec<(Oid, Protection)>> {
    if spi::read_latest(DROPPED, &[], |_| Ok(()))?.is_empty() {
        return Ok(Vec::new());
    }
    spi::read_latest(BEREFT, &[], |row| {
        Ok((row.require(1)?, Protection { kind: row.require(2)?, tenant_column: row.get(3)? }))
    })
}

/// What was so of the tables before the running statement, and what is so now, others' changes apart; `None` when
/// what was can't be seen any more. A table that was not there has no facts.
pub fn facts_around(tables: &[Oid], tenant_column: &str) -> Result<Option<(TableFacts, TableFacts)>> {
    let facts = spi::read_around(FACTS, &[tables.to_vec().into(), tenant_column.into()], fact)?;
    Ok(facts.map(|(before, now)| (by_table(before), by_table(now))))
}

fn fact(row: Row<'_>) -> Result<(Oid, String, String)> {
    Ok((row.require(1)?, row.require(2)?, row.require(3)?))
}

fn by_table(facts: Vec<(Oid, String, String)>) -> TableFacts {
    let mut tables = TableFacts::new();
    for (table, part, state) in facts {
        tables.entry(table.to_u32()).or_default().insert(part, state);
    }
    tables
}

/// A protected table that belongs to one of these, but for one.
pub fn first_owned(owners: &[Oid], but_for: Oid) -> Result<Option<Oid>> {
    let tables = spi::read(
        "SELECT c.oid FROM tenancy.protection AS p \
         JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) p.relation \
         WHERE p.tenant_column IS NOT NULL AND c.relowner OPERATOR(pg_catalog.=) ANY ($1) \
         AND c.relowner OPERATOR(pg_catalog.<>) $2 ORDER BY c.oid LIMIT 1",
        &[owners.to_vec().into(), but_for.into()],
        |row| row.require(1),
    )?;
    Ok(tables.into_iter().next())
}

/// A role, and one that acts for tenants and has its rights: itself, what it inherits from, or a member. Superusers
/// don't count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActingRole {
    pub name: String,
    pub acting: String,
}

/// The role of that OID, if its rights are those of a role that acts for tenants.
pub fn acting_role(role: &str) -> Result<Option<ActingRole>> {
    let roles = spi::read_latest(ACTING, &[role.into()], |row| {
        Ok(ActingRole { name: row.require(1)?, acting: row.require(2)? })
    })?;
    Ok(roles.into_iter().next())
}
