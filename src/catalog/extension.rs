//! The extension itself: its version, and what it would leave behind.

use super::spi;
use crate::error::{Error, Lifecycle, Result};
use crate::sql::Ident;
use crate::sys::{Oid, scan};
use pgrx::{FromDatum, IntoDatum};

/// A table as it would be left.
#[derive(Debug, Clone)]
pub struct Table {
    /// Schema-qualified.
    pub ident: Ident,
    /// A part of another protected table.
    pub is_part: bool,
    /// Policies stay that let rows through: those of others.
    pub lets_in: bool,
    /// It has a policy of the name that closes tables.
    pub has_closing: bool,
    pub row_security: bool,
    /// Row security binds the owner, or never was to.
    pub forced: bool,
}

/// The extension's owner.
pub fn owner() -> Result<Oid> {
    of_record("SELECT extowner FROM pg_catalog.pg_extension WHERE extname OPERATOR(pg_catalog.=) 'pg_tenancy'")
}

/// The version of the extension's schema: what CREATE EXTENSION or ALTER EXTENSION UPDATE has made.
pub fn schema_version() -> Result<String> {
    of_record("SELECT extversion FROM pg_catalog.pg_extension WHERE extname OPERATOR(pg_catalog.=) 'pg_tenancy'")
}

fn of_record<T: IntoDatum + FromDatum>(query: &'static str) -> Result<T> {
    let found = spi::read_latest(query, &[], |row| row.require(1))?;
    found.into_iter().next().ok_or(Error::NotInstalled)
}

/// Has nobody else protect a table, or leave one, before this transaction has ended. Needs the rights of the extension's owner.
pub fn lock_protection() -> Result<()> {
    spi::run("LOCK TABLE tenancy.protection IN SHARE ROW EXCLUSIVE MODE", &[]).map(|_| ())
}

/// What is protected, and what else policies that call the extension keep closed, by name; `closing` is the policy that
/// closes tables. Needs the rights of the extension's owner.
pub fn tables(closing: &str) -> Result<Vec<Table>> {
    const LEFT: &str = include_str!("../../sql/queries/tables_left.sql");
    spi::read_latest(LEFT, &[closing.into()], |row| {
        Ok(Table {
            ident: Ident::quoted(row.require(1)?),
            is_part: row.require(2)?,
            lets_in: row.require(3)?,
            has_closing: row.require(4)?,
            row_security: row.require(5)?,
            forced: row.require(6)?,
        })
    })
}

/// Has nobody change these tables, as by another policy, before this transaction has ended: what was left uncommitted is
/// waited for. DROP EXTENSION would take these locks as well. Needs the rights of the extension's owner.
pub fn lock_tables(tables: &[Table]) -> Result<()> {
    tables.iter().try_for_each(|table| {
        spi::run(&format!("LOCK TABLE ONLY {} IN ACCESS EXCLUSIVE MODE", table.ident), &[]).map(|_| ())
    })
}

/// The version of the library.
pub const LIBRARY: &str = env!("CARGO_PKG_VERSION");

/// The first version of the extension's tables that today's queries of the guard can read. The context reads those of all
/// versions.
const READABLE_SINCE: [u32; 3] = [0, 1, 0];

/// To be called before tables of the extension are read that were others once.
///
/// # Errors
/// 55000 when the extension has not been updated since, or is newer than the library.
pub fn check_schema() -> Result<()> {
    let schema = schema_version()?;
    if is_unknown(&schema, LIBRARY) {
        return Err(Lifecycle::NewSchema { schema, library: LIBRARY }.into());
    }
    if is_readable(&schema) { Ok(()) } else { Err(Lifecycle::OldSchema { schema, library: LIBRARY }.into()) }
}

/// To be called before a tenant is acted for: the tables of a newer extension may be others, such as on a standby that has
/// replayed an update and still runs the library from before. Reads as the context does.
///
/// # Errors
/// 55000 when the extension is newer than the library.
pub fn check_not_newer() -> Result<()> {
    let mut schema = None;
    scan::find(EXTENSIONS, EXTENSIONS_BY_NAME, &[], |row| {
        let is_own = row.name(EXTNAME).as_deref() == Some("pg_tenancy");
        if is_own {
            schema = row.text(EXTVERSION);
        }
        is_own
    });
    match schema {
        Some(schema) if is_unknown(&schema, LIBRARY) => Err(Lifecycle::NewSchema { schema, library: LIBRARY }.into()),
        _ => Ok(()),
    }
}

/// `pg_extension`, its index by name, and columns of it.
const EXTENSIONS: Oid = Oid::from_u32(3079);
const EXTENSIONS_BY_NAME: Oid = Oid::from_u32(3081);
const EXTNAME: usize = 2;
const EXTVERSION: usize = 6;

/// The three numbers of a version, if it has them.
fn numbers(version: &str) -> Option<[u32; 3]> {
    let release = version.split(['-', '+']).next().unwrap_or_default();
    let numbers: Vec<u32> = release.split('.').map_while(|number| number.parse().ok()).collect();
    numbers.try_into().ok()
}

fn is_readable(version: &str) -> bool {
    numbers(version).is_some_and(|numbers| numbers >= READABLE_SINCE)
}

/// Whether a schema of that version may have tables that the library has never heard of: the third number changes none.
fn is_unknown(schema: &str, library: &str) -> bool {
    matches!((numbers(schema), numbers(library)), (Some(schema), Some(library)) if schema[..2] > library[..2])
}

/// Whether a version comes after the other.
pub fn is_newer(version: &str, than: &str) -> bool {
    matches!((numbers(version), numbers(than)), (Some(version), Some(than)) if version > than)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        for version in ["0.1.0", "0.1.1", "0.10.0", "1.0.0", "0.2.0-rc1"] {
            assert!(is_readable(version), "{version}");
        }
        for version in ["0.0.1", "0.0.99", "", "0.1", "x.y.z"] {
            assert!(!is_readable(version), "{version}");
        }
    }

    #[test]
    fn a_newer_schema_is_told_by_what_may_change_tables() {
        for (schema, library, unknown, newer) in [
            ("0.1.0", "0.1.0", false, false),
            ("0.1.7", "0.1.0", false, true),
            ("0.2.0", "0.1.9", true, true),
            ("0.10.0", "0.9.0", true, true),
            ("1.0.0-rc1", "0.9.0", true, true),
            ("0.0.9", "0.1.0", false, false),
            ("x", "0.1.0", false, false),
        ] {
            assert_eq!(
                (is_unknown(schema, library), is_newer(schema, library)),
                (unknown, newer),
                "{schema} {library}"
            );
        }
    }

    #[test]
    fn the_library_reads_the_schema_that_comes_with_it() {
        assert!(is_readable(LIBRARY));
    }
}
