//! Correcting the usage from what is there.

use super::count::{self, Sums};
use super::{escrow, locks};
use crate::catalog::event::{self, Event};
use crate::catalog::quotas::{self, Counted, Resource};
use crate::catalog::registry::as_owner;
use crate::error::{Error, Result};
use crate::sys::slots::{self, Key};
use crate::sys::weight::{self, Moment};
use crate::sys::{Oid, lock};
use serde_json::json;
use std::collections::BTreeMap;
use uuid::Uuid;

/// What a tenant was found to use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recounted {
    pub tenant: Uuid,
    pub resource: String,
    pub was: i64,
    pub now: i64,
}

/// Counts the rows of a resource's tables, or of all resources', and corrects the usage where it differs. Writers go on:
/// rows and usage are looked at in the same state of the database, in which what is under way is in neither, and what
/// differs is added to what is used by then. Called as the extension's owner.
///
/// # Errors
/// 42704 unknown resource; 22023 for one that no table counts for.
pub fn recount(resource: Option<&str>) -> Result<Vec<Recounted>> {
    let resources = match resource {
        None => quotas::resources_of_tables()?,
        Some(name) => {
            let resource = quotas::resource_named(name)?;
            if !resource.kind.is_of_tables() {
                return Err(Error::InvalidArgument {
                    what: "resource",
                    reason: format!("\"{name}\" is {}: there are no tables to count", resource.kind.described()),
                });
            }
            vec![resource]
        }
    };
    let mut recounted = Vec::new();
    for resource in &resources {
        recounted.extend(recount_one(resource)?);
    }
    Ok(recounted)
}

/// The same for one that tables count for.
pub fn recount_one(resource: &Resource) -> Result<Vec<Recounted>> {
    locks::tables(resource.id)?;
    let tables: Vec<(Oid, String)> = quotas::tables(resource.id)?;
    // What TRUNCATE and DROP do is not a matter of the moment: they are kept away first.
    for (table, _) in &tables {
        lock::against_removal(*table);
    }
    let mut sums = Sums::default();
    let moment = Moment::now();
    for (table, column) in tables {
        let attribute = weight::attribute(table, &column).unwrap_or(0);
        let counted = Counted { column, attribute, resources: vec![(resource.id, resource.kind)] };
        count::rows_of(table, &counted, moment, &mut sums)?;
    }
    let used = slots::totals(quotas::slots()?, resource.id, moment);
    moment.release();
    let counted = sums.settled(&[(resource.id, resource.kind)], false)?;
    let mut both: BTreeMap<Uuid, (i64, i64)> = used.into_iter().map(|(tenant, used)| (tenant, (used, 0))).collect();
    for (key, amount) in counted {
        both.entry(key.tenant).or_insert((0, 0)).1 = amount;
    }
    let mut recounted = Vec::new();
    for (tenant, (was, now)) in both {
        if was != now {
            escrow::settle(&Key { tenant, resource: resource.id }, now - was)?;
            as_owner(|| {
                event::write(Event {
                    event: "quota.recounted",
                    tenant: Some(tenant),
                    object: Some(resource.name.clone()),
                    detail: Some(json!({ "was": was, "now": now })),
                    ..Event::default()
                })
            })?;
        }
        recounted.push(Recounted { tenant, resource: resource.name.clone(), was, now });
    }
    Ok(recounted)
}
