//! `tenancy.plans`.

use super::spi;
use crate::error::Result;
use pgrx::JsonB;

/// Whether a plan by that name exists.
pub fn exists(name: &str) -> Result<bool> {
    let rows =
        spi::read("SELECT 1 FROM tenancy.plans WHERE name OPERATOR(pg_catalog.=) $1", &[name.into()], |_| Ok(()))?;
    Ok(!rows.is_empty())
}

/// Makes a plan. Returns false when the name is taken.
pub fn insert(name: &str, settings: JsonB) -> Result<bool> {
    let count = spi::run(
        "INSERT INTO tenancy.plans (name, settings) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        &[name.into(), settings.into()],
    )?;
    Ok(count > 0)
}
