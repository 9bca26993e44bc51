//! Erasing a tenant: every row of its own, and a certificate of that.

use super::handlers::{self, Kind};
use super::order;
use super::publication::publications_of;
use crate::catalog::event::Event;
use crate::catalog::tenant_rows::{self, Own, Table};
use crate::catalog::tenants::{self, TenantRow};
use crate::catalog::{audit_log, hierarchy, protection, relations, removal};
use crate::error::{Error, Lifecycle, Result};
use crate::sys::{Oid, digest, lock, relation, xact};
use crate::tenant::TenantRef;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// How often it is tried to remove what triggers of rows that go leave behind.
const ROUNDS: usize = 8;

/// How many rows of the tenant were, or would be, removed from a table.
pub type Removed = (Oid, i64);

/// Removes every row of an archived tenant, and leaves its id. Called as the extension's owner. A dry run counts, and changes
/// nothing. `erase_audit`: also what the audit log tells of it, without breaking its chain.
///
/// # Errors
/// 42704 unknown tenant; 22023 when `confirm` is not its key; 55000 when it is not archived, a table with a tenant column
/// is neither protected nor classified, the tenant is published, rows remain, other tenants are below it, or in another isolation level
/// than READ COMMITTED; what foreign keys, triggers and handlers raise.
///
/// What others have hung on tables and events runs on the way. So whatever is run with the rights of a table's owner is looked
/// up right before, and nothing is left for the end of the transaction.
pub fn erase_tenant(tenant: &str, confirm: Option<&str>, dry_run: bool, erase_audit: bool) -> Result<Vec<Removed>> {
    let unknown = || Error::UnknownTenant(tenant.to_owned());
    let mut found = tenants::find(&TenantRef::parse(tenant)?)?.ok_or_else(unknown)?;
    check_erasable(tenant, &found, confirm, dry_run)?;
    if !dry_run {
        // One at a time: two would wait for each other's tables. Nobody waits for one that can't be erased.
        relation::lock_definition(tenant_rows::logs()?.0);
        // The places before the row, as others lock them.
        hierarchy::close_places_below(found.id)?;
        found = tenants::lock(&TenantRef::Id(found.id))?.ok_or_else(unknown)?;
        check_erasable(tenant, &found, confirm, dry_run)?;
        if hierarchy::has_children(found.id)? {
            return Err(Lifecycle::ErasesParent.into());
        }
    }
    let unclassified = tenant_rows::unclassified()?;
    if !unclassified.is_empty() {
        return Err(Lifecycle::UnclassifiedTables(unclassified.join(", ")).into());
    }
    check_unpublished(&found)?;
    let tables = tenant_rows::tables(&protection::roots()?)?;
    let own = tenant_rows::own_tables()?;
    if dry_run {
        return count(&found, &tables, &own, erase_audit);
    }
    removal::run_deferred()?;
    let mut removed = remove(&found, &tables)?;
    let (event_log, audit) = tenant_rows::logs()?;
    {
        let _quiet = handlers::erasing();
        tenant_rows::strip_tenant(found.id)?;
    }
    for table in &own {
        removed.push((table.oid, tenant_rows::delete_own(table, found.id)?));
    }
    if erase_audit {
        removed.push((audit, audit_log::erase(found.id)?));
    }
    removed.push((event_log, tenant_rows::strip_events(found.id)?));
    check_own(&found, &own, erase_audit)?;
    let entry = certificate(&found, &removed, erase_audit)?;
    handlers::happened(Kind::Erased, found.key.as_str(), entry, json!({}))?;
    if handlers::exist(Kind::Erased)? {
        check_tables(&found, &tables)?;
        check_own(&found, &own, erase_audit)?;
    }
    Ok(removed)
}

fn check_erasable(name: &str, found: &TenantRow, confirm: Option<&str>, dry_run: bool) -> Result<()> {
    if found.status == "erased" || !dry_run && found.status != "archived" {
        return Err(Error::WrongStatus { tenant: name.to_owned(), status: found.status.clone(), wanted: "archived" });
    }
    if !dry_run && confirm != Some(found.key.as_str()) {
        return Err(Lifecycle::NotConfirmed.into());
    }
    if !dry_run && !xact::is_read_committed() {
        return Err(Lifecycle::ErasureIsolation.into());
    }
    Ok(())
}

/// Whoever a tenant is replicated to would lose its rows as well; and get those of the next one who has its key.
fn check_unpublished(tenant: &TenantRow) -> Result<()> {
    let publications = publications_of(tenant)?;
    if publications.is_empty() {
        return Ok(());
    }
    let publications: Vec<String> = publications.into_iter().collect();
    Err(Lifecycle::ErasesPublished(publications.join(", ")).into())
}

fn count(tenant: &TenantRow, tables: &[Table], own: &[Own], erase_audit: bool) -> Result<Vec<Removed>> {
    let mut counts = Vec::new();
    for table in tables {
        let rows = match table.predicate(tenant.id, &tenant.key) {
            Some(predicate) => tenant_rows::count(table, &predicate)?,
            None => 0,
        };
        counts.push((table.oid, rows));
    }
    for table in own {
        counts.push((table.oid, tenant_rows::count_own(table, tenant.id)?));
    }
    let (event_log, audit) = tenant_rows::logs()?;
    if erase_audit {
        counts.push((audit, tenant_rows::count_log("audit_log", tenant.id)?));
    }
    counts.push((event_log, tenant_rows::count_log("event_log", tenant.id)?));
    Ok(counts)
}

/// Removes the rows of the protected tables: first while others write, then what came meanwhile while nobody does.
fn remove(tenant: &TenantRow, tables: &[Table]) -> Result<Vec<Removed>> {
    let place = |oid: Oid| tables.iter().position(|table| table.oid == oid);
    let edges: Vec<(usize, usize)> = tenant_rows::references(tables)?
        .into_iter()
        .filter_map(|(child, parent)| Some((place(child)?, place(parent)?)))
        .collect();
    let groups = order::referring_first(tables.len(), &edges);
    let mut rows = vec![0; tables.len()];
    remove_once(tenant, tables, &groups, &edges, &mut rows)?;
    // Always in the same order, as others who lock several do.
    let parts: BTreeSet<u32> = tables.iter().flat_map(|table| &table.parts).map(|part| part.to_u32()).collect();
    parts.into_iter().for_each(|part| lock::against_writes(Oid::from(part)));
    check_same(tables)?;
    // Nobody publishes a table that is locked.
    check_unpublished(tenant)?;
    // Triggers of rows that go may change others, which are then elsewhere.
    for _ in 0..ROUNDS {
        if remove_once(tenant, tables, &groups, &edges, &mut rows)? == 0 {
            break;
        }
    }
    check_tables(tenant, tables)?;
    Ok(tables.iter().map(|table| table.oid).zip(rows).collect())
}

/// Until everything was locked, somebody may have made a table, or another part of one.
fn check_same(tables: &[Table]) -> Result<()> {
    let now = tenant_rows::tables(&protection::roots()?)?;
    let changed = now.iter().find(|table| !tables.contains(table)).map(|table| table.ident.to_string());
    let added = tenant_rows::unclassified()?.into_iter().next();
    changed.or(added).map_or(Ok(()), |table| Err(Lifecycle::TableChanged(table).into()))
}

fn check_tables(tenant: &TenantRow, tables: &[Table]) -> Result<()> {
    for table in tables {
        let Some(predicate) = table.predicate(tenant.id, &tenant.key) else { continue };
        let left = tenant_rows::count(table, &predicate)?;
        if left > 0 {
            return Err(Lifecycle::RowsRemain { relation: table.ident.to_string(), rows: left }.into());
        }
    }
    Ok(())
}

/// Removes what can be seen. Adds how many to `rows`, and returns that.
fn remove_once(
    tenant: &TenantRow,
    tables: &[Table],
    groups: &[Vec<usize>],
    edges: &[(usize, usize)],
    rows: &mut [i64],
) -> Result<i64> {
    let before: i64 = rows.iter().sum();
    for group in groups {
        if let [n] = group[..]
            && !edges.contains(&(n, n))
        {
            if let Some(predicate) = tables[n].predicate(tenant.id, &tenant.key) {
                rows[n] += removal::delete_in_batches(&tables[n], &predicate)?;
            }
            continue;
        }
        let members: Vec<(usize, &Table, String)> = group
            .iter()
            .filter_map(|n| Some((*n, &tables[*n], tables[*n].predicate(tenant.id, &tenant.key)?)))
            .collect();
        let Some((_, first, _)) = members.first() else { continue };
        if members.iter().any(|(_, table, _)| table.owner != first.owner) {
            let names: Vec<String> = members.iter().map(|(_, table, _)| table.ident.to_string()).collect();
            return Err(Lifecycle::OwnersDiffer(names.join(", ")).into());
        }
        let pairs: Vec<(&Table, &str)> =
            members.iter().map(|(_, table, predicate)| (*table, predicate.as_str())).collect();
        for ((n, ..), count) in members.iter().zip(removal::delete_together(&pairs)?) {
            rows[*n] += count;
        }
    }
    Ok(rows.iter().sum::<i64>() - before)
}

/// Triggers, for one, may have written of the tenant again.
fn check_own(tenant: &TenantRow, own: &[Own], erase_audit: bool) -> Result<()> {
    let remain = |relation: String, rows: i64| -> Result<()> {
        if rows > 0 { Err(Lifecycle::RowsRemain { relation, rows }.into()) } else { Ok(()) }
    };
    for table in own {
        remain(relations::name(table.oid)?, tenant_rows::count_own(table, tenant.id)?)?;
    }
    if erase_audit {
        remain("tenancy.audit_log".into(), tenant_rows::count_log("audit_log", tenant.id)?)?;
    }
    Ok(())
}

/// The entry that stays: how many rows went from which table, and the SHA-256 of that.
fn certificate(tenant: &TenantRow, removed: &[Removed], erase_audit: bool) -> Result<Event> {
    let mut names = Vec::new();
    for (table, rows) in removed {
        names.push((relations::name(*table)?, *rows));
    }
    names.sort();
    let lines: Vec<String> = names.iter().map(|(name, rows)| format!("{name} {rows}\n")).collect();
    let text = format!("{}\n{}", tenant.id, lines.concat());
    let digest = digest::sha256(text.as_bytes()).ok_or(Error::NotSupported("certificates without SHA-256"))?;
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let total: i64 = removed.iter().map(|(_, rows)| rows).sum();
    let tables: Map<String, Value> = names.into_iter().map(|(name, rows)| (name, rows.into())).collect();
    let audit = if erase_audit { "erased" } else { "kept" };
    let detail = json!({ "tables": tables, "rows": total, "audit": audit, "digest": digest });
    Ok(Event { event: "tenant.erased", tenant: Some(tenant.id), detail: Some(detail), ..Event::default() })
}
