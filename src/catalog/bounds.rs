//! Resources and limits as a session knows them: read by index, like catalogs, and kept until one of their tables changes,
//! so that a rate can be asked for at each statement.

use super::quotas::{Kind, Limit, Mode, Resource};
use crate::error::{Error, Result};
use crate::sys::backend::BackendCell;
use crate::sys::scan::{self, Key as Column, Row};
use crate::sys::slots::Key;
use crate::sys::{INVALID_OID, Oid, invalidation};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

// Attribute numbers of tenancy.resources, quotas, plan_quotas and tenants, fixed by their DDL.
const ID: usize = 1;
const NAME: i16 = 2;
const KIND: usize = 3;
const OWNER: i16 = 1;
const RESOURCE: i16 = 2;
const MAX: usize = 3;
const MODE: usize = 4;
const WARN_AT: usize = 5;
const PER: usize = 6;
const TENANT: i16 = 1;
const PLAN: usize = 5;

/// The longest interval of a rate, in microseconds: a year.
pub const MAX_PER: i128 = 366 * 86_400 * 1_000_000;

/// A limit that holds for a tenant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bound {
    pub limit: Limit,
    /// The interval of a rate, in nanoseconds.
    pub per: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
struct Places {
    resources: Oid,
    resources_by_id: Oid,
    resources_by_name: Oid,
    quotas: (Oid, Oid),
    plan_quotas: (Oid, Oid),
    tenants: (Oid, Oid),
}

static PLACES: BackendCell<Option<Places>> = BackendCell::new(None);

fn places() -> Result<Places> {
    if let Some(places) = PLACES.get() {
        return Ok(places);
    }
    let changes = KNOWN.with_borrow(|known| known.changes);
    let oid = |name| scan::relation_oid(c"tenancy", name).ok_or(Error::NotInstalled);
    let places = Places {
        resources: oid(c"resources")?,
        resources_by_id: oid(c"resources_pkey")?,
        resources_by_name: oid(c"resources_name_key")?,
        quotas: (oid(c"quotas")?, oid(c"quotas_pkey")?),
        plan_quotas: (oid(c"plan_quotas")?, oid(c"plan_quotas_pkey")?),
        tenants: (oid(c"tenants")?, oid(c"tenants_pkey")?),
    };
    // A change that came meanwhile may be one of these.
    if KNOWN.with_borrow(|known| known.changes == changes) {
        PLACES.set(Some(places));
    }
    Ok(places)
}

#[derive(Default)]
struct Known {
    resources: HashMap<Box<str>, Rc<Resource>>,
    limits: HashMap<Key, Option<Bound>>,
    /// Those of kind `sessions`.
    sessions: Option<Rc<[Resource]>>,
    /// Counts changes, so that what was read across one is not kept.
    changes: u64,
}

/// Limits kept in memory; when there are more, all are looked up again.
const CAPACITY: usize = 10_000;

thread_local! {
    static KNOWN: RefCell<Known> = RefCell::default();
}

/// Drops what is known when a relation changed that it was read from; an invalid OID stands for all. Can't fail.
pub fn relation_changed(relation: Oid) {
    // Where it is not known which relations these are, it may be any.
    let is_ours = PLACES.get().is_none_or(|places| {
        [places.resources, places.quotas.0, places.plan_quotas.0, places.tenants.0].contains(&relation)
    });
    if relation != INVALID_OID && !is_ours {
        return;
    }
    // It may have gone, and another have come. All goes with it: until the places are known again, no message tells what
    // it is about.
    PLACES.set(None);
    KNOWN.with_borrow_mut(|known| {
        known.changes += 1;
        known.limits.clear();
        known.resources.clear();
        known.sessions = None;
    });
}

/// The table of resources, which tells those numbers apart that belong to an extension dropped since.
pub fn resources() -> Result<Oid> {
    Ok(places()?.resources)
}

/// Tells every session that limits or resources changed.
pub fn announce_change() -> Result<()> {
    invalidation::announce(places()?.quotas.0);
    Ok(())
}

/// Finds what is known, or has it looked up and keeps it.
fn known<T: Clone>(
    find: impl FnOnce(&Known) -> Option<T>,
    look_up: impl FnOnce() -> Result<T>,
    keep: impl FnOnce(&mut Known, T),
) -> Result<T> {
    let (found, changes) = KNOWN.with_borrow(|known| (find(known), known.changes));
    if let Some(found) = found {
        return Ok(found);
    }
    let found = look_up()?;
    KNOWN.with_borrow_mut(|known| {
        if known.changes == changes {
            keep(known, found.clone());
        }
    });
    Ok(found)
}

fn read_resource(row: &Row) -> Option<Result<Resource>> {
    let (id, name, kind) = (row.integer(ID)?, row.text(NAME as usize)?, row.text(KIND)?);
    Some(Kind::parse(&kind).map(|kind| Resource { id, name, kind }))
}

/// The resource of that name.
///
/// # Errors
/// 42704.
pub fn resource(name: &str) -> Result<Rc<Resource>> {
    let look_up = || {
        let places = places()?;
        let mut found = None;
        scan::find(places.resources, places.resources_by_name, &[(NAME, Column::Text(name))], |row| {
            found = read_resource(row);
            true
        });
        found.transpose()?.map(Rc::new).ok_or_else(|| Error::UnknownResource(name.to_owned()))
    };
    known(
        |known| known.resources.get(name).cloned(),
        look_up,
        |known, found| {
            if known.resources.len() >= CAPACITY {
                known.resources.clear();
            }
            known.resources.insert(name.into(), found);
        },
    )
}

/// The kind of the resource with that number, if there still is one.
pub fn kind(resource: i32) -> Result<Option<Kind>> {
    let places = places()?;
    let mut found = None;
    scan::find(places.resources, places.resources_by_id, &[(ID as i16, Column::Int4(resource))], |row| {
        found = read_resource(row);
        true
    });
    Ok(found.transpose()?.map(|resource| resource.kind))
}

/// The resources that are numbers of sessions.
pub fn sessions() -> Result<Rc<[Resource]>> {
    let look_up = || {
        let places = places()?;
        let mut found = Vec::new();
        scan::find(places.resources, places.resources_by_id, &[], |row| {
            found.extend(read_resource(row));
            false
        });
        let all: Vec<Resource> = found.into_iter().collect::<Result<_>>()?;
        Ok(all.into_iter().filter(|resource| resource.kind == Kind::Sessions).collect())
    };
    known(|known| known.sessions.clone(), look_up, |known, found| known.sessions = Some(found))
}

/// The limit that holds for a tenant: its own, or else its plan's.
pub fn of(key: &Key) -> Result<Option<Bound>> {
    known(
        |known| known.limits.get(key).copied(),
        || read_limit(key),
        |known, found| {
            if known.limits.len() >= CAPACITY {
                known.limits.clear();
            }
            known.limits.insert(*key, found);
        },
    )
}

fn read_limit(key: &Key) -> Result<Option<Bound>> {
    let places = places()?;
    let resource = (RESOURCE, Column::Int4(key.resource));
    if let Some(own) = read_bound(places.quotas, [(OWNER, Column::Uuid(key.tenant)), resource])? {
        return Ok(Some(own));
    }
    let (tenants, tenants_by_id) = places.tenants;
    let mut plan = None;
    scan::find(tenants, tenants_by_id, &[(TENANT, Column::Uuid(key.tenant))], |row| {
        plan = row.text(PLAN);
        true
    });
    let Some(plan) = plan else { return Ok(None) };
    read_bound(places.plan_quotas, [(OWNER, Column::Text(&plan)), (RESOURCE, Column::Int4(key.resource))])
}

fn read_bound((table, index): (Oid, Oid), columns: [(i16, Column<'_>); 2]) -> Result<Option<Bound>> {
    let mut found = None;
    scan::find(table, index, &columns, |row| {
        found = Some((row.bigint(MAX), row.text(MODE), row.real(WARN_AT), row.microseconds(PER)));
        true
    });
    let Some((max, mode, warn_at, per)) = found else { return Ok(None) };
    let mode = Mode::parse(&mode.ok_or(Error::NotInstalled)?)?;
    let per = per.filter(|micros| (1..=MAX_PER).contains(micros)).map(|micros| micros as u64 * 1_000);
    Ok(Some(Bound { limit: Limit { max, mode, warn_at }, per }))
}
