//! Watching: what is done for each tenant, and whether the extension is well. May import `catalog`, `guc` and what is below.

mod health;
mod stats;

pub use health::examine;
pub use stats::{reset, sees_all, tenants, tracking};

use crate::guc;
use crate::sys::tally;

/// Asks for shared memory. Called once per backend.
pub fn init() {
    tally::init(guc::max_tracked_tenants());
}
