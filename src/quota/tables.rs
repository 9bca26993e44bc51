//! Which tables count: attaching them with their parts, detaching them, and what becomes of those that are dropped.

use super::count::{self, Sums};
use super::{escrow, guard, locks};
use crate::catalog::event::{self, Event};
use crate::catalog::protection;
use crate::catalog::quotas::{self, Counted, Resource};
use crate::catalog::registry::as_owner;
use crate::catalog::relations::{self, Relation};
use crate::error::{Error, Result};
use crate::sql;
use crate::sys::backend::BackendCell;
use crate::sys::weight::{self, Moment};
use crate::sys::{Oid, lock, relation};
use serde_json::json;

/// True while a table is taken in or out: the DDL for that is no news.
static TAKING_IN: BackendCell<bool> = BackendCell::new(false);

/// Whether the extension is making triggers itself.
pub fn is_taking_in() -> bool {
    TAKING_IN.get()
}

/// Has the rows of a table, its partitions and its inheritance children count for a resource, those that are there
/// included. Writers wait meanwhile, readers don't. Runs as the caller.
///
/// # Errors
/// 42501 when the caller doesn't own the table; 42704 unknown resource; 55000 when the table is not protected; 22023 for
/// a resource that no table counts for; 42710 when it is attached already; 55000 too for a part of a table that is not; 23503 for rows of unregistered tenants.
pub fn attach(table: Oid, resource: &str) -> Result<()> {
    let (name, column, resource) = checked(table, resource)?;
    if as_owner(|| quotas::tables(resource.id))?.iter().any(|(counted, _)| *counted == table) {
        return Err(Error::AlreadyExists(format!("quota \"{}\" on {name}", resource.name)));
    }
    let tree = locked_tree(table, &column)?;
    locks::tables(resource.id)?;
    take_in(&tree, &column, &resource)?;
    as_owner(|| log("quota.attached", &name, &resource))
}

/// Takes that off again: its rows count no more.
///
/// # Errors
/// 42501, 42704 as for `attach`; 55000 when it is not attached, or it or a part of it is attached as a part of another table.
pub fn detach(table: Oid, resource: &str) -> Result<()> {
    let name = checked_owner(table)?;
    let resource = as_owner(|| quotas::resource_named(resource))?;
    let not_attached = || Error::NotAttached { relation: name.clone(), resource: resource.name.clone() };
    let column = match quotas::counted(table)? {
        Some(counted) => counted.column.clone(),
        None => return Err(not_attached()),
    };
    let tree = locked_tree(table, &column)?;
    locks::tables(resource.id)?;
    let counted: Vec<Oid> = as_owner(|| quotas::tables(resource.id))?.into_iter().map(|(table, _)| table).collect();
    if !counted.contains(&table) {
        return Err(not_attached());
    }
    for parent in relations::ancestors(table)? {
        if counted.contains(&parent) {
            return Err(Error::AttachedThroughParent { relation: name, parent: relations::name(parent)? });
        }
    }
    let _taking_out = TAKING_IN.raised();
    let own: Vec<&Relation> = tree.iter().filter(|relation| counted.contains(&relation.oid)).collect();
    count_in(own.iter().map(|relation| relation.oid), &column, &resource, -1)?;
    for relation in own {
        as_owner(|| quotas::remove_table(relation.oid, Some(resource.id)))?;
        if quotas::counted(relation.oid)?.is_none() {
            for trigger in as_owner(|| quotas::triggers(relation.oid))? {
                relations::execute(&sql::drop_trigger(&trigger, &relation.ident))?;
            }
        }
    }
    guard::check_left(&tree, resource.id)?;
    as_owner(|| log("quota.detached", &name, &resource))
}

fn log(event: &'static str, table: &str, resource: &Resource) -> Result<()> {
    let detail = Some(json!({ "resource": resource.name }));
    event::write(Event { event, object: Some(table.to_owned()), detail, ..Event::default() })
}

fn checked_owner(table: Oid) -> Result<String> {
    let brief = relation::brief(table)?;
    let name = relations::name(table)?;
    relations::check_user_table(&brief, &name)?;
    if relation::is_owned(table) { Ok(name) } else { Err(Error::NotOwner(name)) }
}

fn checked(table: Oid, resource: &str) -> Result<(String, String, Resource)> {
    let name = checked_owner(table)?;
    let resource = as_owner(|| quotas::resource_named(resource))?;
    if !resource.kind.is_of_tables() {
        return Err(Error::InvalidArgument {
            what: "resource",
            reason: format!(
                "tables count for rows and bytes, and \"{}\" is {}",
                resource.name,
                resource.kind.described()
            ),
        });
    }
    let recorded = as_owner(|| protection::find(table))?;
    let column = recorded.and_then(|found| found.tenant_column).ok_or_else(|| Error::NotProtected(name.clone()))?;
    Ok((name, column, resource))
}

/// The table and all that inherits from it, without writers.
fn locked_tree(table: Oid, column: &str) -> Result<Vec<Relation>> {
    lock::against_writes(table);
    for child in relations::tree(table, column)?.iter().filter(|relation| relation.oid != table) {
        lock::against_writes(child.oid);
    }
    relations::tree(table, column)
}

/// Records those of the tables that don't count yet, gives them triggers, and counts their rows.
fn take_in(tree: &[Relation], column: &str, resource: &Resource) -> Result<()> {
    let _taking_in = TAKING_IN.raised();
    let counted: Vec<Oid> = as_owner(|| quotas::tables(resource.id))?.into_iter().map(|(table, _)| table).collect();
    let new: Vec<&Relation> = tree.iter().filter(|relation| !counted.contains(&relation.oid)).collect();
    for relation in &new {
        relations::check_kind(relation.kind, &relation.ident.to_string())?;
        as_owner(|| quotas::put_table(relation.oid, resource.id, column))?;
    }
    for relation in &new {
        let present = as_owner(|| quotas::triggers(relation.oid))?;
        for ddl in quotas::missing_triggers(&relation.ident, &present) {
            relations::execute(&ddl)?;
        }
    }
    guard::check_parts(tree, resource.id)?;
    count_in(new.iter().map(|relation| relation.oid), column, resource, 1)
}

/// Adds the rows of tables to what is used, or takes them away.
fn count_in(tables: impl Iterator<Item = Oid>, column: &str, resource: &Resource, sign: i64) -> Result<()> {
    let mut sums = Sums::default();
    let moment = Moment::now();
    for table in tables {
        let attribute = weight::attribute(table, column).unwrap_or(0);
        let counted = Counted { column: column.to_owned(), attribute, resources: vec![(resource.id, resource.kind)] };
        count::rows_of(table, &counted, moment, &mut sums)?;
    }
    moment.release();
    for (key, amount) in sums.settled(&[(resource.id, resource.kind)], sign > 0)? {
        escrow::settle(&key, sign * amount)?;
    }
    Ok(())
}

/// After DDL: parts that came to a counted table count as it does.
pub fn take_in_parts() -> Result<()> {
    if TAKING_IN.get() || !quotas::is_needed()? {
        return Ok(());
    }
    // Children of one that is taken in come with it.
    while let Some((part, parent, resource)) = as_owner(quotas::parts_to_count)?.into_iter().next() {
        let resource = quotas::resource_by_id(resource)?;
        let column = quotas::counted(parent)?.map(|counted| counted.column.clone()).ok_or(Error::NotInstalled)?;
        let tree = locked_tree(part, &column)?;
        locks::tables(resource.id)?;
        take_in(&tree, &column, &resource)?;
    }
    Ok(())
}

/// A table is about to be dropped; if it counts, its rows are given back. Where the extension is being dropped, none
/// counts.
pub fn forget_if_counted(table: Oid) -> Result<()> {
    let Ok(Some(counted)) = quotas::counted(table) else { return Ok(()) };
    let mut sums = Sums::default();
    let moment = Moment::now();
    count::rows_of(table, &counted, moment, &mut sums)?;
    moment.release();
    let amounts = sums.settled(&counted.resources, false)?;
    count::book(amounts.into_iter().map(|(key, amount)| (key, -amount)).collect())?;
    as_owner(|| quotas::remove_table(table, None))
}
