//! The audit log: recording what statements change (`record`), having tables recorded (`manage`), and
//! sealing what was recorded (`seal`, `chain`), and undoing it (`revert`, `rows`, `owned`).
//! May import `catalog` and below.

mod chain;
mod manage;
mod owned;
mod record;
mod revert;
mod rows;
mod seal;

pub use crate::catalog::audited::Config;
pub use crate::sys::rowhash::row_hash;
pub use manage::{after_command, audit, check_log, maintain, unaudit};
pub use record::{Asks, changed, init};
pub use revert::revert;
pub use seal::{retain, seal, verify};
