//! `tenancy.usage_history`. Needs the rights of the extension's owner, and the search path `pg_catalog`.

use super::spi;
use crate::error::Result;

const METER: &str = include_str!("../../sql/queries/quota/meter.sql");
const EXPIRE: &str = include_str!("../../sql/queries/quota/expire.sql");

/// Writes down what tenants use by now. Returns how many rows that changed.
pub fn meter() -> Result<usize> {
    spi::run(METER, &[])
}

/// Removes what is older than so many seconds.
pub fn expire(keep: i32) -> Result<()> {
    spi::run(EXPIRE, &[f64::from(keep).into()])?;
    Ok(())
}
