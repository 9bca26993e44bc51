//! Making an index that the tenant column leads.

use crate::catalog::indexes::{self, Target};
use crate::catalog::relations;
use crate::error::{Error, Result};
use crate::sql::{self, Ident};
use crate::sys::{Oid, index, relation, role};

/// The index that is asked for, in the words of CREATE INDEX, without the tenant column.
#[derive(Debug, Clone)]
pub struct Definition {
    pub columns: Vec<String>,
    /// `None`: PostgreSQL's way of naming it.
    pub name: Option<String>,
    pub unique: bool,
    pub method: String,
    pub include: Vec<String>,
    pub predicate: Option<String>,
}

/// Makes the index as the current user, and returns it.
///
/// # Errors
/// 42501 when the caller doesn't own the table; 55000 when it is not protected; 22023 for text that is no column,
/// expression or condition, or more than one; 42704 unknown access method, or one that can't take the tenant column; 0A000
/// one that takes a single column; otherwise what CREATE INDEX raises.
pub fn create_index(table: Oid, definition: &Definition) -> Result<Oid> {
    let brief = relation::brief(table)?;
    let table_name = relations::name(table)?;
    relations::check_user_table(&brief, &table_name)?;
    if !relation::is_owned(table) {
        return Err(Error::NotOwner(table_name));
    }
    let target = indexes::target(table)?.ok_or(Error::NotProtected(table_name))?;
    let columns = led_by_tenant(&target, &definition.columns)?;
    for text in &definition.include {
        element(text, "include")?;
    }
    if let Some(text) = &definition.predicate
        && !index::is_predicate(text)
    {
        return Err(Error::InvalidArgument { what: "predicate", reason: format!("\"{text}\" is not one condition") });
    }
    check_method(&target, &definition.method, columns.len())?;
    let name = match &definition.name {
        Some(name) => name.clone(),
        None => unused_name(&target, &columns)?,
    };
    let texts: Vec<&str> = columns.iter().map(|column| column.text.as_str()).collect();
    relations::execute(&sql::create_led_index(&sql::LedIndex {
        unique: definition.unique,
        name: &Ident::quoted(role::quoted(&name)),
        relation: &target.ident,
        method: &Ident::quoted(role::quoted(&definition.method)),
        columns: &texts,
        include: &definition.include,
        predicate: definition.predicate.as_deref(),
    }))?;
    indexes::by_name(target.schema, &name)?.ok_or_else(|| Error::Spi(format!("index {name} was not made")))
}

/// A column or expression of the index.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Column {
    text: String,
    /// What the index's name has of it.
    label: String,
}

/// The tenant column, once, and then the others.
fn led_by_tenant(target: &Target, texts: &[String]) -> Result<Vec<Column>> {
    let mut columns = Vec::new();
    for text in texts {
        let column = element(text, "columns")?.column;
        let is_tenant = column.as_deref() == Some(&target.tenant_column);
        if is_tenant && !columns.is_empty() {
            continue;
        }
        if !is_tenant && columns.is_empty() {
            columns.push(tenant(target));
        }
        columns.push(Column { text: text.clone(), label: column.unwrap_or_else(|| "expr".into()) });
    }
    if columns.is_empty() {
        columns.push(tenant(target));
    }
    Ok(columns)
}

fn tenant(target: &Target) -> Column {
    Column { text: target.tenant_ident.to_string(), label: target.tenant_column.clone() }
}

fn element(text: &str, what: &'static str) -> Result<index::Element> {
    index::element(text).ok_or_else(|| Error::InvalidArgument {
        what,
        reason: format!("\"{text}\" is not one column or expression of an index"),
    })
}

fn check_method(target: &Target, name: &str, columns: usize) -> Result<()> {
    let method = index::method(name, target.tenant_type).ok_or_else(|| Error::UnknownAccessMethod(name.to_owned()))?;
    if !method.multicolumn && columns > 1 {
        return Err(Error::SingleColumnMethod(name.to_owned()));
    }
    if !method.takes_type {
        return Err(Error::NoOperatorClass { type_name: target.tenant_type_name.clone(), method: name.to_owned() });
    }
    Ok(())
}

fn unused_name(target: &Target, columns: &[Column]) -> Result<String> {
    let labels: Vec<&str> = columns.iter().map(|column| column.label.as_str()).collect();
    let name = index::unused_name(&target.name, &labels.join("_"), target.schema);
    name.ok_or(Error::InvalidArgument { what: "columns", reason: "a name holds a null byte".into() })
}
