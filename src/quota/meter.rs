//! Metering: what tenants have used, by the hour.
//!
//! Each slot says besides `used` what was ever taken from it, and how both stood when the hour began that it was last
//! changed in. So who changes it only writes numbers into a row that he writes anyway, and how much was used when an
//! hour ended can still be read exactly in the next one.

use super::locks;
use crate::catalog::usage;
use crate::error::Result;
use crate::guc;

/// Writes down what every tenant uses of every resource, for the hour that has ended and the one that runs, and removes
/// what is kept no longer. Returns how many rows that changed. Called as the extension's owner.
pub fn meter() -> Result<usize> {
    // Whoever waits sees what the other has written.
    locks::history()?;
    let written = usage::meter()?;
    usage::expire(guc::keep_usage_history())?;
    Ok(written)
}
