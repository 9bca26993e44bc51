//! What is in a `jsonb` value, asked of PostgreSQL.

use super::spi;
use crate::error::{Error, Result};
use crate::sys::json::Jsonb;

/// Whether it is an object.
pub fn is_object(value: &Jsonb) -> Result<bool> {
    let is = "SELECT pg_catalog.jsonb_typeof($1) OPERATOR(pg_catalog.=) 'object'";
    Ok(spi::read(is, &[value.as_argument()], |row| row.require(1))?.into_iter().any(|is| is))
}

/// An object's keys, each with its value as text: numbers to their last digit, `None` for null.
pub fn pairs(object: &Jsonb) -> Result<Vec<(String, Option<String>)>> {
    let pairs = "SELECT pair.key, pair.value FROM pg_catalog.jsonb_each_text($1) AS pair";
    spi::read(pairs, &[object.as_argument()], |row| Ok((row.require(1)?, row.get(2)?)))
}

/// The value as PostgreSQL writes it.
pub fn text(value: &Jsonb) -> Result<String> {
    let text = spi::read("SELECT $1::pg_catalog.text", &[value.as_argument()], |row| row.require(1))?;
    text.into_iter().next().ok_or(Error::NotInstalled)
}
