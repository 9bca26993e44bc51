//! What undoing changes takes: entries of the audit log, and the tables that they are of.

use super::{registry, spi, tenants::pg_uuid};
use crate::error::{Error, Result};
use crate::sql::undo::{Lossy, Nature};
use crate::sys::{Oid, relation, role, types};
use uuid::Uuid;

/// An entry to be undone. Rows are `jsonb` as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub id: i64,
    /// When its statement ended: the same for all that the statement changed.
    pub at: String,
    pub table: Oid,
    pub table_name: String,
    pub op: String,
    /// The key that the row has after the change.
    pub key: String,
    /// And had before.
    pub former_key: String,
    /// The whole row before, and after, as far as that is recorded.
    pub was: Option<String>,
    pub now: Option<String>,
    /// What is given back: of an UPDATE the columns that it changed, otherwise all, as far as they are recorded.
    pub columns: Vec<String>,
    /// The columns in the whole row.
    pub recorded: Vec<String>,
    pub changed: Vec<String>,
}

const ENTRIES: &str = "SELECT l.id, l.at::pg_catalog.text, l.tbl::pg_catalog.oid, l.table_name, l.op, \
        l.row_key::pg_catalog.text, \
        coalesce(CASE WHEN l.op OPERATOR(pg_catalog.=) 'UPDATE' \
                 THEN (SELECT pg_catalog.jsonb_object_agg(k, pg_catalog.jsonb_object_field(l.old_row, k)) \
                       FROM pg_catalog.jsonb_object_keys(l.row_key) AS k) END, l.row_key)::pg_catalog.text, \
        l.old_row::pg_catalog.text, l.new_row::pg_catalog.text, \
        CASE WHEN l.op OPERATOR(pg_catalog.=) 'UPDATE' \
             THEN ARRAY(SELECT c FROM pg_catalog.unnest(l.changed::pg_catalog.text[]) AS c \
                        WHERE pg_catalog.jsonb_exists(l.old_row, c)) \
             ELSE ARRAY(SELECT k FROM pg_catalog.jsonb_object_keys(coalesce(l.old_row, l.new_row)) AS k \
                        WHERE k OPERATOR(pg_catalog.<>) '') END, \
        ARRAY(SELECT k FROM pg_catalog.jsonb_object_keys(coalesce(l.new_row, l.old_row)) AS k \
              WHERE k OPERATOR(pg_catalog.<>) ''), \
        coalesce(l.changed::pg_catalog.text[], '{}') \
     FROM tenancy.audit_log AS l \
     WHERE l.txid OPERATOR(pg_catalog.=) $1::pg_catalog.xid8 AND l.tenant_id OPERATOR(pg_catalog.=) $2 \
       AND l.op OPERATOR(pg_catalog.<>) 'TRUNCATE' \
     ORDER BY l.id DESC";

/// A transaction's entries of a tenant, the last first, as far as the caller reads them.
pub fn entries(txid: u64, tenant: Uuid) -> Result<Vec<Entry>> {
    spi::read(ENTRIES, &[txid.to_string().into(), pg_uuid(tenant).into()], |row| {
        Ok(Entry {
            id: row.require(1)?,
            at: row.require(2)?,
            table: row.require(3)?,
            table_name: row.require(4)?,
            op: row.require(5)?,
            key: row.require(6)?,
            former_key: row.require(7)?,
            was: row.get(8)?,
            now: row.get(9)?,
            columns: row.require(10)?,
            recorded: row.require(11)?,
            changed: row.require(12)?,
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

/// Whether a transaction has ended, so that what it changed is known; the caller's own counts.
pub fn has_ended(txid: u64) -> Result<bool> {
    let query = "SELECT CASE WHEN x OPERATOR(pg_catalog.=) pg_catalog.pg_current_xact_id_if_assigned() THEN true \
                             WHEN x OPERATOR(pg_catalog.>=) pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot()) THEN false \
                             ELSE coalesce(pg_catalog.pg_xact_status(x) OPERATOR(pg_catalog.<>) 'in progress', false) END \
                 FROM (SELECT $1::pg_catalog.xid8) AS given(x)";
    let rows = spi::read(query, &[txid.to_string().into()], |row| row.require(1))?;
    Ok(rows.into_iter().any(|ended| ended))
}

/// Of rows, given as a JSON array of their keys, the ids of entries, and names of columns, the places of those that
/// were removed or made by a later entry of another transaction, or changed in one of the columns: whoever asks.
pub fn with_later_entries(table: Oid, txid: u64, rows: &str) -> Result<Vec<i64>> {
    let query = "SELECT e.place \
                 FROM pg_catalog.jsonb_array_elements($1::pg_catalog.jsonb) WITH ORDINALITY AS e(one, place) \
                 CROSS JOIN LATERAL (SELECT pg_catalog.jsonb_object_field(e.one, 'key') AS key, \
                     pg_catalog.jsonb_object_field(e.one, 'columns') AS columns, \
                     pg_catalog.jsonb_object_field_text(e.one, 'id')::pg_catalog.int8 AS id) AS k \
                 WHERE EXISTS (SELECT FROM tenancy.audit_log AS l \
                     WHERE l.row_hash OPERATOR(pg_catalog.=) tenancy.audit_row_hash(k.key) \
                       AND l.tbl OPERATOR(pg_catalog.=) $2 AND pg_catalog.jsonb_eq(l.row_key, k.key) \
                       AND l.id OPERATOR(pg_catalog.>) k.id AND l.txid OPERATOR(pg_catalog.<>) $3::pg_catalog.xid8 \
                       AND (l.op OPERATOR(pg_catalog.<>) 'UPDATE' \
                            OR EXISTS (SELECT FROM pg_catalog.unnest(l.changed::pg_catalog.text[]) AS c \
                                       WHERE pg_catalog.jsonb_exists(k.columns, c))))";
    registry::as_owner(|| {
        spi::write(query, &[rows.into(), table.into(), txid.to_string().into()], |row| row.require(1))
    })
}

/// Whether any of these columns may have been redacted once: one of that name anywhere, or something in one of the
/// tables so named.
pub fn may_have_been_redacted(columns: Vec<String>, tables: Vec<String>) -> Result<bool> {
    let query = "SELECT EXISTS (SELECT FROM tenancy.event_log \
                     WHERE event OPERATOR(pg_catalog.=) 'table.audited' \
                       AND pg_catalog.jsonb_array_length(pg_catalog.jsonb_object_field(detail, 'redact')) OPERATOR(pg_catalog.>) 0 \
                       AND (pg_catalog.jsonb_exists_any(pg_catalog.jsonb_object_field(detail, 'redact'), $1) \
                            OR object OPERATOR(pg_catalog.=) ANY ($2)))";
    let rows = registry::as_owner(|| spi::read(query, &[columns.into(), tables.into()], |row| row.require(1)))?;
    Ok(rows.into_iter().any(|may| may))
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    /// The name, quoted where it must be.
    pub ident: String,
    pub is_generated: bool,
    /// What of its values the log doesn't hold.
    pub lossy: Lossy,
    /// The same value is written differently with other settings.
    pub varies: bool,
    /// A domain is somewhere within its type.
    pub holds_domain: bool,
    pub nature: Nature,
}

/// A foreign key by which a row that is deleted takes others along, or changes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Referrer {
    pub table: Oid,
    /// Column there, operator, column here; the operator is written `OPERATOR(…)`.
    pub columns: Vec<(String, String, String)>,
    /// The columns here with what is under all domains: whoever made one of these must not have the rights of the
    /// table's owner there.
    pub here: Vec<String>,
    /// That can't be told for what is within some type.
    pub is_unsafe: bool,
}

/// A table as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    pub columns: Vec<Column>,
    /// The columns of the primary key, or else of the replica identity, each with its equality.
    pub key: Vec<(String, String)>,
    /// These with what is under all domains, as for `Referrer::here`.
    pub bare_key: Vec<String>,
    /// Some column of the key has none.
    pub is_incomparable: bool,
    pub referrers: Vec<Referrer>,
    /// The tables that it refers to, and whether it follows changes of their keys.
    pub parents: Vec<(Oid, bool)>,
    /// Tables inherit from it, and aren't its partitions.
    pub has_children: bool,
    /// Somebody's triggers may set columns before a row is inserted, and updated.
    pub sets_on_insert: bool,
    pub sets_on_update: bool,
}

const COLUMNS: &str = "WITH RECURSIVE parts(attnum, type, place) AS ( \
       SELECT attnum, atttypid, 0 FROM pg_catalog.pg_attribute \
       WHERE attrelid OPERATOR(pg_catalog.=) $1 AND attnum OPERATOR(pg_catalog.>) 0 AND NOT attisdropped \
     UNION \
       SELECT p.attnum, u.type, CASE WHEN t.typtype OPERATOR(pg_catalog.=) 'd' THEN p.place ELSE 1 END \
       FROM parts AS p JOIN pg_catalog.pg_type AS t ON t.oid OPERATOR(pg_catalog.=) p.type \
       CROSS JOIN LATERAL (SELECT t.typbasetype WHERE t.typtype OPERATOR(pg_catalog.=) 'd' \
         UNION ALL SELECT t.typelem WHERE t.typelem OPERATOR(pg_catalog.<>) 0::pg_catalog.oid \
         UNION ALL SELECT a.atttypid FROM pg_catalog.pg_attribute AS a \
           WHERE a.attrelid OPERATOR(pg_catalog.=) t.typrelid AND t.typtype OPERATOR(pg_catalog.=) 'c' \
             AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped \
         UNION ALL SELECT r.rngsubtype FROM pg_catalog.pg_range AS r \
           WHERE t.oid OPERATOR(pg_catalog.=) ANY (ARRAY[r.rngtypid, r.rngmultitypid])) AS u(type)), \
     kinds AS (SELECT attnum, \
         pg_catalog.bool_or(type OPERATOR(pg_catalog.=) 'pg_catalog.json'::pg_catalog.regtype) AS json, \
         pg_catalog.bool_or(type OPERATOR(pg_catalog.=) ANY ('{\
pg_catalog.regclass,pg_catalog.regcollation,pg_catalog.regconfig,pg_catalog.regdictionary,\
pg_catalog.regnamespace,pg_catalog.regoper,pg_catalog.regoperator,pg_catalog.regproc,\
pg_catalog.regprocedure,pg_catalog.regrole,pg_catalog.regtype}'::pg_catalog.regtype[]::pg_catalog.oid[])) AS name, \
         pg_catalog.bool_or(type OPERATOR(pg_catalog.=) 'pg_catalog.jsonb'::pg_catalog.regtype AND place OPERATOR(pg_catalog.=) 0) AS jsonb, \
         pg_catalog.bool_or(type OPERATOR(pg_catalog.=) 'pg_catalog.jsonb'::pg_catalog.regtype) AS within, \
         pg_catalog.bool_or(type OPERATOR(pg_catalog.=) ANY ('{pg_catalog.timestamptz,pg_catalog.money}'::pg_catalog.regtype[]::pg_catalog.oid[])) AS varies, \
         pg_catalog.bool_or(place OPERATOR(pg_catalog.>) 0 AND typtype OPERATOR(pg_catalog.=) 'd') AS domain, \
         pg_catalog.max(CASE WHEN place OPERATOR(pg_catalog.>) 0 THEN NULL \
           WHEN type OPERATOR(pg_catalog.=) ANY ('{\
pg_catalog.timestamptz,pg_catalog.timestamp,pg_catalog.date}'::pg_catalog.regtype[]::pg_catalog.oid[]) THEN typname \
           WHEN type OPERATOR(pg_catalog.=) ANY ('{\
pg_catalog.int2,pg_catalog.int4,pg_catalog.int8,pg_catalog.numeric,pg_catalog.uuid,pg_catalog.bytea}'\
::pg_catalog.regtype[]::pg_catalog.oid[]) THEN 'number' END::pg_catalog.text COLLATE \"C\") AS nature \
       FROM parts JOIN pg_catalog.pg_type AS t ON t.oid OPERATOR(pg_catalog.=) parts.type GROUP BY attnum) \
     SELECT a.attname::pg_catalog.text, pg_catalog.quote_ident(a.attname::pg_catalog.text), \
            a.attgenerated OPERATOR(pg_catalog.<>) '', k.json, k.name, k.jsonb, k.within, k.varies, k.domain, k.nature \
     FROM pg_catalog.pg_attribute AS a JOIN kinds AS k ON k.attnum OPERATOR(pg_catalog.=) a.attnum \
     WHERE a.attrelid OPERATOR(pg_catalog.=) $1 ORDER BY a.attnum";

// In GiST, strategies are the operator class's own, and of a period the key is by overlap.
const KEY: &str = "SELECT a.attname::pg_catalog.text, pg_catalog.quote_ident(a.attname::pg_catalog.text), a.atttypid, \
        coalesce((SELECT pg_catalog.format(' COLLATE %I.%I', v.nspname, l.collname) \
                  FROM pg_catalog.pg_collation AS l \
                  JOIN pg_catalog.pg_namespace AS v ON v.oid OPERATOR(pg_catalog.=) l.collnamespace \
                  WHERE l.oid OPERATOR(pg_catalog.=) a.attcollation), ''), \
        (SELECT pg_catalog.format('OPERATOR(%I.%s)', n.nspname, o.oprname) \
         FROM pg_catalog.pg_operator AS o \
         JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) o.oprnamespace \
         WHERE o.oid OPERATOR(pg_catalog.=) CASE WHEN m.amname OPERATOR(pg_catalog.=) 'btree' \
             THEN (SELECT p.amopopr FROM pg_catalog.pg_amop AS p \
                   WHERE p.amopfamily OPERATOR(pg_catalog.=) c.opcfamily \
                     AND p.amoplefttype OPERATOR(pg_catalog.=) c.opcintype \
                     AND p.amoprighttype OPERATOR(pg_catalog.=) c.opcintype \
                     AND p.amopstrategy OPERATOR(pg_catalog.=) 3) \
             ELSE (SELECT q.oid FROM pg_catalog.pg_operator AS q \
                   WHERE q.oprname OPERATOR(pg_catalog.=) '=' AND q.oprleft OPERATOR(pg_catalog.=) c.opcintype \
                     AND q.oprright OPERATOR(pg_catalog.=) c.opcintype \
                     AND q.oprnamespace OPERATOR(pg_catalog.=) 'pg_catalog'::pg_catalog.regnamespace) END) \
     FROM (SELECT i.indexrelid, i.indrelid, i.indkey, i.indclass, i.indnkeyatts FROM pg_catalog.pg_index AS i \
           WHERE i.indrelid OPERATOR(pg_catalog.=) $1 AND (i.indisprimary OR i.indisreplident) \
           ORDER BY i.indisprimary DESC LIMIT 1) AS i \
     JOIN pg_catalog.pg_class AS x ON x.oid OPERATOR(pg_catalog.=) i.indexrelid \
     JOIN pg_catalog.pg_am AS m ON m.oid OPERATOR(pg_catalog.=) x.relam \
     CROSS JOIN ROWS FROM (pg_catalog.unnest((i.indkey::pg_catalog.int2[])[0:i.indnkeyatts - 1]), \
                           pg_catalog.unnest((i.indclass::pg_catalog.oid[])[0:i.indnkeyatts - 1])) AS k(attnum, class) \
     JOIN pg_catalog.pg_attribute AS a ON a.attrelid OPERATOR(pg_catalog.=) i.indrelid \
       AND a.attnum OPERATOR(pg_catalog.=) k.attnum \
     JOIN pg_catalog.pg_opclass AS c ON c.oid OPERATOR(pg_catalog.=) k.class";

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
    let columns = spi::read_latest(COLUMNS, &[table.into()], |row| {
        let lossy = match (
            row.require::<bool>(4)?,
            row.require::<bool>(5)?,
            row.require::<bool>(6)?,
            row.require::<bool>(7)?,
        ) {
            (true, ..) => Lossy::All,
            (_, true, ..) => Lossy::Name,
            (_, _, true, _) => Lossy::Null,
            (_, _, _, true) => Lossy::NullWithin,
            _ => Lossy::Nothing,
        };
        Ok(Column {
            name: row.require(1)?,
            ident: row.require(2)?,
            is_generated: row.require(3)?,
            lossy,
            varies: row.require(8)?,
            holds_domain: row.require(9)?,
            nature: match row.get::<String>(10)?.as_deref() {
                Some("timestamptz") => Nature::Time,
                Some("timestamp") => Nature::LocalTime,
                Some("date") => Nature::Date,
                Some(_) => Nature::Number,
                None => Nature::Other,
            },
        })
    })?;
    let key: Vec<KeyColumn> = spi::read_latest(KEY, &[table.into()], |row| {
        let bare = (row.require(2)?, (types::under_domains(row.require(3)?), row.require(4)?));
        Ok((row.require(1)?, bare, row.get(5)?))
    })?;
    let is_incomparable = key.iter().any(|(_, _, equals)| equals.is_none());
    let bare_key = key.iter().map(|(_, column, _)| bare(column)).collect::<Result<_>>()?;
    let key: Vec<(String, String)> =
        key.into_iter().filter_map(|(column, _, equals)| Some((column, equals?))).collect();
    let (sets_on_insert, sets_on_update) =
        spi::read_latest(SETTING, &[table.into()], |row| Ok((row.require(1)?, row.require(2)?)))?
            .into_iter()
            .next()
            .unwrap_or_default();
    let referrers: Vec<References> = spi::read_latest(
        "SELECT f.conrelid, pg_catalog.array_agg(pg_catalog.quote_ident(there.attname::pg_catalog.text) ORDER BY k.place), \
                pg_catalog.array_agg(pg_catalog.format('OPERATOR(%I.%s)', n.nspname, o.oprname) ORDER BY k.place), \
                pg_catalog.array_agg(pg_catalog.quote_ident(here.attname::pg_catalog.text) ORDER BY k.place), \
                pg_catalog.array_agg(here.atttypid ORDER BY k.place), \
                pg_catalog.array_agg(coalesce((SELECT pg_catalog.format(' COLLATE %I.%I', v.nspname, l.collname) \
                    FROM pg_catalog.pg_collation AS l \
                    JOIN pg_catalog.pg_namespace AS v ON v.oid OPERATOR(pg_catalog.=) l.collnamespace \
                    WHERE l.oid OPERATOR(pg_catalog.=) here.attcollation), '') ORDER BY k.place) \
         FROM pg_catalog.pg_constraint AS f \
         CROSS JOIN ROWS FROM (pg_catalog.unnest(f.conkey), pg_catalog.unnest(f.confkey), pg_catalog.unnest(f.conpfeqop)) \
           WITH ORDINALITY AS k(there, here, operator, place) \
         JOIN pg_catalog.pg_attribute AS there ON there.attrelid OPERATOR(pg_catalog.=) f.conrelid \
           AND there.attnum OPERATOR(pg_catalog.=) k.there \
         JOIN pg_catalog.pg_attribute AS here ON here.attrelid OPERATOR(pg_catalog.=) f.confrelid \
           AND here.attnum OPERATOR(pg_catalog.=) k.here \
         JOIN pg_catalog.pg_operator AS o ON o.oid OPERATOR(pg_catalog.=) k.operator \
         JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) o.oprnamespace \
         WHERE f.contype OPERATOR(pg_catalog.=) 'f' \
           AND (f.confrelid OPERATOR(pg_catalog.=) $1 OR f.confrelid OPERATOR(pg_catalog.=) ANY (ARRAY( \
                  SELECT p.relid::pg_catalog.oid FROM pg_catalog.pg_partition_tree($1::pg_catalog.regclass) AS p))) \
           AND f.confdeltype OPERATOR(pg_catalog.=) ANY ('{c,n,d}'::pg_catalog.\"char\"[]) AND f.conparentid OPERATOR(pg_catalog.=) 0::pg_catalog.oid \
         GROUP BY f.oid, f.conrelid ORDER BY f.oid",
        &[table.into()],
        |row| {
            let (there, operators, here): (Vec<String>, Vec<String>, Vec<String>) =
                (row.require(2)?, row.require(3)?, row.require(4)?);
            let (types, collations): (Vec<Oid>, Vec<String>) = (row.require(5)?, row.require(6)?);
            let bases = here.iter().cloned().zip(types.into_iter().map(types::under_domains).zip(collations)).collect();
            let columns =
                there.into_iter().zip(operators).zip(here).map(|((there, operator), here)| (there, operator, here));
            Ok((row.require(1)?, columns.collect(), bases))
        },
    )?;
    let of_domains =
        |name: &str| columns.iter().any(|column| column.holds_domain && (column.ident == name || column.name == name));
    let in_key = key.iter().any(|(name, _)| of_domains(name));
    let referrers = referrers
        .into_iter()
        .map(|(by, columns, here)| {
            let is_unsafe = in_key || here.iter().any(|(name, _)| of_domains(name));
            let here = here.iter().map(bare).collect::<Result<_>>()?;
            Ok(Referrer { table: by, columns, here, is_unsafe })
        })
        .collect::<Result<_>>()?;
    let parents = spi::read_latest(
        "SELECT f.confrelid, f.confupdtype OPERATOR(pg_catalog.=) 'c' FROM pg_catalog.pg_constraint AS f \
         WHERE f.contype OPERATOR(pg_catalog.=) 'f' AND f.conrelid OPERATOR(pg_catalog.=) $1 \
           AND f.confrelid OPERATOR(pg_catalog.<>) $1",
        &[table.into()],
        |row| Ok((row.require(1)?, row.require(2)?)),
    )?;
    Ok(Some(Table {
        columns,
        key,
        bare_key,
        is_incomparable,
        referrers,
        parents,
        has_children,
        sets_on_insert,
        sets_on_update,
    }))
}

/// A column, quoted, with the type under all domains, and its collation.
type Bare = (String, (Oid, String));

/// The table that refers, by which columns; and the columns here.
type References = (Oid, Vec<(String, String, String)>, Vec<Bare>);

/// A column of the key, and its equality.
type KeyColumn = (String, Bare, Option<String>);

fn bare((column, (base, collation)): &Bare) -> Result<String> {
    let name: Vec<String> =
        spi::read_latest("SELECT pg_catalog.format_type($1, -1)", &[(*base).into()], |row| row.require(1))?;
    Ok(format!("{column} {}{collation}", name.concat()))
}

// Rows are seen BEFORE (2) they are inserted (4) or updated (16), each (1).
const SETTING: &str = "SELECT coalesce(pg_catalog.bool_or((t.tgtype OPERATOR(pg_catalog.&) 7::pg_catalog.int2) OPERATOR(pg_catalog.=) 7), false), \
        coalesce(pg_catalog.bool_or((t.tgtype OPERATOR(pg_catalog.&) 19::pg_catalog.int2) OPERATOR(pg_catalog.=) 19), false) \
     FROM pg_catalog.pg_trigger AS t JOIN pg_catalog.pg_proc AS p ON p.oid OPERATOR(pg_catalog.=) t.tgfoid \
     WHERE NOT t.tgisinternal AND t.tgenabled OPERATOR(pg_catalog.<>) 'D' \
       AND p.pronamespace OPERATOR(pg_catalog.<>) 'tenancy'::pg_catalog.regnamespace::pg_catalog.oid \
       AND (t.tgrelid OPERATOR(pg_catalog.=) $1 OR t.tgrelid OPERATOR(pg_catalog.=) ANY (ARRAY( \
              SELECT p.relid::pg_catalog.oid FROM pg_catalog.pg_partition_tree($1::pg_catalog.regclass) AS p)))";

/// Runs a statement as the caller, and returns the numbers that it returns.
pub fn run(statement: &str) -> Result<Vec<i64>> {
    spi::numbers_as_client(statement)
}

/// As `run`, for texts.
pub fn run_for_texts(statement: &str) -> Result<Vec<String>> {
    spi::rows_as_client(statement, |row| row.require(1))
}

/// A row's place, the values of some columns, and whether something holds for each of them.
pub type Look = (i64, Vec<String>, Vec<bool>);

/// As `run`, for what is to be known of rows.
pub fn look(statement: &str) -> Result<Vec<Look>> {
    spi::rows_as_client(statement, |row| Ok((row.require(1)?, row.require(2)?, row.require(3)?)))
}

/// Runs a query as the owner of a table, exempt from row security, as PostgreSQL does for foreign keys; returns numbers.
pub fn read_as_owner_of(table: Oid, query: &str) -> Result<Vec<i64>> {
    let owner = relation::brief(table)?.owner;
    role::acting_as_table_owner(owner, || spi::write(query, &[], |row| row.require(1)))
}

/// Runs a statement as the caller that returns nothing.
pub fn run_whole(statement: &str) -> Result<()> {
    spi::run_as_client(statement, None, 0).map(|_| ())
}

/// Has constraints that wait for the end of the transaction checked.
pub fn check_constraints() -> Result<()> {
    spi::run("SET CONSTRAINTS ALL IMMEDIATE", &[]).map(|_| ())
}
