//! Hardening one role, and finding those that are not what their profile says.

use super::plan::plan;
use super::profile::Profile;
use crate::catalog::event::{self, Event};
use crate::catalog::registry::as_owner;
use crate::catalog::{admin, hardening};
use crate::error::{Error, Result};
use crate::sql;
use crate::sys::role;
use serde_json::json;

/// The most objects that an error names.
const MAX_NAMED: usize = 20;

/// Makes a role what its profile says. Returns the DDL it ran, or would run.
///
/// # Errors
/// 42704 unknown role; 22023 for a role that can't be hardened; 55000 when it owns something; 42501 when the caller
/// is no superuser, unless for a dry run.
pub fn harden_role(name: &str, profile: Profile, dry_run: bool) -> Result<Vec<String>> {
    if !dry_run && !role::is_superuser(role::current()) {
        return Err(Error::NeedsSuperuser("tenancy.harden_role()"));
    }
    let role = role::oid(name).ok_or_else(|| Error::UnknownRole(name.to_owned()))?;
    let unfit = if name.starts_with("pg_") {
        Some("it is a predefined role")
    } else if role == role::FIRST_SUPERUSER {
        Some("it is the first superuser, who can't be made less")
    } else if [role::current(), role::session(), role::login()].contains(&role) {
        Some("it is the role that runs this")
    } else {
        None
    };
    if let Some(reason) = unfit {
        return Err(Error::InvalidArgument { what: "role", reason: reason.into() });
    }
    if !dry_run {
        // PostgreSQL fails when two sessions change the privileges of one function at once.
        admin::lock()?;
    }
    let (facts, others) = as_owner(|| Ok((hardening::facts(&[role])?, hardening::others(&[role])?)))?;
    let facts = facts.get(&role.to_u32()).ok_or_else(|| Error::UnknownRole(name.to_owned()))?;
    if profile != Profile::None && !facts.owned.is_empty() {
        return Err(Error::OwnsObjects { role: name.to_owned(), objects: named(&facts.owned) });
    }
    let ddl = plan(facts, profile, &others);
    if dry_run || ddl.is_empty() {
        return Ok(ddl);
    }
    for statement in &ddl {
        admin::execute(statement)?;
    }
    hardening::announce_change();
    let detail = json!({ "profile": profile.as_str(), "ddl": ddl });
    as_owner(|| {
        event::write(Event {
            event: "role.hardened",
            object: Some(name.to_owned()),
            detail: Some(detail),
            ..Event::default()
        })
    })?;
    Ok(ddl)
}

fn named(objects: &[String]) -> String {
    let mut text = objects.iter().take(MAX_NAMED).cloned().collect::<Vec<_>>().join(", ");
    if objects.len() > MAX_NAMED {
        text.push_str(&format!(" and {} more", objects.len() - MAX_NAMED));
    }
    text
}

/// A role that is not, or no longer, what its profile says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// As SQL needs it.
    pub role: String,
    /// The call that makes it so, where one can.
    pub remedy: Option<String>,
}

/// Roles that act for tenants here, and have more rights or less of a guard than their profile says. Needs the rights of the extension's owner.
pub fn drift() -> Result<Vec<Drift>> {
    let recorded = hardening::recorded()?;
    if recorded.is_empty() {
        return Ok(Vec::new());
    }
    let roles: Vec<_> = recorded.iter().map(|(role, _)| *role).collect();
    let all = hardening::facts(&roles)?;
    let mut drifted = Vec::new();
    for (role, name) in recorded {
        let Some(facts) = all.get(&role.to_u32()) else { continue };
        let Ok(profile) = Profile::parse(facts.profile.as_deref().unwrap_or("none")) else { continue };
        let owns = profile != Profile::None && !facts.owned.is_empty();
        if owns || !plan(facts, profile, &[]).is_empty() {
            let remedy = (!owns).then(|| sql::harden_role(&name, profile.as_str()));
            drifted.push(Drift { role: facts.ident.to_string(), remedy });
        }
    }
    Ok(drifted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_is_cut() {
        let objects: Vec<String> = (0..22).map(|n| n.to_string()).collect();
        assert!(named(&objects).ends_with("19 and 2 more"));
        assert_eq!(named(&objects[..2]), "0, 1");
    }
}
