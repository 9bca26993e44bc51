//! The relations that the running transaction has changed, as far as they are of interest to the DDL guard. PostgreSQL
//! itself announces them, to keep its caches: every change of a relation's rows in the catalogs, of its columns,
//! policies, triggers and rules, whatever the command says of itself. Others' changes may be among them.

use super::spi;
use crate::error::Result;
use crate::sys::flag::Unsettled;
use crate::sys::{INVALID_OID, Oid, xact};
use std::cell::RefCell;
use std::collections::HashSet;

/// Relations that are kept; when there are more, all count as changed.
const CAPACITY: usize = 1_000;

#[derive(Default)]
struct Changed {
    relations: HashSet<Oid>,
    /// Not all of them are known.
    any: bool,
}

/// Whether any is kept; apart, because it is asked at the end of each transaction.
static HAS_CHANGES: Unsettled<bool> = Unsettled::new(false);

thread_local! {
    static CHANGED: RefCell<Changed> = RefCell::default();
}

/// A library that is loaded into a running transaction has not heard what came before.
pub fn init() {
    HAS_CHANGES.set(true);
    CHANGED.with_borrow_mut(|changed| changed.any = xact::in_transaction());
}

/// Takes note of a relation; an invalid OID stands for all. Can't fail.
pub fn relation_changed(relation: Oid) {
    HAS_CHANGES.set(true);
    CHANGED.with_borrow_mut(|changed| {
        if changed.any {
            return;
        }
        changed.relations.insert(relation);
        if relation == INVALID_OID || changed.relations.len() > CAPACITY {
            *changed = Changed { relations: HashSet::new(), any: true };
        }
    });
}

/// The top-level transaction has ended. Can't fail.
pub fn transaction_ended() {
    if HAS_CHANGES.reset(false) {
        CHANGED.with_borrow_mut(|changed| {
            changed.any = false;
            changed.relations.clear();
        });
    }
}

/// What has changed since the transaction began; `None` when that may be anything.
pub fn relations() -> Option<Vec<Oid>> {
    CHANGED.with_borrow(|changed| (!changed.any).then(|| changed.relations.iter().copied().collect()))
}

/// Those of `relations` that are the table or inherit from it, at whatever depth.
pub fn within(table: Oid, relations: &[Oid]) -> Result<Vec<Oid>> {
    const WITHIN: &str = include_str!("../../sql/queries/guard_within.sql");
    spi::read_latest(WITHIN, &[table.into(), relations.to_vec().into()], |row| row.require(1))
}
