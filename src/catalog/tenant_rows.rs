//! The rows of one tenant, in every table that has some: which tables these are, and removing and counting.

use super::protection::Root;
use super::spi;
use super::tenants::pg_uuid;
use crate::error::{Error, Result};
use crate::sql::transfer::Owner;
use crate::sql::{self, Ident};
use crate::sys::types::{self, Base};
use crate::sys::{Oid, foreign};
use crate::tenant::TenantKey;
use uuid::Uuid;

const TREE: &str = include_str!("../../sql/queries/lifecycle/tree.sql");
const TABLES: &str = include_str!("../../sql/queries/lifecycle/tables.sql");
const REFERENCES: &str = include_str!("../../sql/queries/lifecycle/references.sql");
const UNCLASSIFIED: &str = include_str!("../../sql/queries/lifecycle/unclassified.sql");

/// A protected table that is no part of another.
#[derive(Debug, Clone)]
pub struct Table {
    pub oid: Oid,
    pub ident: Ident,
    pub owner: Oid,
    pub column: Ident,
    column_type: Oid,
    /// Deferrable constraints that removing rows may wake.
    deferrable: Vec<String>,
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
        let (text, type_name) = match types::base(self.column_type) {
            Base::Uuid => (id.to_string(), "uuid"),
            Base::Text => (key.as_str().to_owned(), "text"),
            Base::Integer(integer) => {
                (key.number().filter(|number| types::holds(integer, *number))?.to_string(), "int8")
            }
            Base::Other => return None,
        };
        Some(format!("{}::pg_catalog.{type_name}", sql::literal(&text)))
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
            deferrable: row.require(6)?,
            parts: row.require(7)?,
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
    let query = format!("SELECT pg_catalog.count(*) FROM {} WHERE {predicate}", table.ident);
    foreign::on_the_table_of(table.owner, || one(&query))
}

/// Removes rows of tables of one owner, as this owner, in one statement, so that they may refer to each other. Returns
/// how many rows of each.
pub fn delete(tables: &[(&Table, &str)]) -> Result<Vec<i64>> {
    let Some((first, _)) = tables.first() else { return Ok(Vec::new()) };
    let names: Vec<&str> = tables.iter().flat_map(|(table, _)| &table.deferrable).map(String::as_str).collect();
    let parts = tables.iter().enumerate().map(|(n, (table, predicate))| {
        format!("removed_{n} AS (DELETE FROM {} WHERE {predicate} RETURNING 1)", table.ident)
    });
    let counts = (0..tables.len()).map(|n| format!("(SELECT pg_catalog.count(*) FROM removed_{n})"));
    let statement = format!(
        "WITH {} SELECT ARRAY[{}]",
        parts.collect::<Vec<_>>().join(", "),
        counts.collect::<Vec<_>>().join(", ")
    );
    foreign::on_the_table_of(first.owner, || {
        make_immediate(names)?;
        let counts = spi::write(&statement, &[], |row| row.require::<Vec<i64>>(1))?;
        Ok(counts.into_iter().next().unwrap_or_default())
    })
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

/// How many rows of a unit that is true of, and the SHA-256 of what they hold, whatever their order and their tenant: of the
/// hashes of their columns' texts, in order. As the table's owner; within the caller's snapshot.
pub fn digest(unit: &Unit, predicate: &str) -> Result<(i64, String)> {
    let query = format!(
        "SELECT pg_catalog.count(*), pg_catalog.encode(pg_catalog.sha256(coalesce( \
                    pg_catalog.string_agg(h.hash, ''::pg_catalog.bytea ORDER BY h.hash), ''::pg_catalog.bytea)), 'hex') \
         FROM (SELECT pg_catalog.sha256(pg_catalog.convert_to(ROW({})::pg_catalog.text, 'UTF8')) AS hash \
               FROM {} WHERE {predicate}) AS h",
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
    let names: Vec<&str> = units.iter().flat_map(|(table, ..)| &table.deferrable).map(String::as_str).collect();
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
    foreign::on_the_table_of(first.owner, || {
        make_immediate(names)?;
        one(&statement)
    })
}

/// Copies the members and numbers of a tenant. Needs the rights of the extension's owner.
pub fn copy_own(from: Uuid, to: Uuid) -> Result<()> {
    for statement in [
        "INSERT INTO tenancy.members (tenant_id, user_id, role, added_at) \
         SELECT $2, user_id, role, added_at FROM tenancy.members WHERE tenant_id OPERATOR(pg_catalog.=) $1",
        "INSERT INTO tenancy.numbers (tenant_id, name, gapless, last_value) \
         SELECT $2, name, gapless, last_value FROM tenancy.numbers WHERE tenant_id OPERATOR(pg_catalog.=) $1",
    ] {
        spi::run(statement, &[pg_uuid(from).into(), pg_uuid(to).into()])?;
    }
    Ok(())
}

/// Registers a tenant with another one's plan, region and settings. Returns its id and key; `None` when the id or the key is
/// taken. Needs the rights of the extension's owner.
pub fn insert_like(
    from: Uuid,
    id: Option<Uuid>,
    key: Option<&str>,
    name: Option<&str>,
) -> Result<Option<(Uuid, TenantKey)>> {
    let rows = spi::write(
        "INSERT INTO tenancy.tenants (id, key, name, plan, region, settings, parent) \
         SELECT new.id, coalesce($3, new.id::pg_catalog.text), coalesce($4, t.name), t.plan, t.region, t.settings, t.parent \
         FROM tenancy.tenants AS t, (SELECT coalesce($2, pg_catalog.gen_random_uuid()) AS id) AS new \
         WHERE t.id OPERATOR(pg_catalog.=) $1 \
         ON CONFLICT DO NOTHING RETURNING id, key",
        &[pg_uuid(from).into(), id.map(pg_uuid).into(), key.into(), name.into()],
        |row| Ok((Uuid::from_bytes(*row.require::<pgrx::Uuid>(1)?.as_bytes()), TenantKey::stored(row.require(2)?))),
    )?;
    Ok(rows.into_iter().next())
}

/// Has constraints checked at once: what is left for the end of the transaction would be done as somebody else.
fn make_immediate(mut names: Vec<&str>) -> Result<()> {
    names.sort_unstable();
    names.dedup();
    if !names.is_empty() {
        spi::run(&format!("SET CONSTRAINTS {} IMMEDIATE", names.join(", ")), &[])?;
    }
    Ok(())
}

/// What the registry says of a tenant, besides its id and key.
#[derive(Debug, Clone)]
pub struct Registered {
    pub name: Option<String>,
    pub plan: Option<String>,
    pub parent: Option<Uuid>,
    pub region: Option<String>,
    /// JSON.
    pub settings: String,
}

/// What the registry says of a tenant. Needs the rights of the extension's owner.
pub fn registered(tenant: Uuid) -> Result<Registered> {
    let rows = spi::read(
        "SELECT name, plan, region, settings::pg_catalog.text, parent FROM tenancy.tenants WHERE id OPERATOR(pg_catalog.=) $1",
        &[pg_uuid(tenant).into()],
        |row| {
            let parent: Option<pgrx::Uuid> = row.get(5)?;
            Ok(Registered {
                name: row.get(1)?,
                plan: row.get(2)?,
                region: row.get(3)?,
                settings: row.require(4)?,
                parent: parent.map(|id| Uuid::from_bytes(*id.as_bytes())),
            })
        },
    )?;
    rows.into_iter().next().ok_or(Error::NotInstalled)
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
