//! Planting: a row of a made-up tenant in a table of any shape. A copy of a row that is there is the likeliest to
//! be let in; an empty table gets values that its types and conditions permit.

use super::values::{self, VARIANTS};
use crate::catalog::planting::{self, Column, Source};
use crate::error::Result;
use crate::sql::Ident;
use crate::sys::Oid;
use crate::sys::subxact;

/// A table to plant in.
#[derive(Debug)]
pub struct Bed {
    pub table: Oid,
    pub ident: Ident,
    pub columns: Vec<Column>,
    /// Of a partition.
    condition: Option<String>,
}

impl Bed {
    pub fn new(table: Oid, ident: Ident, tenant_column: &str) -> Result<Self> {
        let columns = planting::columns(table, tenant_column)?;
        Ok(Self { table, ident, columns, condition: planting::partition_condition(table)? })
    }

    /// Plants a row of the tenant, given as the tenant column takes it. Returns the SQLSTATE of the last refusal
    /// when every attempt fails.
    pub fn plant(&self, tenant: &str) -> std::result::Result<(), String> {
        let mut refusal = String::new();
        for variant in 0..VARIANTS {
            match self.try_statement(&self.copy(tenant, variant)) {
                Ok(0) => break,
                Ok(_) => return Ok(()),
                Err(sqlstate) => refusal = sqlstate,
            }
        }
        for variant in 0..VARIANTS {
            match self.try_statement(&self.invented(tenant, variant)) {
                Ok(_) => return Ok(()),
                Err(sqlstate) => refusal = sqlstate,
            }
        }
        Err(refusal)
    }

    fn try_statement(&self, statement: &str) -> std::result::Result<usize, String> {
        subxact::attempt(|| planting::run(self.table, statement)).map_err(|failure| failure.sqlstate())
    }

    /// Columns that INSERT can name.
    pub fn insertable(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| !column.generated)
    }

    fn copy(&self, tenant: &str, variant: usize) -> String {
        let values = self.insertable().map(|column| {
            let fresh = if column.in_global_key { values::fresh(column, variant) } else { None };
            match fresh {
                _ if column.is_tenant => tenant.to_owned(),
                Some(fresh) => cast(&fresh, column),
                None => format!("copied.{}", column.ident),
            }
        });
        let values: Vec<String> = values.collect();
        let columns: Vec<&Column> = self.insertable().collect();
        format!("{} SELECT {} FROM {} AS copied LIMIT 1", self.insert_into(&columns), values.join(", "), self.ident)
    }

    fn invented(&self, tenant: &str, variant: usize) -> String {
        let mut columns = Vec::new();
        let mut values = Vec::new();
        for column in self.insertable() {
            // The later attempts fill in what the earlier ones left NULL.
            let may_be_left = values::is_optional(column) && (column.source == Source::Default || variant < 2);
            let value = if column.is_tenant {
                Some(tenant.to_owned())
            } else if may_be_left && !self.is_conditioned(column) {
                None
            } else {
                self.value_for(column, variant).map(|value| cast(&value, column))
            };
            if let Some(value) = value {
                columns.push(column);
                values.push(value);
            }
        }
        format!("{} VALUES ({})", self.insert_into(&columns), values.join(", "))
    }

    /// Whether the column decides which partition a row belongs to.
    fn is_conditioned(&self, column: &Column) -> bool {
        self.condition.as_deref().is_some_and(|condition| condition.contains(&column.ident.to_string()))
    }

    fn value_for(&self, column: &Column, variant: usize) -> Option<String> {
        let unique = column.in_global_key || column.source == Source::Sequence;
        let fresh = if unique { values::fresh(column, variant) } else { None };
        if let Some(fresh) = fresh.filter(|fresh| self.is_permitted(column, fresh)) {
            return Some(fresh);
        }
        let hints = self.condition.iter().filter(|_| self.is_conditioned(column)).cloned().collect::<Vec<_>>();
        let stock = values::stock(column, &hints);
        let mut permitted: Vec<&String> = if self.is_restricted(column) {
            stock.iter().filter(|value| self.is_permitted(column, value)).take(VARIANTS).collect()
        } else {
            stock.iter().collect()
        };
        if permitted.is_empty() {
            // For the table to say what is wrong with it.
            permitted.extend(stock.first());
        }
        permitted.get(variant % permitted.len().max(1)).map(|value| (*value).clone())
    }

    fn is_restricted(&self, column: &Column) -> bool {
        // The types of extensions and users are tried as well: what they take is not known here.
        let is_known = !"UGRCXZ".contains(column.category) || column.base == "uuid";
        column.is_domain || !column.checks.is_empty() || self.is_conditioned(column) || !is_known
    }

    /// Whether the column's type and the conditions on it alone take the value.
    fn is_permitted(&self, column: &Column, value: &str) -> bool {
        let try_value = |conditions: &[&str]| {
            // The value is asked for, or it would not be made at all.
            let ident = &column.ident;
            let mut query = format!("SELECT tried.{ident} FROM (SELECT {} AS {ident}) AS tried", cast(value, column));
            for (place, condition) in conditions.iter().enumerate() {
                query.push_str(if place == 0 { " WHERE " } else { " AND " });
                query.push_str(&format!("(({condition}) IS NOT FALSE)"));
            }
            self.try_statement(&query)
        };
        let checks: Vec<&str> = column.checks.iter().map(String::as_str).collect();
        let with_partition: Vec<&str> = self
            .condition
            .as_deref()
            .filter(|_| self.is_conditioned(column))
            .into_iter()
            .chain(checks.clone())
            .collect();
        match try_value(&with_partition) {
            Ok(rows) => rows == 1,
            // The partition's condition is on other columns too.
            Err(sqlstate) if sqlstate == "42703" => try_value(&checks) == Ok(1),
            Err(_) => false,
        }
    }

    fn insert_into(&self, columns: &[&Column]) -> String {
        let names: Vec<String> = columns.iter().map(|column| column.ident.to_string()).collect();
        format!("INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE", self.ident, names.join(", "))
    }
}

fn cast(value: &str, column: &Column) -> String {
    format!("CAST({value} AS {})", column.type_name)
}
