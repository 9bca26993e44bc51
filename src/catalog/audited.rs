//! `tenancy.audited`: which tables are audited, and how.

use super::{registry, spi};
use crate::error::Result;
use crate::sys::scan::{self, Key};
use crate::sys::{Oid, invalidation};

// Attribute numbers of the table, fixed by its DDL; new columns come after these.
const RELATION: i16 = 1;
const IGNORE: usize = 2;
const REDACT: usize = 3;

/// The triggers of an audited table, with what makes each of them.
pub const TRIGGERS: [(&str, &str); 4] = [
    ("tenancy_audit_insert", "AFTER INSERT ON {} REFERENCING NEW TABLE AS new_rows"),
    ("tenancy_audit_update", "AFTER UPDATE ON {} REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows"),
    ("tenancy_audit_delete", "AFTER DELETE ON {} REFERENCING OLD TABLE AS old_rows"),
    ("tenancy_audit_truncate", "AFTER TRUNCATE ON {}"),
];

/// Which columns are treated in a way of their own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// A change of these alone is none.
    pub ignore: Vec<String>,
    /// These are never recorded.
    pub redact: Vec<String>,
}

/// How a table is audited, if it is. Read as catalogs are, whoever asks.
pub fn find(relation: Oid) -> Result<Option<Config>> {
    let registry = registry::get()?;
    let mut found = None;
    scan::find(registry.audited, registry.audited_by_relation, &[(RELATION, Key::Oid(relation))], |row| {
        found = Some(Config { ignore: row.texts(IGNORE), redact: row.texts(REDACT) });
        true
    });
    Ok(found)
}

/// Whether any table is. Costs next to nothing.
pub fn are_any() -> bool {
    let oid = |name| scan::relation_oid(c"tenancy", name);
    // While the extension is being installed there is no such table yet.
    let (Some(table), Some(index)) = (oid(c"audited"), oid(c"audited_pkey")) else { return false };
    let mut found = false;
    scan::find(table, index, &[], |_| {
        found = true;
        true
    });
    found
}

/// Records a table. Returns whether anything changed. Needs the rights of the extension's owner.
pub fn put(relation: Oid, config: &Config) -> Result<bool> {
    if find(relation)?.as_ref() == Some(config) {
        return Ok(false);
    }
    spi::run(
        "INSERT INTO tenancy.audited (relation, ignore, redact) VALUES ($1, $2, $3) \
         ON CONFLICT (relation) DO UPDATE SET ignore = EXCLUDED.ignore, redact = EXCLUDED.redact",
        &[relation.into(), config.ignore.clone().into(), config.redact.clone().into()],
    )?;
    invalidation::announce(relation);
    Ok(true)
}

/// Removes the record of a table. As for `put`.
pub fn remove(relation: Oid) -> Result<()> {
    spi::run("DELETE FROM tenancy.audited WHERE relation OPERATOR(pg_catalog.=) $1", &[relation.into()])?;
    invalidation::announce(relation);
    Ok(())
}

/// Tables that are not audited while a parent of theirs is, with that parent. As for `put`.
pub fn new_parts() -> Result<Vec<(Oid, Oid)>> {
    spi::read_latest(
        "SELECT i.inhrelid, i.inhparent \
         FROM tenancy.audited AS a JOIN pg_catalog.pg_inherits AS i ON i.inhparent OPERATOR(pg_catalog.=) a.relation \
         WHERE NOT EXISTS (SELECT FROM tenancy.audited AS own WHERE own.relation OPERATOR(pg_catalog.=) i.inhrelid) \
         ORDER BY i.inhrelid, i.inhseqno",
        &[],
        |row| Ok((row.require(1)?, row.require(2)?)),
    )
}

/// The table and all that inherits from it, each with its name.
pub fn tree(table: Oid) -> Result<Vec<(Oid, String)>> {
    let oids: Vec<Oid> = spi::read_latest(
        "WITH RECURSIVE tree(oid) AS ( \
           SELECT $1::pg_catalog.oid \
           UNION \
           SELECT i.inhrelid FROM tree JOIN pg_catalog.pg_inherits AS i \
             ON i.inhparent OPERATOR(pg_catalog.=) tree.oid) \
         SELECT oid FROM tree",
        &[table.into()],
        |row| row.require(1),
    )?;
    oids.into_iter().map(|oid| Ok((oid, super::relations::name(oid)?))).collect()
}

/// The column names of a table, those that are there.
pub fn columns(table: Oid) -> Result<Vec<String>> {
    spi::read_latest(
        "SELECT attname::pg_catalog.text FROM pg_catalog.pg_attribute \
         WHERE attrelid OPERATOR(pg_catalog.=) $1 AND attnum OPERATOR(pg_catalog.>) 0 AND NOT attisdropped",
        &[table.into()],
        |row| row.require(1),
    )
}

/// The columns of the primary key, or else of the replica identity.
pub fn key_columns(table: Oid) -> Result<Vec<String>> {
    spi::read_latest(
        "SELECT a.attname::pg_catalog.text \
         FROM (SELECT i.indrelid, i.indkey, i.indnkeyatts FROM pg_catalog.pg_index AS i \
               WHERE i.indrelid OPERATOR(pg_catalog.=) $1 AND (i.indisprimary OR i.indisreplident) \
               ORDER BY i.indisprimary DESC LIMIT 1) AS i \
         JOIN pg_catalog.pg_attribute AS a ON a.attrelid OPERATOR(pg_catalog.=) i.indrelid \
           AND a.attnum OPERATOR(pg_catalog.=) ANY ((i.indkey::pg_catalog.int2[])[0:i.indnkeyatts - 1])",
        &[table.into()],
        |row| row.require(1),
    )
}

const STATES: &str = "SELECT a.relation::pg_catalog.oid, \
                pg_catalog.count(t.oid)::pg_catalog.int4, a.ignore, a.redact \
         FROM tenancy.audited AS a \
         JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) a.relation \
         LEFT JOIN pg_catalog.pg_trigger AS t ON t.tgrelid OPERATOR(pg_catalog.=) a.relation \
           AND t.tgenabled OPERATOR(pg_catalog.=) 'A' AND t.tgqual IS NULL AND t.tgattr OPERATOR(pg_catalog.=) '' \
           AND t.tgfoid OPERATOR(pg_catalog.=) 'tenancy.audit_change()'::pg_catalog.regprocedure \
           AND t.tgname OPERATOR(pg_catalog.=) ANY ('{tenancy_audit_insert,tenancy_audit_update,\
tenancy_audit_delete,tenancy_audit_truncate}'::pg_catalog.name[]) \
         GROUP BY a.relation, a.ignore, a.redact";

/// An audited table as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    pub relation: Oid,
    /// How many of its triggers are there and fire always.
    pub triggers: i32,
    pub config: Config,
}

fn state(row: spi::Row<'_>) -> Result<State> {
    let config = Config { ignore: row.require(3)?, redact: row.require(4)? };
    Ok(State { relation: row.require(1)?, triggers: row.require(2)?, config })
}

/// The audited tables that exist. As for `put`.
pub fn states() -> Result<Vec<State>> {
    spi::read_latest(STATES, &[], state)
}

/// As they were before the running statement, and as they are now, others' changes apart; `None` when what was can't
/// be seen any more. As for `put`.
pub fn states_around() -> Result<Option<(Vec<State>, Vec<State>)>> {
    spi::read_around(STATES, &[], state)
}

/// The columns that the running statement renamed or removed, by their names before and now.
pub fn renamed(table: Oid) -> Result<Vec<(String, Option<String>)>> {
    const NAMES: &str = "SELECT attnum, attname::pg_catalog.text FROM pg_catalog.pg_attribute \
                         WHERE attrelid OPERATOR(pg_catalog.=) $1 AND attnum OPERATOR(pg_catalog.>) 0 \
                         AND NOT attisdropped";
    let name = |row: spi::Row<'_>| Ok((row.require::<i16>(1)?, row.require::<String>(2)?));
    let Some((before, now)) = spi::read_around(NAMES, &[table.into()], name)? else { return Ok(Vec::new()) };
    let current = |number: i16| now.iter().find(|column| column.0 == number).map(|column| column.1.clone());
    let pairs = before.into_iter().map(|(number, name)| (name, current(number)));
    Ok(pairs.filter(|(before, now)| now.as_ref() != Some(before)).collect())
}
