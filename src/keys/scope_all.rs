//! The keys, foreign keys and indexes of many tables at once: those that are to be protected, before they are, as a script;
//! those that are, at once.

use super::scope::{free_name, read_as, scope_foreign_key, scope_unique};
use super::scope_check::{self as check, Scene, check_foreign_key};
use super::scope_live::{self, Setting, Sort, Step};
use crate::catalog::registry::as_owner;
use crate::catalog::relations;
use crate::catalog::scope::{self, Table};
use crate::error::{Error, Result};
use crate::sql::scope as text;
use crate::sys::{Oid, role};
use std::collections::HashMap;

/// The steps that lead the keys of tables by the tenant column, as they will be once they are protected.
#[derive(Debug, Default)]
pub struct Outlook {
    /// What can be done before.
    pub before: Vec<Step>,
    /// The indexes that the tables lack then.
    pub indexes: Vec<Step>,
    /// What needs protected tables, and holds them until it is done.
    pub after: Vec<Step>,
    /// What stays as it is.
    pub remarks: Vec<Step>,
}

/// Tables that will be protected by a column, and those that will be classified as global.
#[derive(Debug, Default)]
pub struct Prospects {
    pub column: String,
    /// Of the column, where it is not there yet.
    pub column_type: Option<Oid>,
    pub protected: Vec<Oid>,
    pub global: Vec<Oid>,
}

/// Reads the keys of the tables, and has the script made. Changes nothing.
///
/// # Errors
/// 42501 when the caller doesn't own one of the tables that it changes.
pub fn outlook(tables: &[Oid], prospects: &Prospects) -> Result<Outlook> {
    let prospects = look_ahead(prospects)?;
    let scenes = tables.iter().map(|table| read_as(*table, &prospects)).collect::<Result<Vec<Scene>>>()?;
    for scene in &scenes {
        for fk in scope_live::replaced(scene) {
            if check_foreign_key(fk, scene).is_ok() {
                relations::check_owned(fk.child)?;
                relations::check_owned(fk.parent)?;
            }
        }
    }
    let free_name = |table: Oid, wanted: &str| free_name(table, wanted);
    let setting = Setting { bypasses: role::bypasses_row_security(), free_name: &free_name, patient: true };
    let mut outlook = Outlook::default();
    for step in scope_live::plan_all(&scenes, &setting)? {
        match step.sort {
            Sort::Scope => outlook.before.push(step),
            Sort::Index => outlook.indexes.push(step),
            Sort::Call => outlook.after.push(step),
            Sort::Remark => outlook.remarks.push(step),
        }
    }
    Ok(outlook)
}

fn look_ahead(prospects: &Prospects) -> Result<HashMap<Oid, Table>> {
    let Some(column_type) = prospects.column_type else { return Ok(HashMap::new()) };
    as_owner(|| {
        let read = |oids| scope::prospects(oids, &prospects.column, column_type);
        let global = |table: Table| Table { kind: Some("global".into()), tenant: None, ..table };
        let protected = read(&prospects.protected)?;
        let global = read(&prospects.global)?.into_iter().map(global);
        Ok(protected.into_iter().chain(global).map(|table| (table.oid, table)).collect())
    })
}

/// Leads all keys and foreign keys of protected tables by the tenant column, and makes the indexes that they lack. Returns
/// the DDL it ran; what stays as it is is said in remarks.
///
/// # Errors
/// 42501 when the caller doesn't own one of the tables; 23503 when rows refer across tenants.
pub fn scope_all(tables: &[Oid]) -> Result<Vec<String>> {
    let nothing = HashMap::new();
    let mut ddl = Vec::new();
    for table in tables {
        let scene = read_as(*table, &nothing)?;
        let own = scene.table_of(*table)?;
        for key in scene.keys.iter().filter(|key| !key.part && !check::is_scoped(key, own)) {
            add(&mut ddl, scope_unique(*table, &key.name, false), || check::named(&key.ident, own))?;
        }
    }
    for table in tables {
        let scene = read_as(*table, &nothing)?;
        let own = scene.table_of(*table)?;
        let left = scene.foreign_keys.iter().filter(|fk| fk.child == *table && !fk.part && !scene.is_scoped(fk));
        for fk in left {
            if scene.table_of(fk.parent)?.tenant.is_some() {
                add(&mut ddl, scope_foreign_key(*table, &fk.name, false), || check::named(&fk.ident, own))?;
            }
        }
    }
    for table in tables {
        let scene = read_as(*table, &nothing)?;
        for index in scope_live::lacking(&scene)? {
            relations::execute(&index)?;
            ddl.push(index);
        }
    }
    Ok(ddl)
}

/// Takes what was done, or says what can't be.
fn add(ddl: &mut Vec<String>, outcome: Result<Vec<String>>, object: impl FnOnce() -> String) -> Result<()> {
    match outcome {
        Ok(done) => ddl.extend(done),
        Err(
            why @ (Error::UnsupportedKey { .. }
            | Error::KeyNotReady { .. }
            | Error::KeyInUse { .. }
            | Error::TenantTypesDiffer { .. }),
        ) => ddl.push(text::remark(&format!("{} stays as it is: {why}", object()))),
        Err(other) => return Err(other),
    }
    Ok(())
}
