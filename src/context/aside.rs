//! Statements that count as a transaction of their own, within one that goes on afterwards.

use super::{cache, hot, leftovers, pin};
use crate::sys::backend::Raised;
use crate::sys::tally;
use std::cell::RefCell;
use uuid::Uuid;

thread_local! {
    /// The tenants that may be acted for; `None` for any.
    static ADMITTED: RefCell<Option<Vec<Uuid>>> = const { RefCell::new(None) };
}

/// What the transaction has of a context, taken off until this is dropped.
pub struct Aside {
    _pin: pin::Aside,
    _leftovers: Raised<'static>,
    _tally: Raised<'static>,
    admitted: Option<Vec<Uuid>>,
}

/// Lets what follows count as a transaction of its own, which has no tenant yet and leaves none behind; whatever access
/// there is, it acts for no other tenants than these. The settings are left to the caller, who is to have a subtransaction
/// restore them.
pub fn set_aside(tenants: &[Uuid]) -> Aside {
    hot::forget();
    Aside {
        _pin: pin::set_aside(),
        _leftovers: leftovers::set_aside(),
        _tally: tally::set_aside(),
        admitted: ADMITTED.replace(Some(tenants.to_vec())),
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        ADMITTED.set(self.admitted.take());
        // Tenants and accesses that were made meanwhile may be gone.
        cache::discard();
    }
}

/// Whether the tenant is among those that may be acted for now.
pub fn admits(tenant: Uuid) -> bool {
    ADMITTED.with_borrow(|admitted| admitted.as_ref().is_none_or(|admitted| admitted.contains(&tenant)))
}

/// Whether statements run that count as a transaction of their own.
pub fn is_set() -> bool {
    ADMITTED.with_borrow(Option::is_some)
}
