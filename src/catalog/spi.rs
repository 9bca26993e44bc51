//! SPI in two verbs, with named failures.

use crate::error::{Error, Result};
use crate::sys::snapshot::{self, Plan};
use crate::sys::{Oid, hooks};
use pgrx::datum::DatumWithOid;
use pgrx::spi::{OwnedPreparedStatement, Spi, SpiClient, SpiCursor, SpiHeapTupleData, SpiTupleTable};
use pgrx::{FromDatum, IntoDatum, PgOid};
use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::{CString, c_long};

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

thread_local! {
    /// Never freed: the texts are constants, and each is planned once per session.
    static KEPT: RefCell<HashMap<&'static str, Plan>> = RefCell::default();
}

/// As `read`, but sees what others have committed by now whatever the isolation level, as PostgreSQL does where it
/// reads its catalogs itself. The plan is kept as long as the session.
pub fn read_latest<T>(
    query: &'static str,
    args: &[DatumWithOid<'_>],
    map: impl Fn(Row<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    with_plan(query, args, |client, plan| rows(client, &plan.open(args), map))
}

/// As `read_latest`, twice: without what the running statement has done, and with it; nothing else tells the two apart.
/// `None` when what was before can't be seen any more. What functions in the query look up themselves is of now.
pub fn read_around<T>(
    query: &'static str,
    args: &[DatumWithOid<'_>],
    map: impl Fn(Row<'_>) -> Result<T>,
) -> Result<Option<(Vec<T>, Vec<T>)>> {
    with_plan(query, args, |client, plan| {
        let Some((before, now)) = plan.open_around(args) else { return Ok(None) };
        Ok(Some((rows(client, &before, &map)?, rows(client, &now, &map)?)))
    })
}

fn with_plan<T>(
    query: &'static str,
    args: &[DatumWithOid<'_>],
    work: impl FnOnce(&SpiClient<'_>, Plan) -> Result<T>,
) -> Result<T> {
    let _internal = hooks::internal();
    Spi::connect(|client| {
        let plan = match KEPT.with_borrow(|kept| kept.get(query).copied()) {
            Some(plan) => plan,
            None => {
                let text = CString::new(query).map_err(|error| Error::Spi(error.to_string()))?;
                let types: Vec<Oid> = args.iter().map(DatumWithOid::oid).collect();
                let plan = Plan::keep(&text, &types).ok_or_else(|| Error::Spi("a plan can't be kept".into()))?;
                KEPT.with_borrow_mut(|kept| kept.insert(query, plan));
                plan
            }
        };
        work(client, plan)
    })
}

fn rows<T>(client: &SpiClient<'_>, cursor: &str, map: impl Fn(Row<'_>) -> Result<T>) -> Result<Vec<T>> {
    let mut cursor = client.find_cursor(cursor)?;
    cursor.fetch(c_long::MAX)?.map(|tuple| map(Row(tuple))).collect()
}

/// Runs a statement that changes something, and maps the rows it returns.
pub fn write<T>(statement: &str, args: &[DatumWithOid<'_>], map: impl Fn(Row<'_>) -> Result<T>) -> Result<Vec<T>> {
    let _internal = hooks::internal();
    Spi::connect_mut(|client| client.update(statement, None, args)?.map(|tuple| map(Row(tuple))).collect())
}

thread_local! {
    /// As `KEPT`, for statements that change something.
    static KEPT_WRITES: RefCell<HashMap<&'static str, &'static OwnedPreparedStatement>> = RefCell::default();
}

/// As `write`; the plan is kept as long as the session.
pub fn write_kept<T>(
    statement: &'static str,
    args: &[DatumWithOid<'_>],
    map: impl Fn(Row<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    with_kept(statement, args, |rows| rows.map(|tuple| map(Row(tuple))).collect())
}

/// As `run`; the plan is kept as long as the session.
pub fn run_kept(statement: &'static str, args: &[DatumWithOid<'_>]) -> Result<usize> {
    with_kept(statement, args, |rows| Ok(rows.len()))
}

fn with_kept<T>(
    statement: &'static str,
    args: &[DatumWithOid<'_>],
    take: impl FnOnce(SpiTupleTable<'_>) -> Result<T>,
) -> Result<T> {
    let _internal = hooks::internal();
    Spi::connect_mut(|client| {
        let plan = match KEPT_WRITES.with_borrow(|kept| kept.get(statement).copied()) {
            Some(plan) => plan,
            None => {
                let types: Vec<PgOid> = args.iter().map(|arg| PgOid::from(arg.oid())).collect();
                let plan: &'static _ = Box::leak(Box::new(client.prepare_mut(statement, &types)?.keep()));
                KEPT_WRITES.with_borrow_mut(|kept| kept.insert(statement, plan));
                plan
            }
        };
        take(client.update(plan, None, args)?)
    })
}

/// Rows that `for_each` has in memory at once.
const PIECE: c_long = 1000;

/// Runs a query with a snapshot of now, where the isolation level allows that, and visits its mapped rows.
pub fn for_each<T>(
    query: &str,
    map: impl Fn(Row<'_>) -> Result<T>,
    mut visit: impl FnMut(T) -> Result<()>,
) -> Result<()> {
    let _internal = hooks::internal();
    let name = Spi::connect_mut(|client| client.try_open_cursor_mut(query, &[]).map(SpiCursor::detach_into_name))?;
    loop {
        // What is visited may use SPI by itself.
        let rows: Vec<T> = Spi::connect_mut(|client| {
            let mut cursor = client.find_cursor(&name)?;
            let rows = cursor.fetch(PIECE)?.map(|tuple| map(Row(tuple))).collect::<Result<_>>()?;
            snapshot::free_rows();
            let _open = cursor.detach_into_name();
            Result::Ok(rows)
        })?;
        if rows.is_empty() {
            break;
        }
        rows.into_iter().try_for_each(&mut visit)?;
    }
    Spi::connect_mut(|client| client.find_cursor(&name).map(drop))?;
    Ok(())
}

/// Runs a statement for its effect. Returns the number of rows it touched.
pub fn run(statement: &str, args: &[DatumWithOid<'_>]) -> Result<usize> {
    let _internal = hooks::internal();
    Spi::connect_mut(|client| Ok(client.update(statement, None, args)?.len()))
}

// What follows always counts as changing something: only then SPI takes a new snapshot, in which is what the
// caller has just made.

/// Runs a statement as a client's: the hooks look at it. Returns the number of rows that it returned, or touched.
pub fn run_as_client(statement: &str, parameter: Option<&str>, limit: usize) -> Result<usize> {
    let args: Vec<DatumWithOid<'_>> = parameter.map(Into::into).into_iter().collect();
    Spi::connect_mut(|client| Ok(client.update(statement, Some(limit as c_long), &args)?.len()))
}

/// As `run_as_client`, for a query of one text.
pub fn text_as_client(query: &str) -> Result<Option<String>> {
    Spi::connect_mut(|client| {
        let rows = client.update(query, None, &[])?.map(|tuple| Row(tuple).get(1)).collect::<Result<Vec<_>>>()?;
        Ok(rows.into_iter().next().flatten())
    })
}

/// Opens a cursor as a client would, calls `meanwhile`, and fetches. Returns the number of rows.
pub fn fetch_after(query: &str, limit: usize, meanwhile: impl FnOnce()) -> Result<usize> {
    Spi::connect_mut(|client| {
        let mut cursor = client.try_open_cursor_mut(query, &[])?;
        meanwhile();
        Ok(cursor.fetch(limit as c_long)?.len())
    })
}

/// Prepares a query as a client would, and lets `work` run it, each time from the same plan.
pub fn prepared_as_client<T>(
    query: &str,
    work: impl FnOnce(&mut dyn FnMut() -> Result<usize>) -> Result<T>,
) -> Result<T> {
    Spi::connect_mut(|client| {
        let plan = client.prepare_mut(query, &[])?;
        work(&mut || Ok(client.update(&plan, None, &[])?.len()))
    })
}

/// As `run_as_client`, for a statement that returns numbers.
pub fn numbers_as_client(statement: &str) -> Result<Vec<i64>> {
    rows_as_client(statement, |row| row.require(1))
}

/// As `run_as_client`, and maps the rows it returns.
pub fn rows_as_client<T>(statement: &str, map: impl Fn(Row<'_>) -> Result<T>) -> Result<Vec<T>> {
    Spi::connect_mut(|client| client.update(statement, None, &[])?.map(|tuple| map(Row(tuple))).collect())
}
