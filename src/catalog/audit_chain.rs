//! `tenancy.audit_chain`: the seals of the audit log.

use super::{audit_log, spi};
use crate::error::{Error, Result};
use crate::sys::Oid;

/// No limit, of ids.
pub const ANY_ID: i64 = i64::MAX;
/// No limit, of transactions.
pub const ANY_TXID: u64 = u64::MAX;

/// Which entries of the log a seal is over: with ids in one range, and of transactions in one range or with ids
/// above another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    pub after_id: i64,
    pub upto_id: i64,
    pub from_txid: u64,
    pub upto_txid: u64,
    pub late_id: i64,
}

/// What a link seals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// `None` where there was nothing.
    pub month: Option<String>,
    pub entries: i64,
    pub digest: Vec<u8>,
    pub marks: Vec<u8>,
    pub tables: Vec<u8>,
}

/// A link as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    pub seq: i64,
    pub is_retention: bool,
    pub cluster: String,
    pub range: Range,
    pub content: Content,
    pub previous: Vec<u8>,
    pub hash: Vec<u8>,
    /// What the hash should be.
    pub computed: Vec<u8>,
}

/// An entry of the log, as far as seals are concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub id: i64,
    pub month: String,
    pub table: Oid,
    /// The table's name at that time.
    pub table_name: String,
    /// SHA-256 of its line.
    pub hash: Vec<u8>,
}

const LINKS: &str = "SELECT seq, kind OPERATOR(pg_catalog.=) 'retention', cluster, month, after_id, upto_id, \
            from_txid::pg_catalog.text, upto_txid::pg_catalog.text, late_id, entries, digest, marks, tables, \
            previous, hash, \
            pg_catalog.sha256(pg_catalog.convert_to(pg_catalog.encode(previous, 'hex') OPERATOR(pg_catalog.||) \
                              tenancy.audit_chain_json(c), 'UTF8')) \
     FROM tenancy.audit_chain AS c";

fn link(row: spi::Row<'_>) -> Result<Link> {
    let txid = |text: String| text.parse().map_err(|_| Error::Spi("a transaction's number is malformed".into()));
    Ok(Link {
        seq: row.require(1)?,
        is_retention: row.require(2)?,
        cluster: row.require(3)?,
        range: Range {
            after_id: row.require(5)?,
            upto_id: row.require(6)?,
            from_txid: txid(row.require(7)?)?,
            upto_txid: txid(row.require(8)?)?,
            late_id: row.require(9)?,
        },
        content: Content {
            month: row.get(4)?,
            entries: row.require(10)?,
            digest: row.require(11)?,
            marks: row.require(12)?,
            tables: row.require(13)?,
        },
        previous: row.require(14)?,
        hash: row.require(15)?,
        computed: row.require(16)?,
    })
}

/// Keeps others from sealing until the transaction ends.
pub fn lock() -> Result<()> {
    spi::run("LOCK TABLE tenancy.audit_chain IN SHARE ROW EXCLUSIVE MODE", &[]).map(|_| ())
}

/// Has the indexes by time and transaction know of the pages that were added, so that what is looked for is found
/// without reading the rest.
pub fn summarize() -> Result<()> {
    spi::write(
        "SELECT pg_catalog.brin_summarize_new_values(x.indexrelid) \
         FROM pg_catalog.pg_inherits AS i \
         JOIN pg_catalog.pg_index AS x ON x.indrelid OPERATOR(pg_catalog.=) i.inhrelid \
         JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) x.indexrelid \
         JOIN pg_catalog.pg_am AS a ON a.oid OPERATOR(pg_catalog.=) c.relam \
         WHERE i.inhparent OPERATOR(pg_catalog.=) 'tenancy.audit_log'::pg_catalog.regclass \
           AND a.amname OPERATOR(pg_catalog.=) 'brin'",
        &[],
        |_| Ok(()),
    )
    .map(|_| ())
}

/// Waits until nobody writes to the log, and keeps writers out until the transaction, or savepoint, ends.
pub fn lock_log() -> Result<()> {
    spi::run("LOCK TABLE tenancy.audit_log IN SHARE MODE", &[]).map(|_| ())
}

/// Keeps months from being dropped until the transaction ends.
pub fn hold_months() -> Result<()> {
    spi::run("LOCK TABLE tenancy.audit_log IN ACCESS SHARE MODE", &[]).map(|_| ())
}

/// The last link.
pub fn last() -> Result<Option<Link>> {
    let links = spi::write(&format!("{LINKS} ORDER BY seq DESC LIMIT 1"), &[], link)?;
    Ok(links.into_iter().next())
}

/// Calls `visit` with each link, in order.
pub fn each(visit: impl FnMut(Link) -> Result<()>) -> Result<()> {
    spi::for_each(&format!("{LINKS} ORDER BY seq"), link, visit)
}

/// The highest id in what was sealed after that one, of entries; 0 for none.
pub fn last_sealed_id(after_id: i64) -> Result<i64> {
    let ids = spi::write(
        "SELECT coalesce(pg_catalog.max(l.id), 0) \
         FROM (SELECT id, txid FROM tenancy.audit_log UNION ALL SELECT id, txid FROM tenancy.audit_erased) AS l \
         WHERE l.id OPERATOR(pg_catalog.>) $1 \
         AND EXISTS (SELECT FROM tenancy.audit_chain AS c \
                     WHERE c.after_id OPERATOR(pg_catalog.=) $1 AND l.txid OPERATOR(pg_catalog.<) c.upto_txid)",
        &[after_id.into()],
        |row| row.require(1),
    )?;
    Ok(ids.into_iter().next().unwrap_or(0))
}

/// What tells one database of one server from others, the id that was given last, and the oldest transaction that
/// is running; and whether the transaction sees what others have committed by now.
#[derive(Debug, Clone)]
pub struct Here {
    pub cluster: String,
    pub last_id: i64,
    pub oldest_running: u64,
    pub sees_all: bool,
}

pub fn here() -> Result<Here> {
    let rows = spi::write(
        "SELECT s.system_identifier::pg_catalog.text OPERATOR(pg_catalog.||) '/' \
                  OPERATOR(pg_catalog.||) d.oid::pg_catalog.text, \
                (SELECT CASE WHEN i.is_called THEN i.last_value ELSE 0 END FROM tenancy.audit_log_id_seq AS i), \
                pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())::pg_catalog.text, \
                pg_catalog.current_setting('transaction_isolation') IN ('read committed', 'read uncommitted') \
         FROM pg_catalog.pg_control_system() AS s, pg_catalog.pg_database AS d \
         WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()",
        &[],
        |row| {
            let oldest: String = row.require(3)?;
            Ok(Here {
                cluster: row.require(1)?,
                last_id: row.require(2)?,
                oldest_running: oldest.parse().unwrap_or(0),
                sees_all: row.require(4)?,
            })
        },
    )?;
    rows.into_iter().next().ok_or(Error::NotInstalled)
}

/// How many entries were erased with their tenants.
pub fn erased() -> Result<i64> {
    let rows = spi::write("SELECT pg_catalog.count(*) FROM tenancy.audit_erased", &[], |row| row.require(1))?;
    rows.into_iter().next().ok_or(Error::NotInstalled)
}

/// Calls `visit` with each entry of a range, by month, transaction and id; those included of which only the hash is left.
pub fn entries(range: &Range, visit: impl FnMut(Entry) -> Result<()>) -> Result<()> {
    let Range { after_id, upto_id, from_txid, upto_txid, late_id } = range;
    let late = if *late_id == ANY_ID { String::new() } else { format!(" OR l.id OPERATOR(pg_catalog.>) {late_id}") };
    let query = format!(
        "SELECT l.id, l.month, l.tbl::pg_catalog.oid, l.table_name, l.hash \
         FROM (SELECT l.id, l.txid, pg_catalog.to_char(pg_catalog.timezone('UTC', l.at), 'YYYY-MM') AS month, \
                      l.tbl, l.table_name, \
                      pg_catalog.sha256(pg_catalog.convert_to(tenancy.audit_json(l), 'UTF8')) AS hash \
               FROM tenancy.audit_log AS l \
               UNION ALL \
               SELECT e.id, e.txid, e.month, e.tbl, e.table_name, e.hash FROM tenancy.audit_erased AS e) AS l \
         WHERE l.id OPERATOR(pg_catalog.>) {after_id} AND l.id OPERATOR(pg_catalog.<=) {upto_id} \
           AND (l.txid OPERATOR(pg_catalog.>=) '{from_txid}'::pg_catalog.xid8 \
                AND l.txid OPERATOR(pg_catalog.<) '{upto_txid}'::pg_catalog.xid8{late}) \
         ORDER BY 2, l.txid, l.id"
    );
    let entry = |row: spi::Row<'_>| {
        Ok(Entry {
            id: row.require(1)?,
            month: row.require(2)?,
            table: row.require(3)?,
            table_name: row.require(4)?,
            hash: row.require(5)?,
        })
    };
    spi::for_each(&query, entry, visit)
}

/// A link to be added, after the one with that number and hash.
pub struct NewLink<'a> {
    pub after: Option<(i64, &'a [u8])>,
    pub is_retention: bool,
    pub cluster: &'a str,
    pub range: &'a Range,
    pub content: Content,
}

/// Adds a link. Returns its number and hash.
pub fn add(link: NewLink<'_>) -> Result<(i64, Vec<u8>)> {
    let (seq, previous) = link.after.map_or((1, Vec::new()), |(seq, hash)| (seq + 1, hash.to_vec()));
    let Range { after_id, upto_id, from_txid, upto_txid, late_id } = link.range;
    let rows = spi::write(
        "INSERT INTO tenancy.audit_chain \
         SELECT n.seq, n.sealed_at, n.kind, n.cluster, n.month, n.after_id, n.upto_id, n.from_txid, n.upto_txid, \
                n.late_id, n.entries, n.digest, n.marks, n.tables, n.previous, \
                pg_catalog.sha256(pg_catalog.convert_to(pg_catalog.encode(n.previous, 'hex') \
                    OPERATOR(pg_catalog.||) tenancy.audit_chain_json(n), 'UTF8')) \
         FROM (SELECT (ROW($1, pg_catalog.clock_timestamp(), CASE WHEN $2 THEN 'retention' ELSE 'entries' END, \
                $3, $4, $5, $6, $7::pg_catalog.xid8, $8::pg_catalog.xid8, $9, $10, $11, $12, $13, $14, \
                ''::pg_catalog.bytea)::tenancy.audit_chain).*) AS n \
         RETURNING seq, hash",
        &[
            seq.into(),
            link.is_retention.into(),
            link.cluster.into(),
            link.content.month.into(),
            (*after_id).into(),
            (*upto_id).into(),
            from_txid.to_string().into(),
            upto_txid.to_string().into(),
            (*late_id).into(),
            link.content.entries.into(),
            link.content.digest.into(),
            link.content.marks.into(),
            link.content.tables.into(),
            previous.into(),
        ],
        |row| Ok((row.require(1)?, row.require(2)?)),
    )?;
    rows.into_iter().next().ok_or(Error::NotInstalled)
}

/// # Errors
/// 22023 for an interval that is not positive.
pub fn check_positive(keep: pgrx::datum::Interval) -> Result<()> {
    let positive = spi::write("SELECT $1 OPERATOR(pg_catalog.>) '0'::pg_catalog.interval", &[keep.into()], |row| {
        row.require::<bool>(1)
    })?;
    if !positive.into_iter().any(|positive| positive) {
        return Err(Error::InvalidArgument { what: "keep", reason: "it must be a positive interval".into() });
    }
    Ok(())
}

/// Months that ended longer ago than that, with the names of their partitions.
pub fn months_older_than(keep: pgrx::datum::Interval) -> Result<Vec<(String, String)>> {
    spi::write(
        "SELECT pg_catalog.translate(pg_catalog.substr(c.relname::pg_catalog.text, 11), '_', '-'), \
                pg_catalog.quote_ident(c.relname) \
         FROM pg_catalog.pg_inherits AS i \
         JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) i.inhrelid \
         WHERE i.inhparent OPERATOR(pg_catalog.=) 'tenancy.audit_log'::pg_catalog.regclass \
           AND c.relname OPERATOR(pg_catalog.~) '^audit_log_\\d+_\\d\\d$' \
           AND pg_catalog.timezone('UTC', (pg_catalog.to_date(pg_catalog.substr(c.relname::pg_catalog.text, 11), 'YYYY_MM') \
                 OPERATOR(pg_catalog.+) '1 month'::pg_catalog.interval)::pg_catalog.timestamp) \
               OPERATOR(pg_catalog.<=) (pg_catalog.now() OPERATOR(pg_catalog.-) $1) \
         ORDER BY c.relname",
        &[keep.into()],
        |row| Ok((row.require(1)?, row.require(2)?)),
    )
}

/// Drops the partition of a month. Returns how many entries of it were sealed; `None`, without doing anything, when
/// there are some that are not. `last` is what was sealed last.
pub fn drop_month(month: &str, partition: &str, last: &Range) -> Result<Option<i64>> {
    let Range { after_id, upto_id, upto_txid, .. } = last;
    let unsealed = if *upto_txid == ANY_TXID {
        format!("l.id OPERATOR(pg_catalog.>) {upto_id}")
    } else {
        format!(
            "l.id OPERATOR(pg_catalog.>) {after_id} AND l.txid OPERATOR(pg_catalog.>=) '{upto_txid}'::pg_catalog.xid8"
        )
    };
    let query = format!(
        "SELECT 1 FROM tenancy.{partition} AS l WHERE {unsealed} \
         UNION ALL SELECT 1 FROM tenancy.audit_erased AS l WHERE l.month OPERATOR(pg_catalog.=) '{month}' AND {unsealed} \
         LIMIT 1"
    );
    if !spi::write(&query, &[], |_| Ok(()))?.is_empty() {
        return Ok(None);
    }
    let sealed = spi::write(
        "SELECT coalesce(pg_catalog.sum(entries), 0)::pg_catalog.int8 FROM tenancy.audit_chain \
         WHERE month OPERATOR(pg_catalog.=) $1 AND kind OPERATOR(pg_catalog.=) 'entries'",
        &[month.into()],
        |row| row.require(1),
    )?;
    spi::run(&format!("DROP TABLE tenancy.{partition}"), &[])?;
    let _maintaining = audit_log::maintaining();
    spi::run("DELETE FROM tenancy.audit_erased WHERE month OPERATOR(pg_catalog.=) $1", &[month.into()])?;
    Ok(sealed.into_iter().next())
}
