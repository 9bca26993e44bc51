//! The DDL guard: what a command must not do to a protected table, and what it must be followed by.
//! Event triggers call this; it looks at the catalogs, not at what the command says of itself.

use super::kind::Kind;
use super::loss;
use super::managed;
use super::plan::{self, Goal};
use super::protect::{Options, protect};
use crate::catalog::guard::{self, Touched};
use crate::catalog::registry::as_owner;
use crate::catalog::relations;
use crate::error::{Error, Result};
use crate::guc;
use crate::sys::Oid;
use crate::sys::backend::BackendCell;

/// True while the extension runs DDL of its own.
static OWN_DDL: BackendCell<bool> = BackendCell::new(false);

/// Runs DDL of the extension's own, which the guard lets pass.
pub fn with_own_ddl<T>(work: impl FnOnce() -> T) -> T {
    let _own = OWN_DDL.raised();
    work()
}

/// Whether nothing is to be refused.
pub fn is_off() -> bool {
    !guc::guard_ddl() || OWN_DDL.get()
}

fn is_awake() -> Result<bool> {
    Ok(!is_off() && guard::is_needed()?)
}

/// After any command: refuses what weakens a protected table, protects parts that came to it, and does
/// with tables that came into a managed schema as that schema says.
///
/// # Errors
/// 42501 for what weakens, and for tables that a schema rejects; otherwise as for `protect`.
pub fn after_command() -> Result<()> {
    if !is_awake()? {
        return Ok(());
    }
    for table in as_owner(guard::touched)? {
        if let Some((kind, column)) = standard_of(&table) {
            take_in_parts(table.oid, &kind, &column)?;
            if table.own.as_ref().is_some_and(|own| own.tenant_column.is_some()) {
                check(table.oid, &kind, &column)?;
            }
        } else {
            managed::after_command(&table)?;
        }
    }
    Ok(())
}

/// How a table is to be protected: as its nearest protected parent, else as recorded.
fn standard_of(table: &Touched) -> Option<(String, String)> {
    [&table.above, &table.own].into_iter().flatten().find_map(|record| {
        let column = record.tenant_column.clone()?;
        Some((record.kind.clone(), column))
    })
}

fn take_in_parts(table: Oid, kind: &str, column: &str) -> Result<()> {
    for part in as_owner(|| guard::unrecorded_parts(table, kind, column))? {
        let options = Options {
            tenant_column: column.to_owned(),
            kind: Kind::parse(kind)?,
            create_index: part.parent_has_index,
            reference_tenants: false,
            dry_run: false,
        };
        protect(part.oid, &options)?;
    }
    Ok(())
}

/// After a command took something away: refuses it when a protected table is weaker for it.
pub fn after_drop() -> Result<()> {
    if !is_awake()? {
        return Ok(());
    }
    for (table, record) in as_owner(guard::bereft)? {
        if let Some(column) = record.tenant_column {
            check(table, &record.kind, &column)?;
        }
    }
    Ok(())
}

/// After GRANT, which names no object: refuses it when a protected table is weaker for it.
pub fn after_grant() -> Result<()> {
    if !is_awake()? {
        return Ok(());
    }
    let tables = as_owner(guard::regranted)?;
    let Some(before) = guard::facts_before(&tables, "")? else { return Ok(()) };
    for (table, now) in guard::facts(&tables, "")? {
        if let Some(before) = before.get(&table) {
            refuse(Oid::from(table), loss::granted(before, &now), None)?;
        }
    }
    Ok(())
}

/// Refuses the command if it weakened the table or what inherits from it. What was weak before is not its doing:
/// a restore makes tables, records and policies one after the other.
fn check(table: Oid, kind: &str, column: &str) -> Result<()> {
    let goal = Goal { kind: Kind::parse(kind)?, column_name: column, create_index: false, reference_tenants: false };
    let tree = relations::tree(table, column)?;
    let tables: Vec<Oid> = tree.iter().map(|relation| relation.oid).collect();
    let Some(before) = guard::facts_before(&tables, column)? else { return Ok(()) };
    let now = guard::facts(&tables, column)?;
    for relation in &tree {
        let oid = relation.oid.to_u32();
        let (Some(before), Some(now)) = (before.get(&oid), now.get(&oid)) else { continue };
        let missing = plan::missing(relation, goal).ok();
        let mut losses = loss::weakened(before, now, missing.as_deref());
        losses.extend(loss::granted(before, now));
        refuse(relation.oid, losses, owner_lost(before, now)?)?;
    }
    Ok(())
}

fn owner_lost(before: &guard::Facts, now: &guard::Facts) -> Result<Option<String>> {
    match now.get("owner") {
        Some(owner) if before.get("owner") != Some(owner) => as_owner(|| guard::application_role(owner)),
        _ => Ok(None),
    }
}

/// Refuses what makes a table weaker, if anything does.
pub fn refuse(table: Oid, mut losses: Vec<String>, application_owner: Option<String>) -> Result<()> {
    losses.extend(application_owner.map(|role| format!("owner {role}, which acts for tenants")));
    if losses.is_empty() {
        return Ok(());
    }
    Err(Error::Weakened { relation: relations::name(table)?, losses: losses.join("; ") })
}
