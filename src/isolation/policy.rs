//! The policies of each kind of table.
//!
//! Every command has a permissive policy and a restrictive one with the same predicate. PostgreSQL
//! collapses equal quals, so the restrictive floor is free on reads, and a permissive policy that
//! somebody adds later can't widen what a tenant reaches. The permissive one bears the whole
//! predicate too, for tools that rebuild policies and lose AS RESTRICTIVE.

use super::kind::Kind;
use crate::catalog::relations::{Column, Family};
use crate::sql::Command;

/// A predicate as it is written, and as PostgreSQL prints it back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Predicate {
    pub written: String,
    pub printed: String,
}

/// A policy that a table should have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub name: &'static str,
    pub permissive: bool,
    pub command: Command,
    pub using: Option<Predicate>,
    pub check: Option<Predicate>,
}

/// Every name that a policy of ours can have, whatever the kind.
pub const NAMES: [&str; 11] = [
    CLOSED,
    "tenant_isolation",
    "tenant_isolation_delete",
    "tenant_isolation_insert",
    "tenant_isolation_shared",
    "tenant_isolation_update",
    "tenant_isolation_floor",
    "tenant_isolation_floor_delete",
    "tenant_isolation_floor_insert",
    "tenant_isolation_floor_select",
    "tenant_isolation_floor_update",
];

/// What a table keeps when the extension is dropped and policies of others stay, which the floor has bounded: it lets nobody
/// see or write anything, until the table is protected again.
pub const CLOSED: &str = "tenant_isolation_closed";

/// The function that gives the context in the column's terms.
pub fn context_function(family: Family) -> &'static str {
    match family {
        Family::Id => "tenancy.current_tenant()",
        Family::Key => "tenancy.current_key()",
        Family::Number => "tenancy.current_key_int()",
    }
}

/// The row belongs to the tenant in force.
fn own(column: &Column, family: Family) -> Predicate {
    let (ident, function) = (&column.ident, context_function(family));
    let printed = match &column.coerced_to {
        Some(target) => format!("(({ident})::{target} = {function})"),
        None => format!("({ident} = {function})"),
    };
    Predicate { written: format!("{ident} OPERATOR(pg_catalog.=) {function}"), printed }
}

/// The row belongs to the tenant in force, or to one below it.
fn own_or_below(column: &Column, family: Family) -> Predicate {
    let (ident, function) = (&column.ident, family.visible_function());
    let printed = match &column.coerced_to {
        Some(target) => format!("(({ident})::{target} = ANY ({function}))"),
        None => format!("({ident} = ANY ({function}))"),
    };
    Predicate { written: format!("{ident} OPERATOR(pg_catalog.=) ANY ({function})"), printed }
}

/// The row belongs to nobody, and some tenant is in force.
fn ownerless(column: &Column) -> Predicate {
    let ident = &column.ident;
    let text = format!("{ident} IS NULL AND tenancy.current_tenant() IS NOT NULL");
    Predicate { printed: format!("(({ident} IS NULL) AND (tenancy.current_tenant() IS NOT NULL))"), written: text }
}

fn either(a: &Predicate, b: &Predicate) -> Predicate {
    Predicate {
        written: format!("({}) OR {}", a.written, b.written),
        printed: format!("({} OR {})", a.printed, b.printed),
    }
}

fn never() -> Predicate {
    Predicate { written: "false".into(), printed: "false".into() }
}

/// The policies of a table, floors first: created in this order, no moment is without one.
pub fn wanted(kind: Kind, column: &Column, family: Family) -> Vec<Wanted> {
    use Command::{All, Delete, Insert, Select, Update};
    let own = own(column, family);
    let policy = |name, permissive, command, using: Option<&Predicate>, check: Option<&Predicate>| Wanted {
        name,
        permissive,
        command,
        using: using.cloned(),
        check: check.cloned(),
    };
    let e = Some(&own);
    match kind {
        Kind::Global => Vec::new(),
        Kind::Tenant => {
            vec![policy("tenant_isolation_floor", false, All, e, e), policy("tenant_isolation", true, All, e, e)]
        }
        Kind::Shared => {
            let ownerless = ownerless(column);
            // PostgreSQL joins permissive policies in reverse order of their names; only in the same
            // order do the two sides collapse.
            let readable = either(&ownerless, &own);
            vec![
                policy("tenant_isolation_floor_select", false, Select, Some(&readable), None),
                policy("tenant_isolation_floor_insert", false, Insert, None, e),
                policy("tenant_isolation_floor_update", false, Update, e, e),
                policy("tenant_isolation_floor_delete", false, Delete, e, None),
                policy("tenant_isolation", true, All, e, e),
                policy("tenant_isolation_shared", true, Select, Some(&ownerless), None),
            ]
        }
        Kind::AppendOnly => {
            let never = never();
            vec![
                policy("tenant_isolation_floor_select", false, Select, e, None),
                policy("tenant_isolation_floor_insert", false, Insert, None, e),
                policy("tenant_isolation_floor_update", false, Update, Some(&never), None),
                policy("tenant_isolation_floor_delete", false, Delete, Some(&never), None),
                policy("tenant_isolation", true, Select, e, None),
                policy("tenant_isolation_insert", true, Insert, None, e),
            ]
        }
        Kind::Tree => {
            let readable = own_or_below(column, family);
            let r = Some(&readable);
            vec![
                policy("tenant_isolation_floor_select", false, Select, r, None),
                policy("tenant_isolation_floor_insert", false, Insert, None, e),
                policy("tenant_isolation_floor_update", false, Update, e, e),
                policy("tenant_isolation_floor_delete", false, Delete, e, None),
                policy("tenant_isolation", true, Select, r, None),
                policy("tenant_isolation_insert", true, Insert, None, e),
                policy("tenant_isolation_update", true, Update, e, e),
                policy("tenant_isolation_delete", true, Delete, e, None),
            ]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::Ident;

    pub fn column(ident: &str, family: Family) -> Column {
        Column {
            ident: Ident::quoted(ident.into()),
            type_name: String::new(),
            family: Some(family),
            coerced_to: None,
            deterministic: true,
            not_null: true,
            in_primary_key: false,
            computed: false,
            default: Some(context_function(family).into()),
            leads_index: true,
            references_tenants: false,
            statistics_target: None,
        }
    }

    #[test]
    fn every_command_has_a_floor_and_every_permissive_policy_bears_a_predicate() {
        for kind in [Kind::Tenant, Kind::Shared, Kind::AppendOnly, Kind::Tree] {
            let policies = wanted(kind, &column("tenant_id", Family::Id), Family::Id);
            for command in [Command::Select, Command::Insert, Command::Update, Command::Delete] {
                let covers = |p: &&Wanted| p.command == Command::All || p.command == command;
                assert!(policies.iter().filter(covers).any(|p| !p.permissive), "{kind:?} has no floor for {command:?}");
            }
            for policy in &policies {
                assert!(policy.using.is_some() || policy.check.is_some(), "{policy:?}");
                assert!(NAMES.contains(&policy.name), "{policy:?}");
            }
        }
    }

    #[test]
    fn operators_are_written_with_their_schema() {
        for kind in [Kind::Shared, Kind::Tree] {
            for policy in wanted(kind, &column("\"T\"", Family::Key), Family::Key) {
                for predicate in [policy.using, policy.check].into_iter().flatten() {
                    assert!(!predicate.written.contains(" = "), "{}", predicate.written);
                }
            }
        }
    }

    #[test]
    fn only_reading_reaches_below() {
        for policy in wanted(Kind::Tree, &column("tenant_id", Family::Number), Family::Number) {
            for predicate in [policy.using, policy.check].into_iter().flatten() {
                assert_eq!(predicate.written.contains("visible"), policy.command == Command::Select, "{}", policy.name);
            }
        }
    }

    #[test]
    fn a_global_table_has_no_policies() {
        assert!(wanted(Kind::Global, &column("a", Family::Id), Family::Id).is_empty());
    }
}
