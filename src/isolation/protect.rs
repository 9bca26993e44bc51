//! Protecting tables: reads the state, has it planned, carries the plan out as the caller, and
//! records it.

use super::guard::with_own_ddl;
use super::kind::Kind;
use super::plan::{self, Goal};
use crate::catalog::event::{self, Event};
use crate::catalog::protection::{self, Protection};
use crate::catalog::quotas;
use crate::catalog::registry::as_owner;
use crate::catalog::relations::{self, Relation};
use crate::error::{Error, Result};
use crate::sql;
use crate::sys::{Oid, relation};
use serde_json::json;
use std::collections::{HashMap, HashSet};

/// What `tenancy.protect()` is asked for, besides the table.
#[derive(Debug, Clone)]
pub struct Options {
    pub tenant_column: String,
    pub kind: Kind,
    pub create_index: bool,
    pub reference_tenants: bool,
    pub statistics_target: Option<i32>,
    pub dry_run: bool,
}

/// Converges the table, its partitions and its inheritance children to protected. Returns the DDL it
/// ran, or would run; none when nothing was missing.
///
/// # Errors
/// 22023 for a statistics target that PostgreSQL doesn't take; 42501 when the caller doesn't own the table; 42809, 0A000, 42703, 42804, 23502 when it can't be
/// protected so; 55000 when it is a part of a table that is protected otherwise, or
/// counts for a quota by another column.
pub fn protect(table: Oid, options: &Options) -> Result<Vec<String>> {
    if options.kind == Kind::Global {
        return Err(Error::InvalidArgument {
            what: "kind",
            reason: "a global table is recorded with tenancy.classify()".into(),
        });
    }
    if let Some(target) = options.statistics_target.filter(|target| !(1..=10_000).contains(target)) {
        return Err(Error::InvalidArgument {
            what: "statistics_target",
            reason: format!("{target} is not between 1 and 10000"),
        });
    }
    relations::check_owned(table)?;
    if !options.dry_run {
        relation::lock_definition(table);
    }
    check_parents(table, options)?;
    let tree = if options.dry_run {
        relations::tree(table, &options.tenant_column)?
    } else {
        locked_tree(table, &options.tenant_column)?
    };
    let goal = Goal {
        kind: options.kind,
        column_name: &options.tenant_column,
        create_index: options.create_index,
        reference_tenants: options.reference_tenants,
        statistics_target: options.statistics_target,
    };
    let mut ddl = plan::protect(&tree, goal)?;
    check_counted(&tree, Some(&options.tenant_column))?;
    ddl.extend(former_column(table, &options.tenant_column)?);
    if !options.dry_run {
        with_own_ddl(|| ddl.iter().try_for_each(|line| execute(line, &tree, &options.tenant_column)))?;
        record(&tree, options, &ddl)?;
    }
    Ok(ddl)
}

/// Protects every table of a schema that has the column, except those classified as global.
pub fn protect_schema(schema: &str, tenant_column: &str, dry_run: bool) -> Result<Vec<String>> {
    let mut ddl = Vec::new();
    for table in relations::with_column(schema, tenant_column)? {
        let recorded = as_owner(|| protection::find(table))?;
        let kind = match recorded.as_ref().map(|found| Kind::parse(&found.kind)).transpose()? {
            Some(Kind::Global) => continue,
            Some(kind) => kind,
            None => Kind::Tenant,
        };
        let options = Options {
            tenant_column: tenant_column.to_owned(),
            kind,
            create_index: true,
            reference_tenants: false,
            statistics_target: None,
            dry_run,
        };
        ddl.extend(protect(table, &options)?);
    }
    Ok(ddl)
}

/// Takes protection from a table, its partitions and its inheritance children. NOT NULL, index and
/// revoked privileges stay as they are. Returns the DDL it ran.
///
/// # Errors
/// 42501 when the caller doesn't own the table; 55000 when it is not protected, protected as a part of another, or
/// counts for a quota.
pub fn unprotect(table: Oid) -> Result<Vec<String>> {
    relations::check_owned(table)?;
    relation::lock_definition(table);
    let name = relations::name(table)?;
    let recorded = as_owner(|| protection::find(table))?;
    let Some(Protection { tenant_column: Some(column), .. }) = recorded else {
        return Err(Error::NotProtected(name));
    };
    if let Some((parent, _)) = protected_parents(table)?.into_iter().next() {
        return Err(Error::ProtectedThroughParent { relation: name, parent: relations::name(parent)? });
    }
    let (kept, tree) = shared_with_others(table, locked_tree(table, &column)?)?;
    check_counted(&tree, None)?;
    let mut ddl = plan::unprotect(&tree);
    ddl.extend(plan::keep_defaults(&kept));
    with_own_ddl(|| ddl.iter().try_for_each(|line| relations::execute(line)))?;
    as_owner(|| {
        for relation in &tree {
            protection::remove(relation.oid)?;
        }
        event::write(Event {
            event: "table.unprotected",
            object: Some(name),
            detail: Some(json!({ "ddl": ddl })),
            ..Event::default()
        })
    })?;
    Ok(ddl)
}

/// A table whose policies are no longer as `protect` made them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// Schema-qualified.
    pub relation: String,
    /// The call of `protect` that mends it.
    pub remedy: String,
}

/// The tables with other policies than they should have, in one schema or in all. Set-based, since it
/// looks at everything that is protected.
///
/// # Errors
/// 3F000 unknown schema.
pub fn drift(schema: Option<&str>) -> Result<Vec<Drift>> {
    let schema = schema.map(relations::schema).transpose()?;
    let roots = as_owner(protection::roots)?;
    let (oids, columns) = roots.iter().map(|root| (root.relation, root.tenant_column.clone())).unzip();
    let by_oid: HashMap<Oid, &protection::Root> = roots.iter().map(|root| (root.relation, root)).collect();
    let mut drifted = Vec::new();
    for (root, found) in relations::forest(oids, columns)? {
        let Some(root) = by_oid.get(&root) else { continue };
        let here = schema.is_none_or(|schema| found.schema == schema);
        if here && plan::has_drifted(&found, Kind::parse(&root.kind)?) {
            drifted.push(Drift {
                relation: found.ident.to_string(),
                remedy: sql::protect(&root.name, &root.tenant_column, &root.kind),
            });
        }
    }
    Ok(drifted)
}

/// Records that a table deliberately has no tenants.
///
/// # Errors
/// 22023 for another kind than global; 42501 when the caller doesn't own the table; 55000 when it is
/// protected.
pub fn classify(table: Oid, kind: Kind) -> Result<()> {
    if kind != Kind::Global {
        return Err(Error::InvalidArgument {
            what: "kind",
            reason: "a table is made anything but global with tenancy.protect()".into(),
        });
    }
    relations::check_owned(table)?;
    let name = relations::name(table)?;
    as_owner(|| {
        if let Some(found) = protection::find(table)?
            && found.kind != Kind::Global.as_str()
        {
            return Err(Error::IsProtected(name));
        }
        let record = Protection { kind: kind.as_str().into(), tenant_column: None };
        if protection::put(table, &record)? {
            event::write(Event {
                event: "table.classified",
                object: Some(name),
                detail: Some(json!({ "kind": kind.as_str() })),
                ..Event::default()
            })?;
        }
        Ok(())
    })
}

/// The table and all that inherits from it, each locked against other schema changes, as it is then.
fn locked_tree(table: Oid, column: &str) -> Result<Vec<Relation>> {
    for child in relations::tree(table, column)?.iter().filter(|relation| relation.oid != table) {
        relation::lock_definition(child.oid);
    }
    relations::tree(table, column)
}

/// Parts a tree: what has a protected parent outside of it too, and so stays protected, and the rest.
fn shared_with_others(table: Oid, tree: Vec<Relation>) -> Result<(Vec<Relation>, Vec<Relation>)> {
    let inside: HashSet<Oid> = tree.iter().map(|relation| relation.oid).collect();
    let (mut shared, mut own) = (Vec::new(), Vec::new());
    for relation in tree {
        let outside: Vec<Oid> =
            relations::ancestors(relation.oid)?.into_iter().filter(|parent| !inside.contains(parent)).collect();
        let protected = outside.into_iter().map(recorded_column).collect::<Result<Vec<_>>>()?;
        if relation.oid != table && protected.iter().any(Option::is_some) {
            shared.push(relation);
        } else {
            own.push(relation);
        }
    }
    Ok((shared, own))
}

/// Rows that count for a quota are counted by the column that their table is protected by.
fn check_counted(tree: &[Relation], column: Option<&str>) -> Result<()> {
    for relation in tree {
        if quotas::counted(relation.oid)?.is_some_and(|counted| column != Some(&counted.column)) {
            return Err(Error::CountsForQuota(relation.ident.to_string()));
        }
    }
    Ok(())
}

/// The tenant column that a table is protected by, if it is.
fn recorded_column(table: Oid) -> Result<Option<String>> {
    Ok(as_owner(|| protection::find(table))?.and_then(|found| found.tenant_column))
}

/// The protected parents, direct and indirect, with their records.
fn protected_parents(table: Oid) -> Result<Vec<(Oid, Protection)>> {
    let mut parents = Vec::new();
    for parent in relations::ancestors(table)? {
        if let Some(found) = as_owner(|| protection::find(parent))?
            && found.tenant_column.is_some()
        {
            parents.push((parent, found));
        }
    }
    Ok(parents)
}

/// A partition must not differ from the tables it belongs to.
fn check_parents(table: Oid, options: &Options) -> Result<()> {
    let differs = |found: &Protection| {
        found.kind != options.kind.as_str() || found.tenant_column.as_deref() != Some(&options.tenant_column)
    };
    match protected_parents(table)?.into_iter().find(|(_, found)| differs(found)) {
        Some((parent, _)) => {
            Err(Error::ProtectedThroughParent { relation: relations::name(table)?, parent: relations::name(parent)? })
        }
        None => Ok(()),
    }
}

/// DDL for the column that was the tenant column before, if it was another one.
fn former_column(table: Oid, column: &str) -> Result<Vec<String>> {
    match as_owner(|| protection::find(table))? {
        Some(Protection { tenant_column: Some(former), .. }) if former != column => {
            Ok(plan::release_column(&relations::tree(table, &former)?))
        }
        _ => Ok(Vec::new()),
    }
}

/// Runs a line of the plan. PostgreSQL's own refusal of NULL rows is told in our words.
fn execute(line: &str, tree: &[Relation], column: &str) -> Result<()> {
    if !line.ends_with(" SET NOT NULL;") {
        return relations::execute(line);
    }
    if relations::execute_not_null(line)? {
        return Ok(());
    }
    Err(Error::NullTenants { relation: holder_of_nulls(tree, column)?, column: column.to_owned() })
}

/// The table of a tree that holds NULL: children are tried before their parents, which would speak for them.
fn holder_of_nulls(tree: &[Relation], column: &str) -> Result<String> {
    for relation in tree.iter().skip(1).rev().filter(|relation| !relation.is_partitioned()) {
        if let Some(tenant_column) = &relation.column {
            let line = sql::alter_column(&relation.ident, &tenant_column.ident, "SET NOT NULL");
            if !relations::execute_not_null(&line)? {
                return Ok(relation.ident.to_string());
            }
        }
    }
    Ok(tree.first().map_or_else(|| column.to_owned(), |root| root.ident.to_string()))
}

fn record(tree: &[Relation], options: &Options, ddl: &[String]) -> Result<()> {
    let wanted = Protection { kind: options.kind.as_str().into(), tenant_column: Some(options.tenant_column.clone()) };
    as_owner(|| {
        let mut changed = !ddl.is_empty();
        for relation in tree {
            changed |= protection::put(relation.oid, &wanted)?;
        }
        match tree.first() {
            Some(root) if changed => event::write(Event {
                event: "table.protected",
                object: Some(root.ident.to_string()),
                detail: Some(json!({
                    "kind": options.kind.as_str(),
                    "tenant_column": options.tenant_column,
                    "ddl": ddl,
                })),
                ..Event::default()
            }),
            _ => Ok(()),
        }
    })
}
