//! What is there: the tables of a schema, the tenant that is to have them, and the roles that use them.

use super::rows::check_references;
use super::{COLUMN, plan};
use crate::catalog::adoption::{self, Found};
use crate::catalog::event::{self, Event};
use crate::catalog::registry::as_owner;
use crate::catalog::relations::{self, Column, Relation};
use crate::catalog::scope;
use crate::catalog::tenants::{self, TenantRow};
use crate::error::{Error, Result};
use crate::sql::{self, Ident, scope as text};
use crate::sys::relation::Kind;
use crate::sys::{Oid, types};
use crate::tenant::TenantRef;
use serde_json::json;
use std::collections::HashMap;

/// How a table is protected already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Protected {
    pub kind: String,
    pub column: String,
}

/// A table that belongs to no other, with all that inherits from it.
#[derive(Debug, Clone)]
pub struct Root {
    pub oid: Oid,
    pub ident: Ident,
    pub tree: Vec<Relation>,
    pub protected: Option<Protected>,
    /// Whether the condition that stands in for NOT NULL is there, and validated.
    pub check: Option<bool>,
    /// Its tables that have rows which belong to nobody.
    pub unfilled: Vec<Ident>,
    /// Of the tenant column.
    pub type_name: String,
    /// What the column holds for the tenant.
    pub value: String,
}

/// All that there is to know.
#[derive(Debug, Clone)]
pub struct Adoption {
    pub schema: String,
    pub tenant: TenantRow,
    pub column: Ident,
    /// Of the column, where it is to be added.
    pub column_type: Oid,
    /// Roles that log in, reach the tables, and act for no tenant yet.
    pub roles: Vec<Ident>,
    pub database: Ident,
    /// To be recorded as global.
    pub global: Vec<(Oid, Ident)>,
    pub roots: Vec<Root>,
    /// What is left alone, and why.
    pub remarks: Vec<String>,
}

impl Adoption {
    /// The tables that are to be protected and are not yet, all that inherits from them included.
    pub fn unprotected(&self) -> Vec<Oid> {
        let roots = self.roots.iter().filter(|root| root.protected.is_none());
        roots.flat_map(|root| root.tree.iter().map(|relation| relation.oid)).collect()
    }

    /// All tables with tenants, parents before what inherits from them.
    pub fn tables(&self) -> Vec<Oid> {
        let mut tables: Vec<Oid> = Vec::new();
        for relation in self.roots.iter().flat_map(|root| &root.tree) {
            if !tables.contains(&relation.oid) {
                tables.push(relation.oid);
            }
        }
        tables
    }
}

/// Reads it. Changes nothing.
///
/// # Errors
/// 3F000 unknown schema; 0A000 a system schema; 22023, 42704 malformed and unknown tenant; 55000 the tenant is not active, or
/// a table to be global is protected; 42501 when the caller doesn't own one of the tables; 42804 when a tenant column can't
/// hold the tenant.
pub fn read(schema: &str, tenant: &str, global: &[Oid]) -> Result<Adoption> {
    let schema_oid = adoption::schema(schema)?;
    let found = active(tenant)?;
    let relations = as_owner(|| adoption::relations(schema_oid, COLUMN))?;
    check_global(&relations, global)?;
    let (mut remarks, mut chosen, mut to_classify) = (Vec::new(), Vec::new(), Vec::new());
    for relation in &relations {
        match sort(relation, &relations, global) {
            Sort::Root => {
                relations::check_owned(relation.oid)?;
                chosen.push(relation);
            }
            Sort::Global => {
                relations::check_owned(relation.oid)?;
                to_classify.push((relation.oid, relation.ident.clone()));
            }
            Sort::Nothing => {}
            Sort::Remark(why) => remarks.push(format!("{} is left alone: {why}", relation.ident)),
        }
    }
    let column_type = column_type(&relations, &found);
    let (roots, unfit) = roots(&chosen, &relations, column_type, &found)?;
    remarks.extend(unfit);
    let mut adoption = Adoption {
        schema: schema.to_owned(),
        column: relations::quoted(COLUMN)?,
        tenant: found,
        column_type,
        roles: Vec::new(),
        database: adoption::database()?,
        global: to_classify,
        roots,
        remarks,
    };
    let tables = adoption.tables();
    for (view, is_materialized) in adoption::readers(&tables)? {
        adoption.remarks.push(if is_materialized {
            format!(
                "materialized view {view} knows no row security: it goes on holding the rows of all tenants, whoever reads it"
            )
        } else {
            format!(
                "view {view} shows the rows of all tenants, since its owner bypasses row security, until ALTER VIEW {view} SET \
                 (security_invoker = true)"
            )
        });
    }
    adoption.roles = as_owner(|| adoption::roles(&tables))?;
    Ok(adoption)
}

/// The tenant, which must be active.
pub fn active(tenant: &str) -> Result<TenantRow> {
    let found = tenants::find(&TenantRef::parse(tenant)?)?.ok_or_else(|| Error::UnknownTenant(tenant.to_owned()))?;
    if !found.is_active() {
        return Err(Error::WrongStatus { tenant: tenant.to_owned(), status: found.status, wanted: "active" });
    }
    Ok(found)
}

/// What a tenant column of that type and length holds for the tenant, or why it can't.
pub fn value(type_oid: Oid, length: Option<i32>, tenant: &TenantRow) -> std::result::Result<String, String> {
    let (_, value) = relations::held_value(types::base(type_oid), tenant.id, &tenant.key)?;
    match length.and_then(|length| usize::try_from(length).ok()) {
        Some(length) if value.chars().count() > length => Err("the tenant's key is too long for it".into()),
        _ => Ok(value),
    }
}

pub fn unsuitable(relation: String, reason: String) -> Error {
    Error::UnsuitableColumn { relation, column: COLUMN.to_owned(), reason }
}

/// Gives the rows of all tables to the tenant, while nobody else uses them. Returns the statements that it ran.
pub fn begin(adoption: &Adoption) -> Result<Vec<String>> {
    let ddl = plan::column_at_once(adoption);
    ddl.iter().try_for_each(|line| relations::execute(line))?;
    Ok(ddl)
}

/// Records that it was done.
pub fn note(adoption: &Adoption, ddl: &[String]) -> Result<()> {
    as_owner(|| {
        event::write(Event {
            event: "schema.adopted",
            tenant: Some(adoption.tenant.id),
            object: Some(adoption.schema.clone()),
            detail: Some(json!({ "ddl": ddl })),
            ..Event::default()
        })
    })
}

fn check_global(relations: &[Found], global: &[Oid]) -> Result<()> {
    for oid in global {
        let name = relations::name(*oid)?;
        match relations.iter().find(|relation| relation.oid == *oid) {
            None => {
                return Err(Error::InvalidArgument {
                    what: "global_tables",
                    reason: format!("{name} is no table of the schema"),
                });
            }
            Some(found) if found.protected_by.is_some() => return Err(Error::IsProtected(name)),
            Some(found) => relations::check_kind(found.kind, &name)?,
        }
    }
    Ok(())
}

enum Sort {
    Root,
    Global,
    /// It goes with its parent, or is done.
    Nothing,
    Remark(&'static str),
}

fn sort(relation: &Found, relations: &[Found], global: &[Oid]) -> Sort {
    let is_global = |found: &Found| found.protected_as.as_deref() == Some("global");
    if is_global(relation) {
        return Sort::Nothing;
    }
    if global.contains(&relation.oid) {
        return Sort::Global;
    }
    if relation.kind == Kind::ForeignTable {
        return Sort::Remark("it is a foreign table, which knows no row security");
    }
    if relation.in_extension {
        return Sort::Remark("it belongs to an extension");
    }
    if let Some(parent) = relation.parent {
        match relations.iter().find(|other| other.oid == parent) {
            // Its parent's rows are its own.
            Some(parent) if relation.partition && (is_global(parent) || global.contains(&parent.oid)) => {
                return Sort::Nothing;
            }
            Some(parent) if is_global(parent) || global.contains(&parent.oid) => {}
            Some(_) => return Sort::Nothing,
            None => return Sort::Remark("it is a partition of a table in another schema"),
        }
    }
    if relation.typed && relation.column_type.is_none() {
        return Sort::Remark("its columns are those of a type; ALTER TABLE ... NOT OF makes them its own");
    }
    Sort::Root
}

/// The type that the column has in most tables, so that they can refer to each other; where none has it, `uuid`. What
/// conditions a domain adds, those who made it answer for: tables that get the column do without.
fn column_type(relations: &[Found], tenant: &TenantRow) -> Oid {
    let mut counts: HashMap<Oid, usize> = HashMap::new();
    for type_oid in relations.iter().filter_map(|relation| relation.column_type) {
        if relations::held_value(types::base(type_oid), tenant.id, &tenant.key).is_ok() {
            *counts.entry(types::under_domains(type_oid)).or_default() += 1;
        }
    }
    let most = counts.into_iter().max_by_key(|(oid, count)| (*count, std::cmp::Reverse(oid.to_u32())));
    most.map_or(types::UUID, |(oid, _)| oid)
}

/// The tables with all that inherits from them, and remarks on those that can't be protected.
fn roots(
    chosen: &[&Found],
    relations: &[Found],
    column_type: Oid,
    tenant: &TenantRow,
) -> Result<(Vec<Root>, Vec<String>)> {
    let columns = chosen.iter().map(|root| root.protected_by.clone().unwrap_or_else(|| COLUMN.to_owned())).collect();
    let mut trees: HashMap<Oid, Vec<Relation>> = HashMap::new();
    for (root, relation) in relations::forest(chosen.iter().map(|root| root.oid).collect(), columns)? {
        trees.entry(root).or_default().push(relation);
    }
    let (mut roots, mut remarks) = (Vec::new(), Vec::new());
    for root in chosen {
        let tree = trees.remove(&root.oid).unwrap_or_default();
        // What has several parents comes with one of them alone.
        if tree.is_empty() {
            continue;
        }
        if let Some(part) = tree.iter().find(|part| !matches!(part.kind, Kind::Table | Kind::Partitioned)) {
            remarks.push(format!("{} is left alone: its part {} is a foreign table", root.ident, part.ident));
            continue;
        }
        let own = |relation: &Relation| {
            let found = relations.iter().find(|found| found.oid == relation.oid)?;
            Some((found.column_type?, found.column_length))
        };
        let (type_oid, length) = tree.iter().find_map(own).unwrap_or((column_type, None));
        let protected = match (&root.protected_as, &root.protected_by) {
            (Some(kind), Some(column)) => Some(Protected { kind: kind.clone(), column: column.clone() }),
            _ => None,
        };
        let (value, unfilled) = if protected.is_some() {
            (String::new(), Vec::new())
        } else {
            for part in &tree {
                if let Some(reason) = part.column.as_ref().and_then(Column::unsuitable) {
                    return Err(unsuitable(part.ident.to_string(), reason));
                }
            }
            let value = value(type_oid, length, tenant).map_err(|reason| unsuitable(root.ident.to_string(), reason))?;
            let unfilled = unfilled(&tree, &value)?;
            (value, unfilled)
        };
        roots.push(Root {
            oid: root.oid,
            ident: root.ident.clone(),
            tree,
            protected,
            check: root.check,
            unfilled,
            type_name: relations::type_name(type_oid)?,
            value,
        });
    }
    Ok((roots, remarks))
}

fn unfilled(tree: &[Relation], value: &str) -> Result<Vec<Ident>> {
    let mut unfilled = Vec::new();
    for relation in tree.iter().filter(|relation| relation.kind == Kind::Table) {
        if let Some(column) = relation.column.as_ref().filter(|column| !column.not_null)
            && scope::count(&sql::adopt::count_unfilled(&relation.ident, &column.ident), false)? > 0
        {
            check_references(relation.oid, value, false)?;
            unfilled.push(relation.ident.clone());
        }
    }
    Ok(unfilled)
}

/// A line that is no statement.
pub fn remark(about: &str) -> String {
    text::remark(about)
}

/// Whether a line does anything.
pub fn is_statement(line: &str) -> bool {
    !line.starts_with("--")
}

/// The tenant's key, as SQL writes it.
pub fn key(adoption: &Adoption) -> String {
    sql::literal(adoption.tenant.key.as_str())
}
