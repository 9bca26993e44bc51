//! Quotas: how much of a resource a tenant uses, and that it is never more than the limit. May import `catalog` and below.
//!
//! # Why it is exact
//!
//! What a tenant uses of a resource is kept in *slots*, rows of `tenancy.quota_slots` with two numbers: `used`, what was
//! taken from the slot less what was given back to it, and `share`, how much may be taken. Whoever takes an amount adds
//! it to `used` of one or several slots, and may do so where `used + amount <= share`. So, at any time and in any state
//! that somebody can see:
//!
//! 1. The sum of `used` is what the tenant uses: a statement changes rows and slots in one (sub)transaction, which is
//!    there as a whole or not at all, after a crash, on a standby and in a prepared transaction too.
//! 2. The sum of `share` is the limit, so the sum of `share - used` is what is left. Only `settle` and a `decide` that
//!    gives the warning change it, and both hold every slot while they do.
//! 3. No slot has `used > share`, and so the sum of `used` is at most the limit; but for a limit that was set lower than
//!    what is used by then. In that case there is but one slot (`settle` removes the others, and `widen` makes no new
//!    one beside it), so that nobody finds credit in another before the debt is paid.
//!
//! A slot belongs to the transaction that has changed it, until that ends; others take another one (`take`, first part).
//! So sessions don't wait for each other while there is credit in a slot that is free. Where there is none, `decide`
//! locks all of them, and refuses only when it holds every slot that is committed and the credit in them does not
//! suffice: at that moment nobody could have had it. When some are locked by others it lets go of what it has (a
//! subtransaction is rolled back), waits for one of those, and looks again: who waits holds nothing for it, so that those
//! who decide never wait in a circle.
//!
//! Slots are read in their latest committed version and not as of the transaction's snapshot (see `sys::slots`), so
//! transactions that count fail no more often for it, but for serializable ones that have to look at all slots. Slots become more only when half of them are
//! found locked, up to `MAX_SLOTS`.
//!
//! # Rates and sessions
//!
//! They are no matter of transactions: what was called was called, whatever becomes of it. They are kept in memory that all
//! sessions share (`bucket` decides, `sys::rates` and `sys::seats` keep), and begin anew with the server.

mod allot;
mod bucket;
mod count;
mod counters;
mod escrow;
mod guard;
mod limits;
mod locks;
mod meter;
mod rates;
mod recount;
mod sessions;
mod statements;
mod tables;
mod warning;

pub use count::rows_written;
pub use counters::{check, consume, release};
pub use guard::after_command;
pub use limits::{Wanted, create_resource, limits_changed, plan_changed, resources_changed, set_plan_quota, set_quota};
pub use meter::meter;
pub use rates::{tracking, usage_in_memory};
pub use recount::recount;
pub use sessions::{enter, leave};
pub use tables::{attach, detach, take_in_parts};

use crate::catalog::{bounds, quotas};
use crate::error::Result;
use crate::sys::{hooks, invalidation, seats};
use uuid::Uuid;

/// Connects the quotas to PostgreSQL, once the settings are defined; `acting` tells for which tenant, authorised, the
/// session acts. Called once per backend.
pub fn init(acting: fn() -> Result<Option<Uuid>>) {
    locks::init();
    rates::init();
    seats::init();
    statements::init(acting);
    invalidation::on_relation(|relation| {
        quotas::relation_changed(relation);
        bounds::relation_changed(relation);
        count::relation_changed(relation);
    });
    hooks::watch_dropping(tables::forget_if_counted);
}
