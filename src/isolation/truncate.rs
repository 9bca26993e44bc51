//! TRUNCATE knows nothing of row security, so a trigger on every protected table asks here.

use super::bypass;
use crate::error::{Error, Result};
use crate::sys::{Oid, role};

/// Whether the current user may truncate a protected table now.
///
/// # Errors
/// 42501 under a tenant, whoever asks, for a role that row security binds, owners included, and for
/// others where that takes a reason.
pub fn check_truncate(table: Option<Oid>, tenant_in_force: bool) -> Result<()> {
    verdict(tenant_in_force, role::bypasses_row_security())?;
    table.map_or(Ok(()), |table| bypass::check(table, role::current()))
}

fn verdict(tenant_in_force: bool, bypasses: bool) -> Result<()> {
    match (tenant_in_force, bypasses) {
        (true, _) => Err(Error::TruncateUnderTenant),
        (false, false) => Err(Error::TruncateWithoutBypass),
        (false, true) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_bypasses_truncates_and_never_under_a_tenant() {
        assert_eq!(verdict(false, true), Ok(()));
        assert_eq!(verdict(true, true), Err(Error::TruncateUnderTenant));
        assert_eq!(verdict(false, false), Err(Error::TruncateWithoutBypass));
        assert_eq!(verdict(true, false), Err(Error::TruncateUnderTenant));
    }
}
