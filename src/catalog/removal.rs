//! Removing rows of tenants, as the owners of their tables.

use super::spi;
use super::tenant_rows::{Table, check_owner_of_parts, check_unchanged};
use crate::error::{Lifecycle, Result};
use crate::sys::memory::Memory;
use crate::sys::{Oid, foreign, lock, relation, role};

/// How many rows one statement removes at most: so many events are kept in memory for the triggers that follow it.
const BATCH: usize = 10_000;

/// Has everything done that the session has left for the end of the transaction, as whoever would do it then: code that he
/// left there must not run as the owner of a table. From here on nothing is left for the end.
pub fn run_deferred() -> Result<()> {
    role::acting_as(role::outer(), || spi::run_as_client("SET CONSTRAINTS ALL IMMEDIATE", None, 0)).map(|_| ())
}

/// Removes rows of a table that no other row of it refers to, batch by batch, from each of its parts as the part's owner.
/// Returns how many.
pub fn delete_in_batches(table: &Table, predicate: &str) -> Result<i64> {
    check_unchanged(table.oid, &table.ident.to_string(), table.owner)?;
    let query = format!("SELECT tableoid, ctid::pg_catalog.text FROM {} WHERE {predicate}", table.ident);
    let mut removed = 0;
    let mut batch =
        Batch { part: table.oid, places: Vec::new(), memory: Memory::for_session(c"tenancy rows to be removed") };
    foreign::on_the_table_of(table.owner, || {
        spi::for_each(
            &query,
            |row| Ok((row.require(1)?, row.require(2)?)),
            |(part, place): (Oid, String)| {
                if part != batch.part || batch.places.len() >= BATCH {
                    removed += batch.remove(predicate)?;
                    batch.part = part;
                }
                batch.places.push(place);
                Ok(())
            },
        )
    })?;
    Ok(removed + batch.remove(predicate)?)
}

/// Places of rows in one table.
struct Batch {
    part: Oid,
    places: Vec<String>,
    /// For what removing them takes, which would otherwise be there until all is done.
    memory: Memory,
}

impl Batch {
    /// Removes what is still there and still the tenant's, and forgets the places.
    fn remove(&mut self, predicate: &str) -> Result<i64> {
        let places = std::mem::take(&mut self.places);
        if places.is_empty() {
            return Ok(0);
        }
        let removed = self.memory.within(|| remove(self.part, places, predicate));
        self.memory.reset();
        removed
    }
}

fn remove(part: Oid, places: Vec<String>, predicate: &str) -> Result<i64> {
    lock::against_removal(part);
    let gone = || Lifecycle::TableChanged(part.to_u32().to_string());
    let name = relation::name(part).ok_or_else(gone)?;
    // The planner must not know how many places there are, nor see that an index would find the tenant's rows: it would
    // look at all of them again for each batch.
    let statement = format!(
        "DELETE FROM ONLY {name} \
         WHERE ctid OPERATOR(pg_catalog.=) ANY (ARRAY( \
                   SELECT p.place::pg_catalog.tid FROM pg_catalog.unnest($1) AS p(place))) \
           AND ({predicate}) IS TRUE"
    );
    let count = foreign::on_the_table_of(relation::brief(part)?.owner, || spi::run(&statement, &[places.into()]))?;
    Ok(i64::try_from(count).unwrap_or(i64::MAX))
}

/// Removes rows of tables of one owner, as this owner, in one statement, so that they may refer to each other. Returns
/// how many rows of each.
pub fn delete_together(tables: &[(&Table, &str)]) -> Result<Vec<i64>> {
    let Some((first, _)) = tables.first() else { return Ok(Vec::new()) };
    for (table, _) in tables {
        check_unchanged(table.oid, &table.ident.to_string(), table.owner)?;
        check_owner_of_parts(table, first.owner)?;
    }
    let parts = tables.iter().enumerate().map(|(n, (table, predicate))| {
        format!("removed_{n} AS (DELETE FROM {} WHERE {predicate} RETURNING 1)", table.ident)
    });
    let counts = (0..tables.len()).map(|n| format!("(SELECT pg_catalog.count(*) FROM removed_{n})"));
    let statement = format!(
        "WITH {} SELECT ARRAY[{}]",
        parts.collect::<Vec<_>>().join(", "),
        counts.collect::<Vec<_>>().join(", ")
    );
    foreign::on_the_table_of(first.owner, || {
        let counts = spi::write(&statement, &[], |row| row.require::<Vec<i64>>(1))?;
        Ok(counts.into_iter().next().unwrap_or_default())
    })
}
