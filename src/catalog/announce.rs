//! Announcing entries of the event log by NOTIFY: their ids, and nothing else, since anybody can listen.

use crate::sys::flag::Flag;
use crate::sys::{notify, xact};
use std::cell::RefCell;

/// The channel on which entries are announced.
const CHANNEL: &str = "tenancy";

thread_local! {
    /// Entries that are announced when the transaction commits, with the depth of the savepoint they were made in.
    static PENDING: RefCell<Vec<(i32, i64)>> = const { RefCell::new(Vec::new()) };
}

const IS_PENDING: Flag = Flag::EntryUnannounced;

/// Called once per backend.
pub fn init() {
    xact::before_commit(IS_PENDING, announce);
    xact::on_end(|_| {
        forget_from(0);
        IS_PENDING.set(false);
    });
    xact::on_rollback_to_savepoint(|| forget_from(xact::nest_level()));
    xact::on_release_of_savepoint(|| {
        if IS_PENDING.get() {
            let outer = xact::nest_level() - 1;
            PENDING.with_borrow_mut(|pending| pending.iter_mut().for_each(|(depth, _)| *depth = outer.min(*depth)));
        }
    });
}

/// Has an entry announced when the transaction commits; not when it is prepared.
pub fn at_commit(id: i64) {
    IS_PENDING.set(true);
    PENDING.with_borrow_mut(|pending| pending.push((xact::nest_level(), id)));
}

/// At commit and not before: a transaction that has notified somebody can't be prepared any more.
fn announce() {
    for (_, id) in PENDING.take() {
        notify::on_commit(CHANNEL, &id.to_string());
    }
}

fn forget_from(depth: i32) {
    if IS_PENDING.get() {
        PENDING.with_borrow_mut(|pending| pending.retain(|(made_at, _)| *made_at < depth));
    }
}
