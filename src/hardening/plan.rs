//! The DDL that makes a role what its profile says. Pure: facts in, statements out.

use super::profile::Profile;
use crate::catalog::hardening::{Facts, Held};
use crate::sql::{self, Ident};

/// Kinds of privileges that monitoring needs.
const FOR_MONITORS: [&str; 3] = ["sessions", "sizes", "statistics"];
const MONITORS: &str = "pg_monitor";

/// What is missing. `others` keep what is taken from everybody.
pub fn plan(facts: &Facts, profile: Profile, others: &[Ident]) -> Vec<String> {
    let mut ddl = Vec::new();
    if profile != Profile::None {
        if !facts.attributes.is_empty() {
            ddl.push(sql::alter_role(&facts.ident, &facts.attributes.join(" ")));
        }
        for membership in &facts.memberships {
            ddl.push(sql::revoke_membership(&membership.granted, &membership.member, membership.grantor.as_ref()));
        }
        for same in facts.held.chunk_by(are_taken_together) {
            ddl.extend(taken(same, others));
        }
        for default in &facts.defaults {
            ddl.push(sql::take_default(&default.owner, default.schema.as_ref(), &default.privileges, &default.holder));
        }
    }
    if profile == Profile::Strict {
        // Before the profile: without the library it would mean nothing.
        for preload in &facts.preload {
            ddl.push(sql::set_for_role(
                &preload.role,
                preload.database.as_ref(),
                "session_preload_libraries",
                &preload.libraries,
            ));
        }
    }
    match (&facts.profile, profile) {
        (None, Profile::None) => {}
        (Some(_), Profile::None) => ddl.push(sql::alter_role(&facts.ident, "RESET tenancy.profile")),
        (recorded, profile) if recorded.as_deref() == Some(profile.as_str()) => {}
        (_, profile) => {
            let value = format!("'{}'", profile.as_str());
            ddl.push(sql::set_for_role(&facts.ident, None, "tenancy.profile", &value));
        }
    }
    ddl
}

fn are_taken_together(one: &Held, other: &Held) -> bool {
    let key = |held: &Held| {
        (held.class.clone(), held.kind.clone(), held.privilege.clone(), held.holder.to_string(), held.passed_on)
    };
    key(one) == key(other)
}

/// Privileges that have all but the object in common. What everybody had is given back to those who are no concern
/// of this, but for what nobody should have.
fn taken(held: &[Held], others: &[Ident]) -> Vec<String> {
    let Some(first) = held.first() else { return Vec::new() };
    let objects = held.iter().map(|held| held.object.as_str()).collect::<Vec<_>>().join(", ");
    let mut ddl = vec![sql::take(&first.privilege, first.passed_on, &first.class, &objects, &first.holder)];
    let keeps = |role: &str| role != MONITORS || FOR_MONITORS.contains(&first.kind.as_str());
    let keepers: Vec<String> = others.iter().map(Ident::to_string).filter(|role| keeps(role)).collect();
    let is_nobodys = ["administration", "tables"].contains(&first.kind.as_str());
    if first.holder.to_string() == "PUBLIC" && !is_nobodys && !keepers.is_empty() {
        ddl.push(sql::give(&first.privilege, &first.class, &objects, &keepers.join(", ")));
    }
    ddl
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::hardening::{Membership, Preload};

    fn ident(text: &str) -> Ident {
        Ident::quoted(text.to_owned())
    }

    fn facts() -> Facts {
        Facts {
            ident: ident("app"),
            attributes: Vec::new(),
            profile: None,
            owned: Vec::new(),
            memberships: Vec::new(),
            held: Vec::new(),
            defaults: Vec::new(),
            preload: Vec::new(),
        }
    }

    fn held(kind: &str, object: &str, holder: &str) -> Held {
        Held {
            class: "FUNCTION".into(),
            kind: kind.into(),
            privilege: "EXECUTE".into(),
            object: object.into(),
            holder: ident(holder),
            passed_on: false,
        }
    }

    #[test]
    fn nothing_missing_is_nothing_to_do() {
        for profile in [Profile::Standard, Profile::Strict] {
            let recorded = Facts { profile: Some(profile.as_str().into()), ..facts() };
            assert!(plan(&recorded, profile, &[ident("ops")]).is_empty());
        }
        assert!(plan(&facts(), Profile::None, &[]).is_empty());
    }

    #[test]
    fn what_everybody_had_is_kept_by_those_whom_it_does_not_concern() {
        let facts = Facts {
            profile: Some("standard".into()),
            held: vec![
                held("locks", "f()", "PUBLIC"),
                held("locks", "g()", "PUBLIC"),
                held("locks", "f()", "app"),
                held("sizes", "h()", "PUBLIC"),
                held("administration", "i()", "PUBLIC"),
            ],
            ..facts()
        };
        assert_eq!(
            plan(&facts, Profile::Standard, &[ident("ops"), ident("pg_monitor")]),
            [
                "REVOKE EXECUTE ON FUNCTION f(), g() FROM PUBLIC CASCADE;",
                "GRANT EXECUTE ON FUNCTION f(), g() TO ops;",
                "REVOKE EXECUTE ON FUNCTION f() FROM app CASCADE;",
                "REVOKE EXECUTE ON FUNCTION h() FROM PUBLIC CASCADE;",
                "GRANT EXECUTE ON FUNCTION h() TO ops, pg_monitor;",
                "REVOKE EXECUTE ON FUNCTION i() FROM PUBLIC CASCADE;",
            ]
        );
        assert_eq!(plan(&facts, Profile::Standard, &[]).len(), 4);
    }

    #[test]
    fn the_strict_profile_comes_after_the_library() {
        let preload = Preload { role: ident("app"), database: None, libraries: "'x', 'pg_tenancy'".into() };
        let facts = Facts { preload: vec![preload], ..facts() };
        assert_eq!(
            plan(&facts, Profile::Strict, &[]),
            [
                "ALTER ROLE app SET session_preload_libraries = 'x', 'pg_tenancy';",
                "ALTER ROLE app SET tenancy.profile = 'strict';",
            ]
        );
        assert_eq!(plan(&facts, Profile::Standard, &[]), ["ALTER ROLE app SET tenancy.profile = 'standard';"]);
    }

    #[test]
    fn none_lifts_the_profile_and_nothing_else() {
        let membership = Membership { granted: ident("owner"), member: ident("app"), grantor: None };
        let facts = Facts {
            attributes: vec!["NOSUPERUSER".into(), "NOCREATEDB".into()],
            memberships: vec![membership],
            profile: Some("strict".into()),
            ..facts()
        };
        assert_eq!(plan(&facts, Profile::None, &[]), ["ALTER ROLE app RESET tenancy.profile;"]);
        assert_eq!(
            plan(&facts, Profile::Strict, &[]),
            ["ALTER ROLE app NOSUPERUSER NOCREATEDB;", "REVOKE owner FROM app CASCADE;"]
        );
    }
}
