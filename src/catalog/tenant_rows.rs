//! The rows of one tenant, in every table that has some: which tables these are, and removing and counting.

use super::protection::Root;
use super::tenants::pg_uuid;
use super::{event, spi};
use crate::error::{Error, Lifecycle, Result};
use crate::sql::transfer::Owner;
use crate::sql::{self, Ident};
use crate::sys::types::{self, Base};
use crate::sys::{Oid, foreign, lock, relation};
use crate::tenant::{TenantKey, TenantRef, parse_uuid};
use uuid::Uuid;

const TREE: &str = include_str!("../../sql/queries/lifecycle/tree.sql");
const TABLES: &str = include_str!("../../sql/queries/lifecycle/tables.sql");
const REFERENCES: &str = include_str!("../../sql/queries/lifecycle/references.sql");
const UNCLASSIFIED: &str = include_str!("../../sql/queries/lifecycle/unclassified.sql");

/// A protected table that is no part of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    pub oid: Oid,
    pub ident: Ident,
    pub owner: Oid,
    pub column: Ident,
    column_type: Oid,
    /// It, and all that inherits from it.
    pub parts: Vec<Oid>,
}

impl Table {
    /// What the column holds of a tenant.
    pub fn held(&self) -> Option<Owner> {
        match types::base(self.column_type) {
            Base::Uuid => Some(Owner::Id),
            Base::Text => Some(Owner::Key),
            Base::Integer(_) => Some(Owner::Number),
            Base::Other => None,
        }
    }

    /// What is true of the tenant's rows; `None` where the column can't hold the tenant.
    pub fn predicate(&self, id: Uuid, key: &TenantKey) -> Option<String> {
        Some(sql::equal(&self.column, self.value(id, key)?))
    }

    /// What the column holds for a tenant, as a literal; `None` where it can't hold it.
    pub fn value(&self, id: Uuid, key: &TenantKey) -> Option<String> {
        value(self.column_type, id, key)
    }
}

/// What a column of that type holds for a tenant, as a literal; `None` where it can't hold it.
pub fn value(column_type: Oid, id: Uuid, key: &TenantKey) -> Option<String> {
    let (text, type_name) = held(column_type, id, key)?;
    Some(format!("{}::pg_catalog.{type_name}", sql::literal(&text)))
}

/// The same as text, and the type of the literal.
pub fn held(column_type: Oid, id: Uuid, key: &TenantKey) -> Option<(String, &'static str)> {
    Some(match types::base(column_type) {
        Base::Uuid => (id.to_string(), "uuid"),
        Base::Text => (key.as_str().to_owned(), "text"),
        Base::Integer(integer) => (key.number().filter(|number| types::holds(integer, *number))?.to_string(), "int8"),
        Base::Other => return None,
    })
}

/// The tenant of whom a column of that type holds this.
pub fn named(column_type: Oid, held: String) -> TenantRef {
    match (types::base(column_type), parse_uuid(&held)) {
        (Base::Uuid, Some(id)) => TenantRef::Id(id),
        _ => TenantRef::Key(TenantKey::stored(held)),
    }
}

/// Tables with a tenant column that nobody has protected or classified. Needs the rights of the extension's owner.
pub fn unclassified() -> Result<Vec<String>> {
    spi::read_latest(UNCLASSIFIED, &[], |row| row.require(1))
}

/// What there is to know of protected tables, by name. Needs the rights of the extension's owner.
pub fn tables(roots: &[Root]) -> Result<Vec<Table>> {
    let oids: Vec<Oid> = roots.iter().map(|root| root.relation).collect();
    let columns: Vec<String> = roots.iter().map(|root| root.tenant_column.clone()).collect();
    spi::read(&format!("{TREE}{TABLES}"), &[oids.into(), columns.into()], |row| {
        Ok(Table {
            oid: row.require(1)?,
            ident: Ident::quoted(row.require(2)?),
            owner: row.require(3)?,
            column: Ident::quoted(row.require(4)?),
            column_type: row.require(5)?,
            parts: row.require(6)?,
        })
    })
}

/// Which of the tables refers to which other, by foreign keys of theirs or of their parts.
pub fn references(tables: &[Table]) -> Result<Vec<(Oid, Oid)>> {
    let oids: Vec<Oid> = tables.iter().map(|table| table.oid).collect();
    spi::read(&format!("{TREE}{REFERENCES}"), &[oids.into()], |row| Ok((row.require(1)?, row.require(2)?)))
}

/// Counts the rows of a table for which that is true, as its owner.
pub fn count(table: &Table, predicate: &str) -> Result<i64> {
    check_unchanged(table.oid, &table.ident.to_string(), table.owner)?;
    let query = format!("SELECT pg_catalog.count(*) FROM {} WHERE {predicate}", table.ident);
    foreign::on_the_table_of(table.owner, || one(&query))
}

/// To be called right before each statement that runs with the rights of a relation's owner and has its name: code that
/// hangs on another table may have put one of its own in its place since.
///
/// # Errors
/// 55000 when its name or owner is another one.
pub fn check_unchanged(relation: Oid, ident: &str, owner: Oid) -> Result<()> {
    lock::against_removal(relation);
    let is_same = relation::name(relation).as_deref() == Some(ident) && relation::brief(relation)?.owner == owner;
    if is_same { Ok(()) } else { Err(Lifecycle::TableChanged(ident.to_owned()).into()) }
}

/// For a statement on a table that reaches its parts: their triggers, checks and index expressions would run with the rights
/// of the table's owner.
///
/// # Errors
/// 55000 when one has another owner.
pub fn check_owner_of_parts(table: &Table, owner: Oid) -> Result<()> {
    for part in &table.parts {
        if relation::brief(*part)?.owner != owner {
            let names = [Some(table.ident.to_string()), relation::name(*part)];
            return Err(Lifecycle::OwnersDiffer(names.into_iter().flatten().collect::<Vec<_>>().join(", ")).into());
        }
    }
    Ok(())
}

const UNITS: &str = include_str!("../../sql/queries/lifecycle/units.sql");
const FOREIGN_KEYS: &str = include_str!("../../sql/queries/lifecycle/foreign_keys.sql");

/// A table that rows are copied from: partitioned ones as a whole, others without what inherits from them.
#[derive(Debug, Clone)]
pub struct Unit {
    pub root: Oid,
    pub oid: Oid,
    pub ident: String,
    pub owner: Oid,
    partitioned: bool,
    /// All but the tenant's and generated ones, by name.
    pub columns: Vec<String>,
    /// Sequences that belong to columns, with these.
    pub sequences: Vec<(String, String)>,
}

impl Unit {
    /// As it follows FROM.
    pub fn source(&self) -> String {
        if self.partitioned { self.ident.clone() } else { format!("ONLY {}", self.ident) }
    }
}

/// The units of tables, with their tenant columns. Needs the rights of the extension's owner.
pub fn units(tables: &[Table], columns: &[String]) -> Result<Vec<Unit>> {
    let oids: Vec<Oid> = tables.iter().map(|table| table.oid).collect();
    spi::read(&format!("{TREE}{UNITS}"), &[oids.into(), columns.to_vec().into()], |row| {
        let (sequences, owners): (Vec<String>, Vec<String>) = (row.require(7)?, row.require(8)?);
        Ok(Unit {
            root: row.require(1)?,
            oid: row.require(2)?,
            ident: row.require(3)?,
            owner: row.require(4)?,
            partitioned: row.require(5)?,
            columns: row.require(6)?,
            sequences: sequences.into_iter().zip(owners).collect(),
        })
    })
}

/// A foreign key: the table that has it, the protected table that this is or belongs to, and what is true of a row `c` of it
/// that refers to nothing.
#[derive(Debug, Clone)]
pub struct Reference {
    pub name: String,
    pub relation: String,
    pub root: Oid,
    pub dangles: String,
}

/// The foreign keys of tables, and of what inherits from them.
pub fn foreign_keys(tables: &[Table]) -> Result<Vec<Reference>> {
    let oids: Vec<Oid> = tables.iter().map(|table| table.oid).collect();
    spi::read(&format!("{TREE}{FOREIGN_KEYS}"), &[oids.into()], |row| {
        Ok(Reference {
            name: row.require(1)?,
            relation: row.require(2)?,
            root: row.require(3)?,
            dangles: row.require(4)?,
        })
    })
}

/// A key that is checked when the transaction ends.
#[derive(Debug, Clone)]
pub struct LateKey {
    pub name: String,
    pub relation: String,
    pub root: Oid,
    /// Of what it is, by which SQLSTATE a violation is known.
    pub is_unique: bool,
    /// What follows SELECT and FROM to have the rows that it is about.
    pub columns: String,
    pub source: String,
    pub predicate: String,
    /// What is true of two such rows, `one` and `other`, that can't both be there.
    pub collides: String,
}

/// The deferrable keys of tables, and of what inherits from them.
pub fn late_keys(tables: &[Table]) -> Result<Vec<LateKey>> {
    const LATE_KEYS: &str = include_str!("../../sql/queries/lifecycle/late_keys.sql");
    let oids: Vec<Oid> = tables.iter().map(|table| table.oid).collect();
    spi::read(&format!("{TREE}{LATE_KEYS}"), &[oids.into()], |row| {
        Ok(LateKey {
            name: row.require(1)?,
            relation: row.require(2)?,
            root: row.require(3)?,
            is_unique: row.require(4)?,
            columns: row.require(5)?,
            source: row.require(6)?,
            predicate: row.require(7)?,
            collides: row.require(8)?,
        })
    })
}

/// How many rows of a unit that is true of, and a SHA-256 of what they hold, whatever their order and their tenant. As the
/// table's owner; within the caller's snapshot.
///
/// Each row has a hash, of its columns' texts in order. The hashes, sorted, are hashed by their first bytes, and these hashes
/// again: a value has room for no more than some 30 million.
pub fn digest(unit: &Unit, predicate: &str) -> Result<(i64, String)> {
    check_unchanged(unit.oid, &unit.ident, unit.owner)?;
    let query = format!(
        "SELECT coalesce(pg_catalog.sum(b.rows), 0)::pg_catalog.int8, \
                pg_catalog.encode(pg_catalog.sha256(coalesce( \
                    pg_catalog.string_agg(b.hash, ''::pg_catalog.bytea ORDER BY b.first), ''::pg_catalog.bytea)), 'hex') \
         FROM (SELECT pg_catalog.get_byte(h.hash, 0) AS first, pg_catalog.count(*) AS rows, \
                      pg_catalog.sha256(pg_catalog.string_agg(h.hash, ''::pg_catalog.bytea ORDER BY h.hash)) AS hash \
               FROM (SELECT pg_catalog.sha256(pg_catalog.convert_to(ROW({})::pg_catalog.text, 'UTF8')) AS hash \
                     FROM {} WHERE {predicate}) AS h \
               GROUP BY 1) AS b",
        unit.columns.join(", "),
        unit.source()
    );
    let rows =
        foreign::on_the_table_of(unit.owner, || spi::read(&query, &[], |row| Ok((row.require(1)?, row.require(2)?))))?;
    rows.into_iter().next().ok_or(Error::NotInstalled)
}

/// A unique or exclusion index that the tenant column is no part of: of which table, its name, and whose.
pub fn unscoped_keys(tables: &[Table], columns: &[String]) -> Result<Vec<(Oid, String, String)>> {
    const KEYS: &str = include_str!("../../sql/queries/lifecycle/keys.sql");
    let oids: Vec<Oid> = tables.iter().map(|table| table.oid).collect();
    spi::read(&format!("{TREE}{KEYS}"), &[oids.into(), columns.to_vec().into()], |row| {
        Ok((row.require(1)?, row.require(2)?, row.require(3)?))
    })
}

/// Copies rows of units of one owner, as this owner, in one statement, so that they may refer to each other: each with
/// what is true of the rows, and the literal that the copies hold as their tenant. Returns how many rows.
pub fn copy(units: &[(&Table, &Unit, &str, String)]) -> Result<i64> {
    let Some((first, ..)) = units.first() else { return Ok(0) };
    for (table, unit, ..) in units {
        check_unchanged(unit.oid, &unit.ident, unit.owner)?;
        if unit.partitioned {
            check_owner_of_parts(table, unit.owner)?;
        }
    }
    let parts = units.iter().enumerate().map(|(n, (table, unit, predicate, value))| {
        let listed = |more: &str| {
            let all = unit.columns.iter().map(String::as_str).chain([more]);
            all.collect::<Vec<_>>().join(", ")
        };
        format!(
            "copied_{n} AS (INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM {} WHERE {predicate} RETURNING 1)",
            unit.ident,
            listed(&table.column.to_string()),
            listed(value),
            unit.source()
        )
    });
    let counts = (0..units.len()).map(|n| format!("(SELECT pg_catalog.count(*) FROM copied_{n})"));
    let statement = format!(
        "WITH {} SELECT {}",
        parts.collect::<Vec<_>>().join(", "),
        counts.collect::<Vec<_>>().join(" OPERATOR(pg_catalog.+) ")
    );
    foreign::on_the_table_of(first.owner, || one(&statement))
}

/// Copies the members, numbers and quotas of a tenant. Needs the rights of the extension's owner.
pub fn copy_own(from: Uuid, to: Uuid) -> Result<()> {
    for statement in [
        "INSERT INTO tenancy.members (tenant_id, user_id, role, added_at) \
         SELECT $2, user_id, role, added_at FROM tenancy.members WHERE tenant_id OPERATOR(pg_catalog.=) $1",
        "INSERT INTO tenancy.numbers (tenant_id, name, gapless, last_value) \
         SELECT $2, name, gapless, last_value FROM tenancy.numbers WHERE tenant_id OPERATOR(pg_catalog.=) $1",
        "INSERT INTO tenancy.quotas (tenant_id, resource_id, max_amount, mode, warn_at, per) \
         SELECT $2, resource_id, max_amount, mode, warn_at, per FROM tenancy.quotas \
         WHERE tenant_id OPERATOR(pg_catalog.=) $1",
    ] {
        spi::run(statement, &[pg_uuid(from).into(), pg_uuid(to).into()])?;
    }
    Ok(())
}

/// Registers a tenant with another one's plan, region and settings, below that parent. Returns its id and key; `None` when the id
/// or the key is taken. Needs the rights of the extension's owner.
pub fn insert_like(
    from: Uuid,
    id: Option<Uuid>,
    key: Option<&str>,
    name: Option<&str>,
    parent: Option<Uuid>,
) -> Result<Option<(Uuid, TenantKey)>> {
    let _told = event::told();
    let rows = spi::write(
        "INSERT INTO tenancy.tenants (id, key, name, plan, region, settings, parent) \
         SELECT new.id, coalesce($3, new.id::pg_catalog.text), coalesce($4, t.name), t.plan, t.region, t.settings, $5 \
         FROM tenancy.tenants AS t, (SELECT coalesce($2, pg_catalog.gen_random_uuid()) AS id) AS new \
         WHERE t.id OPERATOR(pg_catalog.=) $1 \
         ON CONFLICT DO NOTHING RETURNING id, key",
        &[pg_uuid(from).into(), id.map(pg_uuid).into(), key.into(), name.into(), parent.map(pg_uuid).into()],
        |row| Ok((Uuid::from_bytes(*row.require::<pgrx::Uuid>(1)?.as_bytes()), TenantKey::stored(row.require(2)?))),
    )?;
    Ok(rows.into_iter().next())
}

/// A table of the extension's own with rows of tenants, and its name.
#[derive(Debug, Clone)]
pub struct Own {
    pub oid: Oid,
    ident: String,
}

/// The extension's own tables, other than its logs, that have rows of tenants.
pub fn own_tables() -> Result<Vec<Own>> {
    spi::read_latest(
        "SELECT c.oid, pg_catalog.format('tenancy.%I', c.relname) \
         FROM pg_catalog.pg_class AS c \
         JOIN pg_catalog.pg_attribute AS a ON a.attrelid OPERATOR(pg_catalog.=) c.oid \
         WHERE c.relnamespace OPERATOR(pg_catalog.=) 'tenancy'::pg_catalog.regnamespace \
           AND c.relkind OPERATOR(pg_catalog.=) 'r' AND NOT c.relispartition \
           AND a.attname OPERATOR(pg_catalog.=) 'tenant_id' AND NOT a.attisdropped \
           AND a.atttypid OPERATOR(pg_catalog.=) 'pg_catalog.uuid'::pg_catalog.regtype \
           AND c.relname NOT IN ('event_log', 'audit_erased') \
           AND c.relname OPERATOR(pg_catalog.!~) '^audit_log' \
         ORDER BY c.relname OPERATOR(pg_catalog.=) 'quota_slots', c.relname",
        &[],
        |row| Ok(Own { oid: row.require(1)?, ident: row.require(2)? }),
    )
}

const OF_TENANT: &str = "WHERE tenant_id OPERATOR(pg_catalog.=) $1";

/// Counts a tenant's rows. Needs the rights of the extension's owner, as all that follows.
pub fn count_own(table: &Own, tenant: Uuid) -> Result<i64> {
    one_of(&format!("SELECT pg_catalog.count(*) FROM {} {OF_TENANT}", table.ident), tenant)
}

/// Removes a tenant's rows. Returns how many.
pub fn delete_own(table: &Own, tenant: Uuid) -> Result<i64> {
    changed(&format!("DELETE FROM {} {OF_TENANT}", table.ident), tenant)
}

/// Takes out of the event log what tells of a tenant more than that something became of it.
pub fn strip_events(tenant: Uuid) -> Result<i64> {
    changed(
        &format!(
            "UPDATE tenancy.event_log SET object = NULL, user_id = NULL, request_id = NULL, reason = NULL, detail = NULL \
             {OF_TENANT}"
        ),
        tenant,
    )
}

/// Leaves the id of a tenant, and that it is erased.
pub fn strip_tenant(tenant: Uuid) -> Result<()> {
    changed(
        "UPDATE tenancy.tenants SET key = id::pg_catalog.text, name = NULL, status = 'erased', plan = NULL, region = NULL, \
                settings = '{}', parent = NULL, status_changed_at = pg_catalog.now() \
         WHERE id OPERATOR(pg_catalog.=) $1",
        tenant,
    )
    .map(|_| ())
}

/// The OID of the event log, and of the audit log.
pub fn logs() -> Result<(Oid, Oid)> {
    let rows = spi::read(
        "SELECT 'tenancy.event_log'::pg_catalog.regclass::pg_catalog.oid, \
                'tenancy.audit_log'::pg_catalog.regclass::pg_catalog.oid",
        &[],
        |row| Ok((row.require(1)?, row.require(2)?)),
    )?;
    rows.into_iter().next().ok_or(Error::NotInstalled)
}

/// Entries of the event log, or the audit log, that are a tenant's.
pub fn count_log(log: &str, tenant: Uuid) -> Result<i64> {
    one_of(&format!("SELECT pg_catalog.count(*) FROM tenancy.{log} {OF_TENANT}"), tenant)
}

fn one(query: &str) -> Result<i64> {
    spi::write(query, &[], |row| row.require(1))?.into_iter().next().ok_or(Error::NotInstalled)
}

fn one_of(query: &str, tenant: Uuid) -> Result<i64> {
    let rows = spi::write(query, &[pg_uuid(tenant).into()], |row| row.require(1))?;
    rows.into_iter().next().ok_or(Error::NotInstalled)
}

fn changed(statement: &str, tenant: Uuid) -> Result<i64> {
    Ok(i64::try_from(spi::run(statement, &[pg_uuid(tenant).into()])?).unwrap_or(i64::MAX))
}
