//! REASSIGN OWNED, of which no event trigger hears: a protected table must not become an application role's.

use super::guard::{acts_for_tenants, is_off, refuse};
use crate::catalog::guard;
use crate::catalog::registry::as_owner;
use crate::error::Result;
use crate::sys::{Oid, role};

/// Before what `owners` own becomes that of `to`: refuses it when it makes a protected table weaker. Who has not the
/// privileges of all of them is told by PostgreSQL, and learns nothing here.
///
/// # Errors
/// 42501 when `to` acts for tenants.
pub fn check(owners: &[Oid], to: Oid) -> Result<()> {
    let caller = role::current();
    if !owners.iter().chain([&to]).all(|of| role::has_privileges_of(caller, *of)) {
        return Ok(());
    }
    // In a database without the extension there is nothing to guard.
    if is_off() || !guard::is_needed().unwrap_or(false) {
        return Ok(());
    }
    let Some(table) = as_owner(|| guard::first_owned(owners, to))? else { return Ok(()) };
    refuse(table, acts_for_tenants(&to.to_u32().to_string())?.into_iter().collect())
}
