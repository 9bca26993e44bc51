//! `tenancy.resources`, `quotas`, `plan_quotas`, `quota_tables`: what is limited, how far, and which tables count for it.

use super::{registry, spi, tenants::pg_uuid};
use crate::error::{Error, Result};
use crate::sql;
use crate::sys::backend::BackendCell;
use crate::sys::scan::{self, Key as Column};
use crate::sys::slots::{Home, Key};
use crate::sys::{INVALID_OID, Oid, invalidation, weight};
use pgrx::datum::Interval;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use uuid::Uuid;

// Attribute numbers of tenancy.resources and tenancy.quota_tables, fixed by their DDL.
const RESOURCE_ID: i16 = 1;
const RESOURCE_NAME: usize = 2;
const RESOURCE_KIND: usize = 3;
const TABLE_RELATION: i16 = 1;
const TABLE_RESOURCE: usize = 2;
const TABLE_COLUMN: usize = 3;

/// What a resource is an amount of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Rows,
    Bytes,
    /// What is taken and given back by name.
    Counter,
    /// What is taken by name, so many per interval.
    Rate,
    /// Sessions that act for the tenant at a time.
    Sessions,
}

impl Kind {
    /// Reads a kind as SQL names it.
    pub fn parse(text: &str) -> Result<Self> {
        Ok(match text {
            "rows" => Self::Rows,
            "bytes" => Self::Bytes,
            "counter" => Self::Counter,
            "rate" => Self::Rate,
            "sessions" => Self::Sessions,
            _ => {
                return Err(Error::InvalidArgument {
                    what: "kind",
                    reason: format!("\"{text}\" is none of rows, bytes, counter, rate, sessions"),
                });
            }
        })
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rows => "rows",
            Self::Bytes => "bytes",
            Self::Counter => "counter",
            Self::Rate => "rate",
            Self::Sessions => "sessions",
        }
    }

    /// Whether tables count for it.
    pub fn is_of_tables(self) -> bool {
        matches!(self, Self::Rows | Self::Bytes)
    }

    /// Whether usage is kept in memory, and not in slots.
    pub fn is_in_memory(self) -> bool {
        matches!(self, Self::Rate | Self::Sessions)
    }

    /// What a resource of that kind is, for errors.
    pub fn described(self) -> &'static str {
        match self {
            Self::Rows => "rows of tables",
            Self::Bytes => "bytes of tables",
            Self::Counter => "a counter",
            Self::Rate => "a rate",
            Self::Sessions => "a number of sessions",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    pub id: i32,
    pub name: String,
    pub kind: Kind,
}

/// Whether a limit is kept, or only watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Enforce,
    Track,
}

impl Mode {
    /// Reads a mode as SQL names it.
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "enforce" => Ok(Self::Enforce),
            "track" => Ok(Self::Track),
            _ => Err(Error::InvalidArgument { what: "mode", reason: format!("\"{text}\" is none of enforce, track") }),
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Track => "track",
        }
    }
}

/// A limit as it is set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limit {
    /// `None`: unlimited.
    pub max: Option<i64>,
    pub mode: Mode,
    /// At which part of it to warn.
    pub warn_at: Option<f32>,
}

#[derive(Debug, Clone, Copy)]
struct Places {
    slots: Home,
    resources: (Oid, Oid),
    tables: (Oid, Oid),
}

static PLACES: BackendCell<Option<Places>> = BackendCell::new(None);

fn places() -> Result<Places> {
    if let Some(places) = PLACES.get() {
        return Ok(places);
    }
    let oid = |name| scan::relation_oid(c"tenancy", name).ok_or(Error::NotInstalled);
    let places = Places {
        slots: Home { table: oid(c"quota_slots")?, index: oid(c"quota_slots_pkey")? },
        resources: (oid(c"resources")?, oid(c"resources_pkey")?),
        tables: (oid(c"quota_tables")?, oid(c"quota_tables_pkey")?),
    };
    PLACES.set(Some(places));
    Ok(places)
}

/// Where the slots are.
pub fn slots() -> Result<Home> {
    Ok(places()?.slots)
}

/// A table whose rows count.
#[derive(Debug)]
pub struct Counted {
    pub column: String,
    /// The tenant column's number.
    pub attribute: i16,
    pub resources: Vec<(i32, Kind)>,
}

impl Counted {
    /// Whether rows are weighed.
    pub fn weighs(&self) -> bool {
        self.resources.iter().any(|(_, kind)| *kind == Kind::Bytes)
    }
}

#[derive(Default)]
struct Known {
    tables: HashMap<Oid, Option<Rc<Counted>>>,
    /// Counts changes, so that what was read across one is not kept.
    changes: u64,
}

/// Tables kept in memory as counted or not; when there are more, all are looked up again.
const CAPACITY: usize = 10_000;

thread_local! {
    static KNOWN: RefCell<Known> = RefCell::default();
}

/// Drops what is known of a relation that changed; an invalid OID stands for all. Can't fail.
pub fn relation_changed(relation: Oid) {
    let is_ours = PLACES.get().is_some_and(|places| {
        [places.slots.table, places.slots.index, places.resources.0, places.tables.0].contains(&relation)
    });
    if relation == INVALID_OID || is_ours {
        PLACES.set(None);
    }
    KNOWN.with_borrow_mut(|known| {
        known.changes += 1;
        if relation == INVALID_OID || is_ours {
            known.tables.clear();
        } else {
            known.tables.remove(&relation);
        }
    });
}

/// What a table's rows count for, if they do.
pub fn counted(table: Oid) -> Result<Option<Rc<Counted>>> {
    let (known, changes) = KNOWN.with_borrow(|known| (known.tables.get(&table).cloned(), known.changes));
    if let Some(counted) = known {
        return Ok(counted);
    }
    let counted = look_up(table)?.map(Rc::new);
    KNOWN.with_borrow_mut(|known| {
        if known.changes == changes {
            if known.tables.len() >= CAPACITY {
                known.tables.clear();
            }
            known.tables.insert(table, counted.clone());
        }
    });
    Ok(counted)
}

fn look_up(table: Oid) -> Result<Option<Counted>> {
    let places = places()?;
    let mut found: Vec<(i32, String)> = Vec::new();
    scan::find(places.tables.0, places.tables.1, &[(TABLE_RELATION, Column::Oid(table))], |row| {
        found.extend(row.integer(TABLE_RESOURCE).zip(row.name(TABLE_COLUMN)));
        false
    });
    let Some(column) = found.first().map(|(_, column)| column.clone()) else { return Ok(None) };
    let attribute = weight::attribute(table, &column).ok_or_else(|| Error::NoSuchColumn {
        relation: super::relations::name(table).unwrap_or_default(),
        column: column.clone(),
    })?;
    let kind_of = |id| resource_by_id(id).map(|resource| (id, resource.kind));
    let resources = found.into_iter().map(|(id, _)| kind_of(id)).collect::<Result<_>>()?;
    Ok(Some(Counted { column, attribute, resources }))
}

/// A resource that slots or tables refer to.
pub fn resource_by_id(id: i32) -> Result<Resource> {
    let (table, index) = places()?.resources;
    let mut found = None;
    scan::find(table, index, &[(RESOURCE_ID, Column::Int4(id))], |row| {
        found = row.text(RESOURCE_NAME).zip(row.text(RESOURCE_KIND));
        true
    });
    let (name, kind) = found.ok_or(Error::NotInstalled)?;
    Ok(Resource { id, name, kind: Kind::parse(&kind)? })
}

// What follows needs the rights of the extension's owner.

fn resource(row: spi::Row<'_>) -> Result<Resource> {
    Ok(Resource { id: row.require(1)?, name: row.require(2)?, kind: Kind::parse(&row.require::<String>(3)?)? })
}

/// The resource of that name.
///
/// # Errors
/// 42704.
pub fn resource_named(name: &str) -> Result<Resource> {
    let found = spi::read_latest(
        "SELECT id, name, kind FROM tenancy.resources WHERE name OPERATOR(pg_catalog.=) $1",
        &[name.into()],
        resource,
    )?;
    found.into_iter().next().ok_or_else(|| Error::UnknownResource(name.to_owned()))
}

/// All resources that tables count for.
pub fn resources_of_tables() -> Result<Vec<Resource>> {
    let all = spi::read_latest("SELECT id, name, kind FROM tenancy.resources ORDER BY id", &[], resource)?;
    Ok(all.into_iter().filter(|resource| resource.kind.is_of_tables()).collect())
}

/// Makes a resource. Returns false when the name is taken.
pub fn insert_resource(name: &str, kind: Kind, description: Option<String>) -> Result<bool> {
    let count = spi::run(
        "INSERT INTO tenancy.resources (name, kind, description) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        &[name.into(), kind.as_str().into(), description.into()],
    )?;
    Ok(count > 0)
}

/// Sets a tenant's own limit.
pub fn put(key: &Key, limit: &Limit, per: Option<Interval>) -> Result<()> {
    spi::run(
        "INSERT INTO tenancy.quotas (tenant_id, resource_id, max_amount, mode, warn_at, per) \
         VALUES ($1, $2, $3, $4, $5, $6) \
         ON CONFLICT (tenant_id, resource_id) DO UPDATE \
         SET max_amount = EXCLUDED.max_amount, mode = EXCLUDED.mode, warn_at = EXCLUDED.warn_at, \
             per = EXCLUDED.per, set_at = pg_catalog.now()",
        &[
            pg_uuid(key.tenant).into(),
            key.resource.into(),
            limit.max.into(),
            limit.mode.as_str().into(),
            limit.warn_at.into(),
            per.into(),
        ],
    )?;
    Ok(())
}

/// Sets the limit of a plan.
pub fn put_for_plan(plan: &str, resource: i32, limit: &Limit, per: Option<Interval>) -> Result<()> {
    spi::run(
        "INSERT INTO tenancy.plan_quotas (plan, resource_id, max_amount, mode, warn_at, per) \
         VALUES ($1, $2, $3, $4, $5, $6) \
         ON CONFLICT (plan, resource_id) DO UPDATE \
         SET max_amount = EXCLUDED.max_amount, mode = EXCLUDED.mode, warn_at = EXCLUDED.warn_at, \
             per = EXCLUDED.per, set_at = pg_catalog.now()",
        &[plan.into(), resource.into(), limit.max.into(), limit.mode.as_str().into(), limit.warn_at.into(), per.into()],
    )?;
    Ok(())
}

/// The limit that holds for a tenant: its own, or else its plan's.
pub fn limit(key: &Key) -> Result<Option<Limit>> {
    let found = registry::as_owner(|| {
        spi::read_latest(
            "SELECT q.max_amount, q.mode, q.warn_at \
             FROM (SELECT o.max_amount, o.mode, o.warn_at, 0 AS rank FROM tenancy.quotas AS o \
                   WHERE o.tenant_id OPERATOR(pg_catalog.=) $1 AND o.resource_id OPERATOR(pg_catalog.=) $2 \
                   UNION ALL \
                   SELECT p.max_amount, p.mode, p.warn_at, 1 FROM tenancy.tenants AS t \
                   JOIN tenancy.plan_quotas AS p ON p.plan OPERATOR(pg_catalog.=) t.plan \
                   WHERE t.id OPERATOR(pg_catalog.=) $1 AND p.resource_id OPERATOR(pg_catalog.=) $2) AS q \
             ORDER BY q.rank LIMIT 1",
            &[pg_uuid(key.tenant).into(), key.resource.into()],
            |row| Ok(Limit { max: row.get(1)?, mode: Mode::parse(&row.require::<String>(2)?)?, warn_at: row.get(3)? }),
        )
    })?;
    Ok(found.into_iter().next())
}

fn key(row: spi::Row<'_>) -> Result<Key> {
    let tenant: pgrx::Uuid = row.require(1)?;
    Ok(Key { tenant: Uuid::from_bytes(*tenant.as_bytes()), resource: row.require(2)? })
}

/// What tenants of a plan use of a resource.
pub fn keys_of_plan(plan: &str, resource: i32) -> Result<Vec<Key>> {
    spi::read_latest(
        "SELECT DISTINCT s.tenant_id, s.resource_id FROM tenancy.tenants AS t \
         JOIN tenancy.quota_slots AS s ON s.tenant_id OPERATOR(pg_catalog.=) t.id \
         WHERE t.plan OPERATOR(pg_catalog.=) $1 AND s.resource_id OPERATOR(pg_catalog.=) $2 ORDER BY 1",
        &[plan.into(), resource.into()],
        key,
    )
}

/// All that tenants use, in the order of resources.
pub fn keys() -> Result<Vec<Key>> {
    spi::read_latest("SELECT DISTINCT tenant_id, resource_id FROM tenancy.quota_slots ORDER BY 2, 1", &[], key)
}

/// What a plan limits.
pub fn resources_of_plan(plan: &str) -> Result<Vec<i32>> {
    spi::read_latest(
        "SELECT resource_id FROM tenancy.plan_quotas WHERE plan OPERATOR(pg_catalog.=) $1",
        &[plan.into()],
        |row| row.require(1),
    )
}

/// Has a table count for a resource.
pub fn put_table(table: Oid, resource: i32, column: &str) -> Result<()> {
    spi::run(
        "INSERT INTO tenancy.quota_tables (relation, resource_id, tenant_column) VALUES ($1, $2, $3::pg_catalog.name)",
        &[table.into(), resource.into(), column.into()],
    )?;
    invalidation::announce(table);
    relation_changed(table);
    Ok(())
}

/// Has it count no more, for one resource or for any.
pub fn remove_table(table: Oid, resource: Option<i32>) -> Result<()> {
    spi::run(
        "DELETE FROM tenancy.quota_tables WHERE relation OPERATOR(pg_catalog.=) $1 \
         AND (resource_id OPERATOR(pg_catalog.=) $2 OR $2 IS NULL)",
        &[table.into(), resource.into()],
    )?;
    invalidation::announce(table);
    relation_changed(table);
    Ok(())
}

/// Whether a resource is limited for anybody without an interval.
pub fn is_limited_without_interval(resource: i32) -> Result<bool> {
    let found = spi::read_latest(
        "SELECT EXISTS (SELECT FROM tenancy.quotas AS q \
                        WHERE q.resource_id OPERATOR(pg_catalog.=) $1 AND q.max_amount IS NOT NULL AND q.per IS NULL) \
             OR EXISTS (SELECT FROM tenancy.plan_quotas AS q \
                        WHERE q.resource_id OPERATOR(pg_catalog.=) $1 AND q.max_amount IS NOT NULL AND q.per IS NULL)",
        &[resource.into()],
        |row| row.require(1),
    )?;
    Ok(found.into_iter().any(|is| is))
}

/// The tables that count for a resource, with their tenant columns.
pub fn tables(resource: i32) -> Result<Vec<(Oid, String)>> {
    spi::read_latest(
        "SELECT q.relation::pg_catalog.oid, q.tenant_column::pg_catalog.text FROM tenancy.quota_tables AS q \
         JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) q.relation \
         WHERE q.resource_id OPERATOR(pg_catalog.=) $1 ORDER BY 1",
        &[resource.into()],
        |row| Ok((row.require(1)?, row.require(2)?)),
    )
}

/// Tables that have a parent which counts for a resource, and don't count for that: the topmost, with the parent.
pub fn parts_to_count() -> Result<Vec<(Oid, Oid, i32)>> {
    spi::read_latest(
        "SELECT i.inhrelid, i.inhparent, q.resource_id FROM tenancy.quota_tables AS q \
         JOIN pg_catalog.pg_inherits AS i ON i.inhparent OPERATOR(pg_catalog.=) q.relation \
         JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) i.inhrelid \
         WHERE c.relpersistence OPERATOR(pg_catalog.<>) 't' \
           AND NOT EXISTS (SELECT FROM tenancy.quota_tables AS own \
                           WHERE own.relation OPERATOR(pg_catalog.=) i.inhrelid \
                             AND own.resource_id OPERATOR(pg_catalog.=) q.resource_id) \
         ORDER BY 1, 3",
        &[],
        |row| Ok((row.require(1)?, row.require(2)?, row.require(3)?)),
    )
}

/// Whether any table counts for anything. Costs next to nothing.
pub fn is_needed() -> Result<bool> {
    let (table, index) = places()?.tables;
    let mut found = false;
    scan::find(table, index, &[], |_| {
        found = true;
        true
    });
    Ok(found)
}

/// Those of the triggers that a table has, of the right function.
pub fn triggers(table: Oid) -> Result<Vec<String>> {
    spi::read_latest(
        "SELECT t.tgname::pg_catalog.text FROM pg_catalog.pg_trigger AS t \
         WHERE t.tgrelid OPERATOR(pg_catalog.=) $1 \
           AND t.tgfoid OPERATOR(pg_catalog.=) 'tenancy.count_rows()'::pg_catalog.regprocedure",
        &[table.into()],
        |row| row.require(1),
    )
}

/// The DDL that gives a table those triggers that it lacks.
pub fn missing_triggers(relation: &sql::Ident, present: &[String]) -> Vec<String> {
    let missing = sql::COUNT_TRIGGERS.iter().filter(|trigger| !present.iter().any(|name| name == trigger.name));
    missing.flat_map(|trigger| sql::create_count_trigger(trigger, relation)).collect()
}
