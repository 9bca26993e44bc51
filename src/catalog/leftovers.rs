//! Prepared statements and held cursors of this session.

use super::spi;
use crate::error::Result;

/// Names of the statements that were prepared with PREPARE.
pub fn prepared_statements() -> Result<Vec<String>> {
    spi::read("SELECT name FROM pg_catalog.pg_prepared_statement() WHERE from_sql", &[], |row| row.require(1))
}

/// Names of the cursors that outlive their transaction.
pub fn held_cursors() -> Result<Vec<String>> {
    spi::read("SELECT name FROM pg_catalog.pg_cursor() WHERE is_holdable", &[], |row| row.require(1))
}
