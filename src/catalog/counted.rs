//! Tables that count for quotas, as DDL has left them. Needs the rights of the extension's owner.

use super::spi;
use crate::error::Result;
use crate::sys::Oid;

/// The triggers of each, as `sql::COUNT_TRIGGERS` has them.
const STATES: &str = "SELECT q.relation, pg_catalog.count(t.oid)::pg_catalog.int4 \
     FROM (SELECT DISTINCT relation::pg_catalog.oid AS relation FROM tenancy.quota_tables) AS q \
     JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) q.relation \
     LEFT JOIN pg_catalog.pg_trigger AS t ON t.tgrelid OPERATOR(pg_catalog.=) q.relation \
       AND t.tgenabled OPERATOR(pg_catalog.=) 'A' AND t.tgqual IS NULL AND t.tgattr OPERATOR(pg_catalog.=) '' \
       AND t.tgfoid OPERATOR(pg_catalog.=) 'tenancy.count_rows()'::pg_catalog.regprocedure \
       AND t.tgname OPERATOR(pg_catalog.=) ANY ('{tenancy_quota_insert,tenancy_quota_update,\
tenancy_quota_delete,tenancy_quota_truncate}'::pg_catalog.name[]) \
     GROUP BY q.relation";

/// What the weight of rows depends on that were there before: the file that they are in, the columns they have, and
/// those that have a value without being stored.
const SHAPES: &str = "SELECT q.relation::pg_catalog.oid, q.resource_id, c.relfilenode, \
            ARRAY(SELECT a.attnum FROM pg_catalog.pg_attribute AS a \
                  WHERE a.attrelid OPERATOR(pg_catalog.=) c.oid AND a.attnum OPERATOR(pg_catalog.>) 0 \
                    AND NOT a.attisdropped), \
            ARRAY(SELECT a.attnum FROM pg_catalog.pg_attribute AS a \
                  WHERE a.attrelid OPERATOR(pg_catalog.=) c.oid AND a.attnum OPERATOR(pg_catalog.>) 0 \
                    AND a.atthasmissing) \
     FROM tenancy.quota_tables AS q \
     JOIN tenancy.resources AS r ON r.id OPERATOR(pg_catalog.=) q.resource_id AND r.kind OPERATOR(pg_catalog.=) 'bytes' \
     JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) q.relation";

/// Parts that count and have a parent past which statements would not be counted as they are: one that does not count, or one
/// that knows less columns of a part whose bytes count than the part has.
const MISFITS: &str = "SELECT q.relation::pg_catalog.oid, i.inhparent, q.resource_id, p.relation IS NULL \
     FROM tenancy.quota_tables AS q \
     JOIN tenancy.resources AS r ON r.id OPERATOR(pg_catalog.=) q.resource_id \
     JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) q.relation \
     JOIN pg_catalog.pg_inherits AS i ON i.inhrelid OPERATOR(pg_catalog.=) c.oid \
     LEFT JOIN tenancy.quota_tables AS p \
       ON p.relation OPERATOR(pg_catalog.=) i.inhparent AND p.resource_id OPERATOR(pg_catalog.=) q.resource_id \
     WHERE p.relation IS NULL \
        OR r.kind OPERATOR(pg_catalog.=) 'bytes' AND NOT c.relispartition \
           AND EXISTS (SELECT FROM pg_catalog.pg_attribute AS a \
                       WHERE a.attrelid OPERATOR(pg_catalog.=) i.inhrelid AND a.attnum OPERATOR(pg_catalog.>) 0 \
                         AND NOT a.attisdropped \
                         AND NOT EXISTS (SELECT FROM pg_catalog.pg_attribute AS o \
                                         WHERE o.attrelid OPERATOR(pg_catalog.=) i.inhparent \
                                           AND o.attname OPERATOR(pg_catalog.=) a.attname AND NOT o.attisdropped)) \
     ORDER BY 1, 2, 3";

/// A part that would not count as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Misfit {
    pub part: Oid,
    pub parent: Oid,
    pub resource: i32,
    /// The parent does not count; otherwise the part has columns of its own.
    pub is_parent_uncounted: bool,
}

fn misfit(row: spi::Row<'_>) -> Result<Misfit> {
    Ok(Misfit {
        part: row.require(1)?,
        parent: row.require(2)?,
        resource: row.require(3)?,
        is_parent_uncounted: row.require(4)?,
    })
}

/// What there is of these now.
pub fn misfits() -> Result<Vec<Misfit>> {
    spi::read_latest(MISFITS, &[], misfit)
}

/// As `states_around`.
pub fn misfits_around() -> Result<Option<(Vec<Misfit>, Vec<Misfit>)>> {
    spi::read_around(MISFITS, &[], misfit)
}

/// A table that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    pub relation: Oid,
    /// How many of its triggers are there and fire always.
    pub triggers: i32,
}

/// A table whose bytes count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    pub relation: Oid,
    pub resource: i32,
    pub file: Oid,
    pub columns: Vec<i16>,
    pub missing: Vec<i16>,
}

impl Shape {
    /// Whether rows that were there may weigh something else than before.
    pub fn weighs_otherwise(&self, before: &Self) -> bool {
        let is_gone = |column: &i16| !self.columns.contains(column);
        let is_new = |column: &i16| !before.columns.contains(column);
        self.file != before.file || before.columns.iter().any(is_gone) || self.missing.iter().any(is_new)
    }
}

/// Before the running statement, and now, others' changes apart; `None` when what was can't be seen any more.
pub fn states_around() -> Result<Option<(Vec<State>, Vec<State>)>> {
    spi::read_around(STATES, &[], |row| Ok(State { relation: row.require(1)?, triggers: row.require(2)? }))
}

/// As `states_around`.
pub fn shapes_around() -> Result<Option<(Vec<Shape>, Vec<Shape>)>> {
    spi::read_around(SHAPES, &[], |row| {
        Ok(Shape {
            relation: row.require(1)?,
            resource: row.require(2)?,
            file: row.require(3)?,
            columns: row.require(4)?,
            missing: row.require(5)?,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(file: u32, columns: &[i16], missing: &[i16]) -> Shape {
        let (columns, missing) = (columns.to_vec(), missing.to_vec());
        Shape { relation: Oid::from(1), resource: 1, file: Oid::from(file), columns, missing }
    }

    #[test]
    fn rows_weigh_otherwise_when_they_are_rewritten_or_gain_or_lose_values() {
        let before = shape(1, &[1, 2], &[2]);
        for (now, otherwise) in [
            (shape(1, &[1, 2], &[2]), false),
            (shape(1, &[1, 2, 3], &[2]), false),
            (shape(1, &[1, 2, 3], &[2, 3]), true),
            (shape(1, &[1], &[]), true),
            (shape(2, &[1, 2], &[]), true),
        ] {
            assert_eq!(now.weighs_otherwise(&before), otherwise, "{now:?}");
        }
    }
}
