//! Leading keys and foreign keys by the tenant column: reads the state, has it planned, counts the rows that are in
//! the way, and carries the plan out as the caller.

use super::scope_check::{STAND_IN, Scene, check_casts, check_foreign_key, named};
use super::scope_ddl as ddl;
use super::scope_live::{self, Setting, Step};
use crate::catalog::event::{self, Event};
use crate::catalog::registry::as_owner;
use crate::catalog::relations;
use crate::catalog::scope::{self, ForeignKey, Table};
use crate::error::{Error, Result};
use crate::sql::{Ident, scope as text};
use crate::sys::{Oid, relation, role};
use serde_json::json;
use std::collections::{BTreeSet, HashMap};

/// Leads a primary key, unique or exclusion constraint, or unique index by the tenant column, and makes the foreign
/// keys that refer to it composite. Returns the DDL it ran, or would run; none when nothing was missing.
///
/// # Errors
/// 42501 when the caller doesn't own one of the tables; 42704 unknown constraint; 55000 for tables that are not
/// protected; 0A000 and 42804 for what can't be scoped; 2BP01 when something else depends on the key; 23503 when rows
/// refer across tenants.
pub fn scope_unique(table: Oid, name: &str, dry_run: bool) -> Result<Vec<String>> {
    let involved = |scene: &Scene| {
        let key = scene.key(name)?;
        Ok([table].into_iter().chain(scene.referring(key).iter().map(|fk| fk.child)).collect::<Vec<_>>())
    };
    let scene = prepare(table, dry_run, involved)?;
    let key = scene.key(name)?;
    let ddl = ddl::unique(key, &scene)?;
    let replaced = if ddl.is_empty() { Vec::new() } else { scene.referring(key) };
    let object = named(&key.ident, scene.table_of(table)?);
    carry_out(&scene, ddl, &replaced, object, "key.scoped", dry_run)
}

/// Makes a foreign key composite with the tenant column on both sides, with the unique index that it needs. Returns
/// the DDL it ran, or would run; none when nothing was missing.
///
/// # Errors
/// As for `scope_unique`.
pub fn scope_foreign_key(table: Oid, name: &str, dry_run: bool) -> Result<Vec<String>> {
    let involved = |scene: &Scene| {
        let fk = scene.foreign_key(name)?;
        Ok(vec![fk.child, fk.parent])
    };
    let scene = prepare(table, dry_run, involved)?;
    let fk = scene.foreign_key(name)?;
    let ddl = ddl::foreign_key(fk, &scene)?;
    let replaced = if ddl.is_empty() { Vec::new() } else { vec![fk] };
    let object = named(&fk.ident, scene.table_of(table)?);
    carry_out(&scene, ddl, &replaced, object, "foreign_key.scoped", dry_run)
}

/// The same for all keys and foreign keys of a table, as a script for a table in use. Changes nothing.
///
/// # Errors
/// As for `scope_unique`; what can't be scoped is said in the script.
pub fn scope_plan(table: Oid) -> Result<Vec<Step>> {
    let involved = |scene: &Scene| {
        let tables = scope_live::replaced(scene).into_iter().filter(|fk| check_foreign_key(fk, scene).is_ok());
        Ok([table].into_iter().chain(tables.flat_map(|fk| [fk.child, fk.parent])).collect::<Vec<_>>())
    };
    let scene = prepare(table, true, involved)?;
    check_rows(&scene, &scope_live::replaced(&scene), true)?;
    let setting = Setting { bypasses: role::bypasses_row_security(), free_name: &free_name, patient: false };
    scope_live::plan(&scene, &setting)
}

/// VALIDATE CONSTRAINT for a foreign key, of all rows: PostgreSQL does it by a query, and forced row security leaves
/// the table's owner none to check.
///
/// # Errors
/// 42501 when the caller doesn't own the table; 42704 unknown constraint; 23503 when rows break it.
pub fn validate_foreign_key(table: Oid, name: &str) -> Result<()> {
    let scene = prepare(table, true, |_| Ok(vec![table]))?;
    let fk = scene.foreign_key(name)?;
    if fk.validated {
        return Ok(());
    }
    let (child, parent) = (scene.table_of(fk.child)?, scene.table_of(fk.parent)?);
    check_casts(fk, child)?;
    if scope::execute(&[text::alter(&child.ident, &[text::validate_constraint(&fk.ident)])], |_| true)? {
        return Ok(());
    }
    Err(Error::CrossTenantReferences {
        key: named(&fk.ident, child),
        counts: format!("Rows of {} refer to rows that {} does not have", child.ident, parent.ident),
        find: "look for them with a join of the two".into(),
    })
}

/// Reads what there is to know, with the tables that are `involved` locked, unless for a dry run: until the lock is
/// there, others may change it.
fn prepare(table: Oid, dry_run: bool, involved: impl Fn(&Scene) -> Result<Vec<Oid>>) -> Result<Scene> {
    relations::check_owned(table)?;
    let mut locked: BTreeSet<u32> = BTreeSet::new();
    loop {
        let scene = read(table)?;
        let wanted: BTreeSet<u32> = involved(&scene)?.into_iter().map(Oid::to_u32).collect();
        for oid in &wanted {
            relations::check_owned(Oid::from(*oid))?;
        }
        if dry_run || wanted.is_subset(&locked) {
            return Ok(scene);
        }
        // In the order of their OIDs, so that two of us don't wait for each other.
        for oid in wanted.difference(&locked) {
            relation::lock_exclusively(Oid::from(*oid));
        }
        locked.extend(wanted);
    }
}

fn read(table: Oid) -> Result<Scene> {
    read_as(table, &HashMap::new())
}

/// What there is to know, with some of the tables as they will be.
pub fn read_as(table: Oid, prospects: &HashMap<Oid, Table>) -> Result<Scene> {
    let caller = role::current();
    as_owner(|| {
        let foreign_keys = scope::foreign_keys(&scope::partitions(table)?, caller)?;
        let mut oids = vec![table];
        oids.extend(foreign_keys.iter().flat_map(|fk| [fk.child, fk.parent]));
        oids.sort_unstable_by_key(|oid| oid.to_u32());
        oids.dedup();
        let mut tables = scope::tables(&oids)?;
        for (oid, table) in &mut tables {
            if let Some(prospect) = prospects.get(oid) {
                *table = prospect.clone();
            }
        }
        let tenant = tables.get(&table).and_then(|table| table.tenant.as_ref());
        let keys = scope::keys(table, tenant)?;
        Ok(Scene { table, keys, foreign_keys, indexes: scope::indexes(&oids)?, tables })
    })
}

fn carry_out(
    scene: &Scene,
    ddl: Vec<String>,
    replaced: &[&ForeignKey],
    object: String,
    event: &'static str,
    dry_run: bool,
) -> Result<Vec<String>> {
    if ddl.is_empty() {
        return Ok(ddl);
    }
    check_rows(scene, replaced, dry_run)?;
    if dry_run {
        return Ok(ddl);
    }
    // A key's replacement begins by dropping the former.
    let children = replaced.iter().map(|fk| Ok(text::adding(&scene.table_of(fk.child)?.ident)));
    let children = children.collect::<Result<Vec<_>>>()?;
    let adds_foreign_key = |line: &str| children.iter().any(|beginning| line.starts_with(beginning));
    if !scope::execute(&ddl, adds_foreign_key)? {
        // Rows that the transaction's snapshot does not show.
        return Err(Error::CrossTenantReferences {
            key: object,
            counts: "They have come since this transaction began".into(),
            find: "try again in a new transaction".into(),
        });
    }
    let detail = json!({ "ddl": ddl });
    as_owner(|| event::write(Event { event, object: Some(object), detail: Some(detail), ..Event::default() }))?;
    Ok(ddl)
}

/// Refuses where rows refer across tenants, and says how many. What can't be scoped is not counted.
fn check_rows(scene: &Scene, replaced: &[&ForeignKey], dry_run: bool) -> Result<()> {
    let (mut keys, mut counts, mut find) = (Vec::new(), Vec::new(), String::new());
    for fk in replaced {
        let Ok(scopable) = check_foreign_key(fk, scene) else { continue };
        let references = scopable.references();
        // A key that does not hold for all rows may leave some that refer to nothing at all.
        let count = scope::count(&references.count_crossing(!fk.validated), !dry_run)?;
        if count > 0 {
            keys.push(named(&fk.ident, scopable.child));
            let rows = if count == 1 { "row" } else { "rows" };
            counts.push(format!("{count} {rows} of {} by {}", scopable.child.ident, fk.ident));
            if find.is_empty() {
                find = references.show_crossing();
            }
        }
    }
    if keys.is_empty() {
        return Ok(());
    }
    Err(Error::CrossTenantReferences { key: keys.join(", "), counts: counts.join(", "), find })
}

/// A name that no relation of the table's schema has, as near to the wanted one as can be.
pub fn free_name(table: Oid, wanted: &str) -> Result<Ident> {
    let stem: String = wanted.chars().take(20).collect();
    let taken = scope::names_like(table, &stem)?;
    let numbered = (1..).map(|number| format!("{stem}{}{number}", STAND_IN));
    let name = [wanted.to_owned()].into_iter().chain(numbered).find(|name| !taken.contains(name));
    Ok(text::quoted(&name.unwrap_or_else(|| wanted.to_owned())))
}
