//! Giving the rows of a table that belong to nobody to a tenant: as the table's owner, since an UPDATE runs what the owner
//! made of the table.

use super::COLUMN;
use super::state::{self, active};
use crate::catalog::adoption::{self, Reference};
use crate::catalog::protection;
use crate::catalog::registry::as_owner;
use crate::catalog::relations;
use crate::error::{Error, Result};
use crate::sql::Ident;
use crate::sql::adopt::{self as text, Pages};
use crate::sys::{Oid, relation, role, types};

/// Which rows, as SQL says it: from a page on, and how many pages; without, all.
#[derive(Debug, Clone, Copy)]
pub struct Range {
    pub first: i64,
    pub count: Option<i64>,
}

impl Range {
    fn pages(self) -> Result<Option<Pages>> {
        let invalid = |what, reason: &str| Error::InvalidArgument { what, reason: reason.into() };
        let first = u32::try_from(self.first).map_err(|_| invalid("first_page", "no table has such a page"))?;
        match self.count {
            None if first == 0 => Ok(None),
            None => Err(invalid("pages", "it says how many, where first_page says from where")),
            Some(count) if count > 0 => Ok(Some(Pages { first, count: u32::try_from(count).unwrap_or(u32::MAX) })),
            Some(_) => Err(invalid("pages", "it is not positive")),
        }
    }
}

/// Gives rows of one table, without what inherits from it, to the tenant. Returns how many. With pages, rows that others hold
/// are left as they are.
///
/// # Errors
/// 22023 for a malformed range; 42501 when the caller doesn't own the table; 55000 when it is protected, when the tenant is not
/// active, or when a foreign key has the column that the rows would break; otherwise as for `read`.
pub fn fill(table: Oid, tenant: &str, range: Range, search_path: &str) -> Result<i64> {
    let pages = range.pages()?;
    relations::check_owned(table)?;
    let name = relations::name(table)?;
    if as_owner(|| protection::find(table))?.is_some_and(|found| found.tenant_column.is_some()) {
        return Err(Error::IsProtected(name));
    }
    let found = active(tenant)?;
    let (type_oid, length) = adoption::column_type(table, COLUMN)?;
    let value = state::value(type_oid, length, &found).map_err(|reason| state::unsuitable(name.clone(), reason))?;
    check_references(table, &value, true)?;
    let (relation, column) = (Ident::quoted(name), relations::quoted(COLUMN)?);
    let statement = text::fill_rows(&relation, &column, &value, pages);
    let owner = relation::brief(table)?.owner;
    // Silence holds for foreign keys and triggers of all tables: nobody is to write to others meanwhile, who couldn't by himself.
    let is_domain = types::under_domains(type_oid) != type_oid;
    let silently = role::is_superuser(owner) || !is_domain && !as_owner(|| adoption::has_code(table))?;
    adoption::fill(owner, &statement, search_path, silently)
}

/// A foreign key that has the tenant column does not hold for rows without a tenant, and nobody else would look at it when
/// they get one: it must be the column alone, and then there must be what the tenant's rows refer to. `hold` keeps that.
pub fn check_references(table: Oid, value: &str, hold: bool) -> Result<()> {
    let refused = |reference: &Reference, reason: &str, hint| {
        Err(Error::KeyNotReady { key: reference.name.clone(), reason: reason.into(), hint })
    };
    for reference in as_owner(|| adoption::references(table, COLUMN))? {
        if !reference.alone {
            let reason = "it has the column already, and does not hold for the rows that have no tenant";
            return refused(&reference, reason, "Drop it, and add it again afterwards.");
        }
        if !adoption::refers_to_something(&reference, value, hold)? {
            return refused(
                &reference,
                "there is no row that the tenant's would refer to",
                "Insert that row first, or drop the foreign key.",
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_all_or_some_pages() {
        let pages = |first, count| Range { first, count }.pages();
        assert_eq!(pages(0, None), Ok(None));
        assert_eq!(pages(128, Some(128)), Ok(Some(Pages { first: 128, count: 128 })));
        assert_eq!(pages(0, Some(i64::MAX)), Ok(Some(Pages { first: 0, count: u32::MAX })));
        for (first, count) in [(-1, Some(1)), (1 << 32, Some(1)), (0, Some(0)), (0, Some(-1)), (1, None)] {
            assert!(pages(first, count).is_err(), "{first} {count:?}");
        }
    }
}
