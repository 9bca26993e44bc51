//! The default tenant that ALTER ROLE or ALTER DATABASE has given since the session began. PostgreSQL hands it to
//! sessions to come alone; one that goes on without any tenant would find no rows once its tables are protected.

use crate::guc;
use crate::sys::{INVALID_OID, option, role, xact};
use std::cell::RefCell;

thread_local! {
    /// As looked up in this transaction.
    static GIVEN: RefCell<Option<String>> = RefCell::default();
}

/// Looks it up, once in a transaction, if it counts: nothing else names a tenant, and nobody has set the default in this
/// session.
pub fn look_up() {
    if GIVEN.with_borrow(Option::is_some) || !guc::tenant().is_empty() || !xact::in_transaction() {
        return;
    }
    let found = if option::origin(guc::DEFAULT_TENANT).default {
        // The role's own come before those of the database, as where a session begins.
        [role::session(), INVALID_OID].into_iter().find_map(|role| last(&role::settings(role)))
    } else {
        None
    };
    GIVEN.set(Some(found.unwrap_or_default()));
}

/// What was looked up in this transaction; empty for none.
pub fn default_tenant() -> String {
    GIVEN.with_borrow(|given| given.clone().unwrap_or_default())
}

/// Forgets what was looked up: the transaction has ended, or a setting changed. Can't fail.
pub fn forget() {
    GIVEN.set(None);
}

/// The value in the last of the settings that names the default.
fn last(settings: &[String]) -> Option<String> {
    let value = |setting: &String| {
        let (name, value) = setting.split_once('=')?;
        let ours = guc::DEFAULT_TENANT.to_str().is_ok_and(|ours| ours.eq_ignore_ascii_case(name));
        ours.then(|| value.to_owned())
    };
    settings.iter().rev().find_map(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_setting_of_that_name_counts() {
        let settings =
            ["work_mem=1MB", "tenancy.default_tenant=a", "Tenancy.Default_Tenant=b=c", "tenancy.tenant_id=d"];
        assert_eq!(last(&settings.map(str::to_owned)), Some("b=c".into()));
        assert_eq!(last(&["work_mem=1MB".to_owned()]), None);
    }
}
