//! SPI in two verbs, with named failures.

use crate::error::{Error, Result};
use crate::sys::hooks;
use pgrx::datum::DatumWithOid;
use pgrx::spi::{Spi, SpiHeapTupleData};
use pgrx::{FromDatum, IntoDatum};

/// One row of a result.
pub struct Row<'a>(SpiHeapTupleData<'a>);

impl Row<'_> {
    /// Column `ordinal` (from 1), or `None` where it is null.
    pub fn get<T: IntoDatum + FromDatum>(&self, ordinal: usize) -> Result<Option<T>> {
        Ok(self.0.get(ordinal)?)
    }

    /// Column `ordinal` (from 1), which the query guarantees not to be null.
    pub fn require<T: IntoDatum + FromDatum>(&self, ordinal: usize) -> Result<T> {
        self.get(ordinal)?.ok_or_else(|| Error::Spi(format!("column {ordinal} is unexpectedly null")))
    }
}

/// Runs a query that changes nothing, and maps its rows. Assigns no transaction id.
pub fn read<T>(query: &str, args: &[DatumWithOid<'_>], map: impl Fn(Row<'_>) -> Result<T>) -> Result<Vec<T>> {
    let _internal = hooks::internal();
    Spi::connect(|client| client.select(query, None, args)?.map(|tuple| map(Row(tuple))).collect())
}

/// Runs a statement that changes something, and maps the rows it returns.
pub fn write<T>(statement: &str, args: &[DatumWithOid<'_>], map: impl Fn(Row<'_>) -> Result<T>) -> Result<Vec<T>> {
    let _internal = hooks::internal();
    Spi::connect_mut(|client| client.update(statement, None, args)?.map(|tuple| map(Row(tuple))).collect())
}

/// Runs a statement for its effect. Returns the number of rows it touched.
pub fn run(statement: &str, args: &[DatumWithOid<'_>]) -> Result<usize> {
    let _internal = hooks::internal();
    Spi::connect_mut(|client| Ok(client.update(statement, None, args)?.len()))
}
