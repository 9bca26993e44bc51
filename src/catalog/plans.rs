//! `tenancy.plans`.

use super::spi;
use crate::error::Result;
use crate::sys::json::{self, Jsonb};

/// Whether a plan by that name exists.
pub fn exists(name: &str) -> Result<bool> {
    let rows =
        spi::read("SELECT 1 FROM tenancy.plans WHERE name OPERATOR(pg_catalog.=) $1", &[name.into()], |_| Ok(()))?;
    Ok(!rows.is_empty())
}

/// Makes a plan; without settings it has none. Returns false when the name is taken.
pub fn insert(name: &str, settings: Option<&Jsonb>) -> Result<bool> {
    let count = spi::run(
        "INSERT INTO tenancy.plans (name, settings) VALUES ($1, coalesce($2, '{}')) ON CONFLICT DO NOTHING",
        &[name.into(), json::argument(settings)],
    )?;
    Ok(count > 0)
}
