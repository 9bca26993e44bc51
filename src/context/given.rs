//! The default tenant that ALTER ROLE or ALTER DATABASE has given since the session began. PostgreSQL hands it to
//! sessions to come alone; one that goes on without any tenant would find no rows once its tables are protected.
//!
//! Such a session takes it as if it began now, once and for all. Who may give it is PostgreSQL's to say: whoever may set
//! `tenancy.default_tenant`, and that is no role by itself.

use super::{claims, seal};
use crate::guc;
use crate::sys::flag::Unsettled;
use crate::sys::{INVALID_OID, option, role, xact};

/// Whether this transaction has looked.
static LOOKED: Unsettled<bool> = Unsettled::new(false);

/// Takes it if it counts: nothing else names a tenant, and nobody has set the default in this session. Looks once in a
/// transaction. Workers have what their leader has.
pub fn look_up() {
    if LOOKED.get()
        || !guc::tenant().is_empty()
        || guc::has_token()
        || seal::is_on()
        || !guc::default_tenant().is_empty()
        || !xact::in_transaction()
        || xact::in_parallel_mode()
        || claims::in_force().is_some()
    {
        return;
    }
    LOOKED.set(true);
    if !option::origin(guc::DEFAULT_TENANT).default {
        return;
    }
    // Those of the role that logged in come before those of the database, as where a session begins.
    if let Some(given) = [role::login(), INVALID_OID].into_iter().find_map(|role| last(&role::settings(role))) {
        option::take_given(guc::DEFAULT_TENANT, &given);
    }
}

/// The transaction has ended. Can't fail.
pub fn transaction_ended() {
    LOOKED.reset(false);
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
