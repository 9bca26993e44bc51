//! The DDL guard: what a command must not do to a protected table, and what it must be followed by.
//! Event triggers call this; it looks at the catalogs, not at what the command says of itself.

use super::kind::Kind;
use super::loss;
use super::managed;
use super::plan::{self, Goal};
use super::protect::{Options, protect};
use crate::catalog::guard::{self, ActingRole, Facts, Touched};
use crate::catalog::protection::{self, Protection};
use crate::catalog::registry::as_owner;
use crate::catalog::relations::{self, Relation};
use crate::catalog::{changed, extension};
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
    if is_off() || !guard::is_needed()? {
        return Ok(false);
    }
    extension::check_schema()?;
    Ok(true)
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
            check(table.oid, &kind, &column)?;
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
            statistics_target: part.parent_statistics,
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

/// After GRANT and REASSIGN OWNED, which name no object: refuses it when a protected table is weaker for it.
pub fn after_grant() -> Result<()> {
    if !is_awake()? {
        return Ok(());
    }
    let tables = as_owner(|| guard::regranted(changed::relations()))?;
    if tables.is_empty() {
        return Ok(());
    }
    let Some((before, now)) = guard::facts_around(&tables, "")? else { return Ok(()) };
    for (table, now) in now {
        if let Some(before) = before.get(&table) {
            let mut losses = loss::granted(before, &now);
            losses.extend(owner_lost(before, &now)?);
            refuse(Oid::from(table), losses)?;
        }
    }
    Ok(())
}

/// Refuses the command if it weakened the table or what inherits from it. What was weak before is not its doing:
/// a restore makes tables, records and policies one after the other.
fn check(table: Oid, kind: &str, column: &str) -> Result<()> {
    let goal = Goal {
        kind: Kind::parse(kind)?,
        column_name: column,
        create_index: false,
        reference_tenants: false,
        statistics_target: None,
    };
    let tree = changed_within(table, column)?;
    if tree.is_empty() {
        return Ok(());
    }
    let tables: Vec<Oid> = tree.iter().map(|relation| relation.oid).collect();
    let Some((before, now)) = guard::facts_around(&tables, column)? else { return Ok(()) };
    let nothing = Facts::new();
    for relation in &tree {
        let oid = relation.oid.to_u32();
        let Some(now) = now.get(&oid) else { continue };
        let before = before.get(&oid);
        let mut losses = open_parents(goal, before.unwrap_or(&nothing), now)?;
        if let Some(before) = before {
            let missing = plan::missing(relation, goal).ok();
            losses.extend(loss::weakened(before, now, missing.as_deref()));
            losses.extend(loss::granted(before, now));
            losses.extend(owner_lost(before, now)?);
        }
        refuse(relation.oid, losses)?;
    }
    Ok(())
}

/// The table and what inherits from it, as far as it may have been changed: of a partitioned table with thousands of
/// parts most commands touch a few.
fn changed_within(table: Oid, column: &str) -> Result<Vec<Relation>> {
    match changed::relations() {
        Some(changed) => match changed::within(table, &changed)? {
            found if found.is_empty() => Ok(Vec::new()),
            found => relations::alone(found, column),
        },
        None => relations::tree(table, column),
    }
}

/// New parents that are not protected in the same way: who reads those reads the table past its policies.
fn open_parents(goal: Goal<'_>, before: &Facts, now: &Facts) -> Result<Vec<String>> {
    let mut open = Vec::new();
    for parent in loss::new_parents(before, now) {
        let how = match as_owner(|| protection::find(parent))? {
            Some(Protection { kind, tenant_column: Some(column) }) => {
                if kind == goal.kind.as_str() && column == goal.column_name {
                    continue;
                }
                "which is protected otherwise"
            }
            _ => "which is not protected",
        };
        open.push(format!("the parent {}, {how}", relations::name(parent)?));
    }
    Ok(open)
}

/// How a role's rights are those of one that acts for tenants, if they are.
pub fn acts_for_tenants(owner: &str) -> Result<Option<String>> {
    Ok(as_owner(|| guard::acting_role(owner))?.map(|ActingRole { name, acting }| {
        if acting == name {
            format!("the owner {name}, which acts for tenants")
        } else {
            format!("the owner {name}, of which {acting} is a member, which acts for tenants")
        }
    }))
}

fn owner_lost(before: &Facts, now: &Facts) -> Result<Option<String>> {
    match now.get("owner") {
        Some(owner) if before.get("owner") != Some(owner) => acts_for_tenants(owner),
        _ => Ok(None),
    }
}

/// Refuses what makes a table weaker, if anything does.
pub fn refuse(table: Oid, losses: Vec<String>) -> Result<()> {
    if losses.is_empty() {
        return Ok(());
    }
    Err(Error::Weakened { relation: relations::name(table)?, losses: losses.join("; ") })
}
