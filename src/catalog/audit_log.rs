//! `tenancy.audit_log`: its partitions, and writing to it.

use super::{registry, spi, tenants::pg_uuid};
use crate::error::Result;
use crate::guc;
use crate::sys::append::{self, Value, Writer};
use crate::sys::backend::{BackendCell, Raised};
use crate::sys::{Oid, role, rowhash, session};
use uuid::Uuid;

const MISSING_MONTHS: &str = include_str!("../../sql/queries/audit/missing_months.sql");
const NEW_MONTH: &str = include_str!("../../sql/queries/audit/new_month.sql");

/// The last step: what is in the month already has been moved by then.
const ATTACH: &str =
    "ALTER TABLE tenancy.audit_log ATTACH PARTITION tenancy.{name} FOR VALUES FROM ('{from}') TO ('{to}')";

/// True while the extension moves or removes entries itself.
static MAINTAINING: BackendCell<bool> = BackendCell::new(false);

/// Whether entries may be changed now.
pub fn is_being_maintained() -> bool {
    MAINTAINING.get()
}

/// Lets entries be changed until what is returned is dropped.
pub fn maintaining() -> Raised<'static> {
    MAINTAINING.raised()
}

/// What happened to a row, or to all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    Insert,
    Update,
    Delete,
    Truncate,
}

impl Op {
    /// As the log names them, in the order of the variants.
    const NAMES: [&str; 4] = ["INSERT", "UPDATE", "DELETE", "TRUNCATE"];
}

/// What all entries of a statement have in common, besides who and when.
#[derive(Debug)]
pub struct Statement {
    pub table: Oid,
    pub table_name: String,
    pub bypass: bool,
    pub reason: Option<String>,
}

/// One entry.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    pub op: Op,
    pub tenant: Option<Uuid>,
    /// Contents of `jsonb` values.
    pub row_key: Option<&'a [u8]>,
    pub old_row: Option<&'a [u8]>,
    pub new_row: Option<&'a [u8]>,
    pub changed: Value,
}

/// Writes the entries of one statement.
pub struct Log {
    writer: Writer,
    ids: Oid,
    at: Value,
    user_id: Value,
    request_id: Value,
    role_name: Value,
    txid: Value,
    table: Value,
    table_name: Value,
    ops: [Value; 4],
    session_role: Value,
    application: Value,
    client: Value,
    bypass: Value,
    reason: Value,
}

impl Log {
    /// For about so many entries.
    pub fn open(statement: Statement, expected: usize) -> Result<Self> {
        let registry = registry::get()?;
        let at = append::now();
        let writer = Writer::open(registry.audit_log, at, expected)?;
        let application = Some(session::application()).filter(|name| !name.is_empty());
        let (role, login) = (role::outer(), role::session());
        let role_name = writer.lasting(role::name(role));
        let session_role = if login == role { role_name } else { writer.lasting(role::name(login)) };
        Ok(Self {
            ids: registry.audit_log_ids,
            at: Writer::number(at),
            user_id: writer.lasting(guc::user_id()),
            request_id: writer.lasting(guc::request_id()),
            role_name,
            txid: Writer::number(append::transaction_number() as i64),
            table: writer.lasting(statement.table),
            table_name: writer.lasting(statement.table_name),
            ops: Op::NAMES.map(|name| writer.lasting(name)),
            session_role,
            application: writer.lasting(application),
            client: writer.lasting_made(session::client_address),
            bypass: writer.lasting(statement.bypass),
            reason: writer.lasting(statement.reason),
            writer,
        })
    }

    /// A list of columns, for entries to come.
    pub fn names(&self, names: &[&str]) -> Value {
        self.writer.names(names)
    }

    /// Writes an entry, soon.
    pub fn add(&mut self, entry: Entry<'_>) {
        let id = Writer::number(append::next_number(self.ids));
        let tenant = self.writer.uuid(entry.tenant);
        let mut image = |root: Option<&[u8]>| root.map_or(Value::NULL, |root| self.writer.jsonb(root));
        let (row_key, old_row, new_row) = (image(entry.row_key), image(entry.old_row), image(entry.new_row));
        let row_hash = entry.row_key.map_or(Value::NULL, |root| Writer::number(rowhash::row_hash(root)));
        // In the order of the table's columns.
        self.writer.add([
            id,
            self.at,
            tenant,
            self.user_id,
            self.request_id,
            self.role_name,
            self.txid,
            self.table,
            self.table_name,
            self.ops[entry.op as usize],
            row_key,
            old_row,
            new_row,
            entry.changed,
            self.session_role,
            self.application,
            self.client,
            self.bypass,
            self.reason,
            row_hash,
        ]);
    }

    /// Writes what is left.
    pub fn finish(self) {
        self.writer.finish();
    }
}

/// Makes the partitions that are missing for this month and those that follow, and moves entries out of the default
/// one. Returns how many were moved. Needs the rights of the extension's owner.
pub fn maintain() -> Result<usize> {
    let _maintaining = MAINTAINING.raised();
    // One at a time; nobody who writes or reads waits for this.
    spi::run("LOCK TABLE ONLY tenancy.audit_log IN SHARE UPDATE EXCLUSIVE MODE", &[])?;
    let mut moved = 0;
    let mut missing = missing_months()?;
    if missing.iter().any(|month| month.is_filled) {
        // Who writes there now would add to what is being moved.
        spi::run("LOCK TABLE tenancy.audit_log_default IN ACCESS EXCLUSIVE MODE", &[])?;
        missing = missing_months()?;
    }
    for month in missing {
        let fill =
            |text: &str| text.replace("{name}", &month.name).replace("{from}", &month.from).replace("{to}", &month.to);
        for statement in NEW_MONTH.split_terminator(";\n") {
            spi::run(&fill(statement), &[])?;
        }
        if month.is_filled {
            moved += spi::run(
                &fill(
                    "INSERT INTO tenancy.{name} SELECT * FROM tenancy.audit_log_default \
                     WHERE at OPERATOR(pg_catalog.>=) '{from}' AND at OPERATOR(pg_catalog.<) '{to}'",
                ),
                &[],
            )?;
            spi::run(
                &fill(
                    "DELETE FROM tenancy.audit_log_default \
                     WHERE at OPERATOR(pg_catalog.>=) '{from}' AND at OPERATOR(pg_catalog.<) '{to}'",
                ),
                &[],
            )?;
        }
        spi::run(&fill(ATTACH), &[])?;
    }
    Ok(moved)
}

/// Removes a tenant's entries. Their hashes stay, so that the chain over them still holds. Returns how many. Needs the rights
/// of the extension's owner.
pub fn erase(tenant: Uuid) -> Result<i64> {
    let _maintaining = MAINTAINING.raised();
    let erased = spi::run(
        "WITH erased AS ( \
             DELETE FROM tenancy.audit_log AS l WHERE l.tenant_id OPERATOR(pg_catalog.=) $1 \
             RETURNING l.id, l.txid, l.tbl, l.table_name, \
                       pg_catalog.to_char(pg_catalog.timezone('UTC', l.at), 'YYYY-MM'), \
                       pg_catalog.sha256(pg_catalog.convert_to(tenancy.audit_json(l), 'UTF8'))) \
         INSERT INTO tenancy.audit_erased (id, txid, tbl, table_name, month, hash) SELECT * FROM erased",
        &[pg_uuid(tenant).into()],
    )?;
    Ok(i64::try_from(erased).unwrap_or(i64::MAX))
}

/// A month without a partition.
struct Month {
    name: String,
    from: String,
    to: String,
    /// There are entries of it in the default partition.
    is_filled: bool,
}

/// The months from this one to the third after it for which there is no partition, and those of entries that came into the
/// default one, as `audit_log_2026_11`; and whether there are such entries. Needs the rights of the extension's owner.
pub fn months_to_make() -> Result<(Vec<String>, bool)> {
    let found: Vec<(String, bool)> = spi::read(MISSING_MONTHS, &[], |row| Ok((row.require(1)?, row.require(4)?)))?;
    let is_any_filled = found.iter().any(|(_, is_filled)| *is_filled);
    Ok((found.into_iter().map(|(name, _)| name).collect(), is_any_filled))
}

fn missing_months() -> Result<Vec<Month>> {
    spi::write(MISSING_MONTHS, &[], |row| {
        Ok(Month { name: row.require(1)?, from: row.require(2)?, to: row.require(3)?, is_filled: row.require(4)? })
    })
}
