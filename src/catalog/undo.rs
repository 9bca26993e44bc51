//! What undoing changes takes: entries of the audit log, and the tables that they are of.

use super::{registry, spi, tenants::pg_uuid};
use crate::error::{Error, Result};
use crate::sys::Oid;
use uuid::Uuid;

/// An entry to be undone. Rows are `jsonb` as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub id: i64,
    pub table: Oid,
    pub table_name: String,
    pub op: String,
    /// The key that the row has after the change.
    pub key: String,
    /// And had before.
    pub former_key: String,
    /// Of an UPDATE, what it changed as it was before, as far as that is recorded; of a DELETE the whole row.
    pub was: Option<String>,
    pub now: Option<String>,
    /// The columns in `was`, or else in `now`.
    pub columns: Vec<String>,
    /// The columns in the whole row.
    pub recorded: Vec<String>,
    pub changed: Vec<String>,
}

const ENTRIES: &str = "SELECT l.id, l.tbl::pg_catalog.oid, l.table_name, l.op, l.row_key::pg_catalog.text, \
        coalesce((SELECT pg_catalog.jsonb_object_agg(k, pg_catalog.jsonb_object_field(l.old_row, k)) \
                  FROM pg_catalog.jsonb_object_keys(l.row_key) AS k), l.row_key)::pg_catalog.text, \
        w.was::pg_catalog.text, l.new_row::pg_catalog.text, \
        ARRAY(SELECT pg_catalog.jsonb_object_keys(coalesce(w.was, l.new_row))), \
        ARRAY(SELECT pg_catalog.jsonb_object_keys(coalesce(l.new_row, l.old_row))), \
        coalesce(l.changed::pg_catalog.text[], '{}') \
     FROM tenancy.audit_log AS l \
     CROSS JOIN LATERAL (SELECT CASE WHEN l.op OPERATOR(pg_catalog.=) 'UPDATE' \
         THEN coalesce((SELECT pg_catalog.jsonb_object_agg(c, pg_catalog.jsonb_object_field(l.old_row, c)) \
               FROM pg_catalog.unnest(l.changed::pg_catalog.text[]) AS c \
               WHERE pg_catalog.jsonb_exists(l.old_row, c)), '{}') \
         ELSE l.old_row END) AS w(was) \
     WHERE l.txid OPERATOR(pg_catalog.=) $1::pg_catalog.xid8 AND l.tenant_id OPERATOR(pg_catalog.=) $2 \
       AND l.op OPERATOR(pg_catalog.<>) 'TRUNCATE' \
     ORDER BY l.id DESC";

/// A transaction's entries of a tenant, the last first, as far as the caller reads them.
pub fn entries(txid: u64, tenant: Uuid) -> Result<Vec<Entry>> {
    spi::read(ENTRIES, &[txid.to_string().into(), pg_uuid(tenant).into()], |row| {
        Ok(Entry {
            id: row.require(1)?,
            table: row.require(2)?,
            table_name: row.require(3)?,
            op: row.require(4)?,
            key: row.require(5)?,
            former_key: row.require(6)?,
            was: row.get(7)?,
            now: row.get(8)?,
            columns: row.require(9)?,
            recorded: row.require(10)?,
            changed: row.require(11)?,
        })
    })
}

/// How many entries the transaction has of the tenant, and whether it truncated a table: whoever asks.
pub fn extent(txid: u64, tenant: Uuid) -> Result<(i64, bool)> {
    let query = "SELECT pg_catalog.count(*) FILTER (WHERE tenant_id OPERATOR(pg_catalog.=) $2), \
                        coalesce(pg_catalog.bool_or(op OPERATOR(pg_catalog.=) 'TRUNCATE'), false) \
                 FROM tenancy.audit_log WHERE txid OPERATOR(pg_catalog.=) $1::pg_catalog.xid8";
    let rows = registry::as_owner(|| {
        spi::read(query, &[txid.to_string().into(), pg_uuid(tenant).into()], |row| {
            Ok((row.require(1)?, row.require(2)?))
        })
    })?;
    rows.into_iter().next().ok_or(Error::NotInstalled)
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    /// The name, quoted where it must be.
    pub ident: String,
    pub is_generated: bool,
}

/// A foreign key by which a row that is deleted takes others along, or changes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Referrer {
    pub table: Oid,
    /// Column there, operator, column here; the operator is written `OPERATOR(…)`.
    pub columns: Vec<(String, String, String)>,
}

/// A table as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    pub columns: Vec<Column>,
    /// The columns of the primary key, or else of the replica identity, each with its equality.
    pub key: Vec<(String, String)>,
    pub referrers: Vec<Referrer>,
    /// The tables that it refers to, and whether it follows changes of their keys.
    pub parents: Vec<(Oid, bool)>,
    /// Tables inherit from it, and aren't its partitions.
    pub has_children: bool,
}

/// A table, if it is there.
pub fn table(table: Oid) -> Result<Option<Table>> {
    let has_children = spi::read_latest(
        "SELECT c.relkind OPERATOR(pg_catalog.=) 'r' \
                AND EXISTS (SELECT FROM pg_catalog.pg_inherits AS i WHERE i.inhparent OPERATOR(pg_catalog.=) c.oid) \
         FROM pg_catalog.pg_class AS c WHERE c.oid OPERATOR(pg_catalog.=) $1",
        &[table.into()],
        |row| row.require(1),
    )?;
    let Some(has_children) = has_children.into_iter().next() else { return Ok(None) };
    let columns = spi::read_latest(
        "SELECT attname::pg_catalog.text, pg_catalog.quote_ident(attname::pg_catalog.text), \
                attgenerated OPERATOR(pg_catalog.<>) '' FROM pg_catalog.pg_attribute \
         WHERE attrelid OPERATOR(pg_catalog.=) $1 AND attnum OPERATOR(pg_catalog.>) 0 AND NOT attisdropped \
         ORDER BY attnum",
        &[table.into()],
        |row| Ok(Column { name: row.require(1)?, ident: row.require(2)?, is_generated: row.require(3)? }),
    )?;
    let key = spi::read_latest(
        "SELECT a.attname::pg_catalog.text, pg_catalog.format('OPERATOR(%I.%s)', n.nspname, o.oprname) \
         FROM (SELECT i.indrelid, i.indkey, i.indclass, i.indnkeyatts FROM pg_catalog.pg_index AS i \
               WHERE i.indrelid OPERATOR(pg_catalog.=) $1 AND (i.indisprimary OR i.indisreplident) \
               ORDER BY i.indisprimary DESC LIMIT 1) AS i \
         CROSS JOIN ROWS FROM (pg_catalog.unnest((i.indkey::pg_catalog.int2[])[0:i.indnkeyatts - 1]), \
                               pg_catalog.unnest((i.indclass::pg_catalog.oid[])[0:i.indnkeyatts - 1])) AS k(attnum, class) \
         JOIN pg_catalog.pg_attribute AS a ON a.attrelid OPERATOR(pg_catalog.=) i.indrelid \
           AND a.attnum OPERATOR(pg_catalog.=) k.attnum \
         JOIN pg_catalog.pg_opclass AS c ON c.oid OPERATOR(pg_catalog.=) k.class \
         JOIN pg_catalog.pg_amop AS p ON p.amopfamily OPERATOR(pg_catalog.=) c.opcfamily \
           AND p.amoplefttype OPERATOR(pg_catalog.=) c.opcintype AND p.amoprighttype OPERATOR(pg_catalog.=) c.opcintype \
           AND p.amopstrategy OPERATOR(pg_catalog.=) 3 \
         JOIN pg_catalog.pg_operator AS o ON o.oid OPERATOR(pg_catalog.=) p.amopopr \
         JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) o.oprnamespace",
        &[table.into()],
        |row| Ok((row.require(1)?, row.require(2)?)),
    )?;
    let referrers = spi::read_latest(
        "SELECT f.conrelid, pg_catalog.array_agg(pg_catalog.quote_ident(there.attname::pg_catalog.text) ORDER BY k.place), \
                pg_catalog.array_agg(pg_catalog.format('OPERATOR(%I.%s)', n.nspname, o.oprname) ORDER BY k.place), \
                pg_catalog.array_agg(pg_catalog.quote_ident(here.attname::pg_catalog.text) ORDER BY k.place) \
         FROM pg_catalog.pg_constraint AS f \
         CROSS JOIN ROWS FROM (pg_catalog.unnest(f.conkey), pg_catalog.unnest(f.confkey), pg_catalog.unnest(f.conpfeqop)) \
           WITH ORDINALITY AS k(there, here, operator, place) \
         JOIN pg_catalog.pg_attribute AS there ON there.attrelid OPERATOR(pg_catalog.=) f.conrelid \
           AND there.attnum OPERATOR(pg_catalog.=) k.there \
         JOIN pg_catalog.pg_attribute AS here ON here.attrelid OPERATOR(pg_catalog.=) f.confrelid \
           AND here.attnum OPERATOR(pg_catalog.=) k.here \
         JOIN pg_catalog.pg_operator AS o ON o.oid OPERATOR(pg_catalog.=) k.operator \
         JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) o.oprnamespace \
         WHERE f.contype OPERATOR(pg_catalog.=) 'f' AND f.confrelid OPERATOR(pg_catalog.=) $1 \
           AND f.confdeltype OPERATOR(pg_catalog.=) ANY ('{c,n,d}'::pg_catalog.\"char\"[]) AND f.conparentid OPERATOR(pg_catalog.=) 0::pg_catalog.oid \
         GROUP BY f.oid, f.conrelid ORDER BY f.oid",
        &[table.into()],
        |row| {
            let (there, operators, here): (Vec<String>, Vec<String>, Vec<String>) =
                (row.require(2)?, row.require(3)?, row.require(4)?);
            let columns =
                there.into_iter().zip(operators).zip(here).map(|((there, operator), here)| (there, operator, here));
            Ok(Referrer { table: row.require(1)?, columns: columns.collect() })
        },
    )?;
    let parents = spi::read_latest(
        "SELECT f.confrelid, f.confupdtype OPERATOR(pg_catalog.=) 'c' FROM pg_catalog.pg_constraint AS f \
         WHERE f.contype OPERATOR(pg_catalog.=) 'f' AND f.conrelid OPERATOR(pg_catalog.=) $1 \
           AND f.confrelid OPERATOR(pg_catalog.<>) $1",
        &[table.into()],
        |row| Ok((row.require(1)?, row.require(2)?)),
    )?;
    Ok(Some(Table { columns, key, referrers, parents, has_children }))
}

/// Runs a statement as the caller, and returns the numbers that it returns.
pub fn run(statement: &str) -> Result<Vec<i64>> {
    spi::numbers_as_client(statement)
}

/// Runs a statement as the caller that returns nothing.
pub fn run_whole(statement: &str) -> Result<()> {
    spi::run_as_client(statement, None, 0).map(|_| ())
}

/// Has constraints that wait for the end of the transaction checked.
pub fn check_constraints() -> Result<()> {
    spi::run("SET CONSTRAINTS ALL IMMEDIATE", &[]).map(|_| ())
}
