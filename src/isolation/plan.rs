//! From the state found to the state wanted, as DDL. Pure.
//!
//! Each statement leaves the table no more open than it was, so that the list can also be run by
//! hand, one by one: policies are made before they replace others, and before row security is on.

use super::kind::Kind;
use super::policy::{self, Wanted, context_function};
use crate::catalog::relations::{self, Column, Family, Policy, Relation, TruncateGuard};
use crate::error::{Error, Result};
use crate::sql;
use crate::sys::Oid;
use std::collections::HashMap;

/// What a table is to become.
#[derive(Debug, Clone, Copy)]
pub struct Goal<'a> {
    pub kind: Kind,
    pub column_name: &'a str,
    pub create_index: bool,
    pub reference_tenants: bool,
    /// For the tenant column; `None` leaves statistics as they are.
    pub statistics_target: Option<i32>,
}

/// The part of a table that has to change before it is analysed again, where statistics are to be kept up. A tenant that
/// the statistics don't know yet is taken for a small one, and PostgreSQL's 0.1 is many tenants large.
const ANALYZE_SCALE_FACTOR: f64 = 0.01;

/// What ALTER TABLE on a parent does to its children as well.
#[derive(Debug, Clone, Copy, Default)]
struct Inherited {
    default: bool,
    null: bool,
    index: bool,
    reference: bool,
    statistics: bool,
}

/// What of a table's protection a statement makes or mends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    Default,
    NotNull,
    /// The column of a shared table takes NULL.
    Nullable,
    Policy(String),
    RowSecurity,
    Forced,
    /// Privileges that lead round row security, and so must not be there.
    Grants,
    TruncateGuard,
    Index,
    Reference,
    Statistics,
}

/// One statement of a plan, and what it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub part: Part,
    pub ddl: String,
}

/// The DDL that protects a table and all that inherits from it. Empty when nothing is missing.
///
/// # Errors
/// 42809, 0A000 for relations that can't be protected, 42703 and 42804 for unsuitable columns.
pub fn protect(tree: &[Relation], goal: Goal<'_>) -> Result<Vec<String>> {
    let mut done: HashMap<Oid, Inherited> = HashMap::new();
    let mut ddl = Vec::new();
    for relation in tree {
        check_relation(relation)?;
        let (column, family) = suitable_column(relation, goal.column_name)?;
        let above = relation.parent.and_then(|parent| done.get(&parent)).copied();
        let mut steps = Vec::new();
        let emitted = converge(relation, column, family, goal, above.unwrap_or_default(), &mut steps)?;
        ddl.extend(steps.into_iter().map(|step| step.ddl));
        done.insert(relation.oid, emitted);
    }
    Ok(ddl)
}

/// What one table lacks, whatever its parent has.
///
/// # Errors
/// As for `protect`.
pub fn missing(relation: &Relation, goal: Goal<'_>) -> Result<Vec<Part>> {
    let (column, family) = suitable_column(relation, goal.column_name)?;
    let mut steps = Vec::new();
    converge(relation, column, family, goal, Inherited::default(), &mut steps)?;
    Ok(steps.into_iter().map(|step| step.part).collect())
}

/// Whether a table's policies, or the trigger beside them, are not as its kind wants. A table that can't be
/// protected at all has none to compare.
pub fn has_drifted(relation: &Relation, kind: Kind) -> bool {
    match &relation.column {
        Some(column) => {
            let differ = |family| !policies(relation, &policy::wanted(kind, column, family)).is_empty();
            column.family.is_some_and(|family| differ(family) || relation.truncate_guard != TruncateGuard::Always)
        }
        None => false,
    }
}

/// The DDL that takes protection from a table and all that inherits from it.
pub fn unprotect(tree: &[Relation]) -> Vec<String> {
    let mut ddl = Vec::new();
    for relation in tree {
        let others = relation.policies.iter().any(|policy| !is_ours(policy));
        if !others {
            if relation.forced {
                ddl.push(sql::alter_table(&relation.ident, "NO FORCE ROW LEVEL SECURITY"));
            }
            if relation.row_security {
                ddl.push(sql::alter_table(&relation.ident, "DISABLE ROW LEVEL SECURITY"));
            }
        }
        for policy in relation.policies.iter().filter(|policy| is_ours(policy)) {
            ddl.push(sql::drop_policy(&policy.name, &relation.ident));
        }
        if relation.truncate_guard != TruncateGuard::Missing {
            ddl.push(sql::drop_truncate_guard(&relation.ident));
        }
        if let Some(column) = &relation.column
            && has_context_default(column)
        {
            ddl.push(sql::alter_column(&relation.ident, &column.ident, "DROP DEFAULT"));
        }
    }
    ddl
}

/// The DDL that gives back the defaults which ALTER TABLE on a parent takes from children that stay protected.
pub fn keep_defaults(children: &[Relation]) -> Vec<String> {
    children
        .iter()
        .filter_map(|relation| {
            let column = relation.column.as_ref().filter(|column| has_context_default(column))?;
            let action = format!("SET DEFAULT {}", column.default.as_deref()?);
            Some(sql::alter_column(&relation.ident, &column.ident, &action))
        })
        .collect()
}

/// The DDL that gives up a former tenant column: a default from the context would go on stamping it.
pub fn release_column(tree: &[Relation]) -> Vec<String> {
    tree.iter()
        .filter_map(|relation| {
            let column = relation.column.as_ref().filter(|column| has_context_default(column))?;
            Some(sql::alter_column(&relation.ident, &column.ident, "DROP DEFAULT"))
        })
        .collect()
}

fn is_ours(policy: &Policy) -> bool {
    policy::NAMES.contains(&policy.name.as_str())
}

fn has_context_default(column: &Column) -> bool {
    let functions = [Family::Id, Family::Key, Family::Number].map(context_function);
    column.default.as_deref().is_some_and(|default| functions.contains(&default))
}

fn check_relation(relation: &Relation) -> Result<()> {
    if relation.temporary {
        return Err(Error::UnsupportedRelation { object: relation.ident.to_string(), reason: "it is temporary" });
    }
    relations::check_kind(relation.kind, &relation.ident.to_string())
}

fn suitable_column<'a>(relation: &'a Relation, name: &str) -> Result<(&'a Column, Family)> {
    let column = relation
        .column
        .as_ref()
        .ok_or_else(|| Error::NoSuchColumn { relation: relation.ident.to_string(), column: name.to_owned() })?;
    let unsuitable =
        |reason| Error::UnsuitableColumn { relation: relation.ident.to_string(), column: name.to_owned(), reason };
    match (column.unsuitable(), column.family) {
        (None, Some(family)) => Ok((column, family)),
        (reason, _) => Err(unsuitable(reason.unwrap_or_default())),
    }
}

fn converge(
    relation: &Relation,
    column: &Column,
    family: Family,
    goal: Goal<'_>,
    above: Inherited,
    steps: &mut Vec<Step>,
) -> Result<Inherited> {
    let table = &relation.ident;
    let mut step = |part, ddl| steps.push(Step { part, ddl });
    let mut emitted = above;

    if !above.default && column.default.as_deref() != Some(context_function(family)) {
        let action = format!("SET DEFAULT {}", context_function(family));
        step(Part::Default, sql::alter_column(table, &column.ident, &action));
        emitted.default = true;
    }
    let null_action = match (goal.kind.allows_null(), column.not_null) {
        (false, false) => Some((Part::NotNull, "SET NOT NULL")),
        (true, true) if !column.in_primary_key => Some((Part::Nullable, "DROP NOT NULL")),
        _ => None,
    };
    if let Some((part, action)) = null_action.filter(|_| !above.null) {
        step(part, sql::alter_column(table, &column.ident, action));
        emitted.null = true;
    }

    for (name, ddl) in policies(relation, &policy::wanted(goal.kind, column, family)) {
        step(Part::Policy(name), ddl);
    }
    if !relation.row_security {
        step(Part::RowSecurity, sql::alter_table(table, "ENABLE ROW LEVEL SECURITY"));
    }
    if !relation.forced {
        step(Part::Forced, sql::alter_table(table, "FORCE ROW LEVEL SECURITY"));
    }
    for ddl in truncate_guard(relation) {
        step(Part::TruncateGuard, ddl);
    }
    for grant in &relation.grants {
        step(Part::Grants, sql::revoke(&grant.privileges, table, &grant.grantee));
    }

    if goal.create_index && !column.leads_index && !above.index {
        step(Part::Index, sql::create_index(table, &column.ident));
        emitted.index = relation.is_partitioned();
    }
    if goal.reference_tenants && !column.references_tenants && !above.reference {
        let target = match family {
            Family::Id => "id",
            Family::Key => "key",
            Family::Number => {
                return Err(Error::UnsuitableColumn {
                    relation: table.to_string(),
                    column: goal.column_name.to_owned(),
                    reason: "a number can't reference the registry's text key".into(),
                });
            }
        };
        step(Part::Reference, sql::reference_tenants(table, &column.ident, target));
        emitted.reference = relation.is_partitioned();
    }
    if let Some(target) = goal.statistics_target {
        if column.statistics_target != Some(target) && !above.statistics {
            let action = format!("SET STATISTICS {target}");
            step(Part::Statistics, sql::alter_column(table, &column.ident, &action));
            emitted.statistics = true;
        }
        // A partitioned table takes no such option.
        if !relation.is_partitioned() && relation.analyze_scale_factor.is_none_or(|own| own > ANALYZE_SCALE_FACTOR) {
            let action = format!("SET (autovacuum_analyze_scale_factor = {ANALYZE_SCALE_FACTOR})");
            step(Part::Statistics, sql::alter_table(table, &action));
        }
    }
    Ok(emitted)
}

/// Makes the wanted policies, mends those that drifted, and then drops ours that are not wanted.
/// Each statement comes with the policy's name.
fn policies(relation: &Relation, wanted: &[Wanted]) -> Vec<(String, String)> {
    let table = &relation.ident;
    let mut ddl = Vec::new();
    for want in wanted {
        let written = |part: &Option<policy::Predicate>| part.as_ref().map(|predicate| predicate.written.clone());
        let (using, check) = (written(&want.using), written(&want.check));
        let (using, check) = (using.as_deref(), check.as_deref());
        let create = || sql::create_policy(want.name, table, want.permissive, want.command, using, check);
        let mut push = |statement| ddl.push((want.name.to_owned(), statement));
        match relation.policies.iter().find(|policy| policy.name == want.name) {
            None => push(create()),
            Some(found) if is_as_wanted(found, want) => {}
            Some(found) if can_be_altered(found, want) => push(sql::alter_policy(want.name, table, using, check)),
            Some(_) => {
                push(sql::drop_policy(want.name, table));
                push(create());
            }
        }
    }
    let unwanted = relation
        .policies
        .iter()
        .filter(|policy| is_ours(policy) && !wanted.iter().any(|want| want.name == policy.name));
    ddl.extend(unwanted.map(|policy| (policy.name.clone(), sql::drop_policy(&policy.name, table))));
    ddl
}

/// Makes the trigger that refuses TRUNCATE, which row security knows nothing of.
fn truncate_guard(relation: &Relation) -> Vec<String> {
    let table = &relation.ident;
    let mut ddl = Vec::new();
    if relation.truncate_guard == TruncateGuard::Other {
        ddl.push(sql::drop_truncate_guard(table));
    }
    if matches!(relation.truncate_guard, TruncateGuard::Missing | TruncateGuard::Other) {
        ddl.push(sql::create_truncate_guard(table));
    }
    if relation.truncate_guard != TruncateGuard::Always {
        ddl.push(sql::enable_truncate_guard(table));
    }
    ddl
}

fn is_as_wanted(found: &Policy, want: &Wanted) -> bool {
    let printed = |part: &Option<policy::Predicate>| part.as_ref().map(|predicate| predicate.printed.clone());
    can_be_altered(found, want)
        && found.to_public
        && found.using == printed(&want.using)
        && found.check == printed(&want.check)
}

/// ALTER POLICY changes neither mode nor command, and can't take a predicate away.
fn can_be_altered(found: &Policy, want: &Wanted) -> bool {
    found.permissive == want.permissive
        && found.command == Some(want.command)
        && (found.using.is_none() || want.using.is_some())
        && (found.check.is_none() || want.check.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::relations::Grant;
    use crate::sql::{Command, Ident};
    use crate::sys::relation::Kind as RelationKind;

    fn bare(oid: u32, parent: Option<u32>) -> Relation {
        Relation {
            oid: Oid::from(oid),
            parent: parent.map(Oid::from),
            schema: Oid::from(2200),
            ident: Ident::quoted(format!("app.t{oid}")),
            kind: RelationKind::Table,
            temporary: false,
            row_security: false,
            forced: false,
            column: Some(Column {
                ident: Ident::quoted("tenant_id".into()),
                type_name: "uuid".into(),
                family: Some(Family::Id),
                coerced_to: None,
                deterministic: true,
                not_null: false,
                in_primary_key: false,
                computed: false,
                default: None,
                leads_index: false,
                references_tenants: false,
                statistics_target: None,
            }),
            policies: Vec::new(),
            grants: Vec::new(),
            truncate_guard: TruncateGuard::Missing,
            analyze_scale_factor: None,
        }
    }

    fn goal(kind: Kind) -> Goal<'static> {
        Goal { kind, column_name: "tenant_id", create_index: true, reference_tenants: false, statistics_target: None }
    }

    /// The table as it is once a plan has run.
    fn protected(kind: Kind) -> Relation {
        let mut relation = bare(1, None);
        relation.row_security = true;
        relation.forced = true;
        relation.truncate_guard = TruncateGuard::Always;
        if let Some(column) = relation.column.as_mut() {
            column.default = Some("tenancy.current_tenant()".into());
            column.not_null = !kind.allows_null();
            column.leads_index = true;
            let printed = |part: Option<policy::Predicate>| part.map(|p| p.printed);
            relation.policies = policy::wanted(kind, column, Family::Id)
                .into_iter()
                .map(|want| Policy {
                    name: want.name.into(),
                    permissive: want.permissive,
                    command: Some(want.command),
                    to_public: true,
                    using: printed(want.using),
                    check: printed(want.check),
                })
                .collect();
        }
        relation
    }

    #[test]
    fn a_protected_table_needs_nothing() {
        for kind in [Kind::Tenant, Kind::Shared, Kind::AppendOnly, Kind::Tree] {
            assert_eq!(protect(&[protected(kind)], goal(kind)), Ok(vec![]), "{kind:?}");
        }
    }

    #[test]
    fn policies_stand_before_row_security_is_on() {
        let ddl = protect(&[bare(1, None)], goal(Kind::Tenant)).unwrap();
        let position = |part: &str| ddl.iter().position(|line| line.contains(part));
        assert!(position("CREATE POLICY") < position("ENABLE ROW LEVEL SECURITY"), "{ddl:#?}");
        assert!(position("AS RESTRICTIVE") < position("AS PERMISSIVE"), "{ddl:#?}");
    }

    #[test]
    fn each_drift_is_mended_alone() {
        let drift = |change: &dyn Fn(&mut Relation)| {
            let mut relation = protected(Kind::Tenant);
            change(&mut relation);
            protect(&[relation], goal(Kind::Tenant)).unwrap()
        };
        let lines = drift(&|r| r.forced = false);
        assert_eq!(lines, ["ALTER TABLE app.t1 FORCE ROW LEVEL SECURITY;"]);
        let lines = drift(&|r| r.policies[1].using = Some("true".into()));
        assert!(lines.len() == 1 && lines[0].starts_with("ALTER POLICY tenant_isolation ON"));
        let lines = drift(&|r| r.policies[0].to_public = false);
        assert!(lines.len() == 1 && lines[0].contains("TO PUBLIC"), "{lines:?}");
        let lines = drift(&|r| r.policies[0].command = Some(Command::Select));
        assert_eq!(lines.len(), 2);
        assert!(lines[0].starts_with("DROP POLICY") && lines[1].starts_with("CREATE POLICY"));
        let lines = drift(&|r| {
            r.grants.push(Grant { grantee: Ident::quoted("bob".into()), privileges: "TRUNCATE".into() });
        });
        assert_eq!(lines, ["REVOKE TRUNCATE ON TABLE app.t1 FROM bob CASCADE;"]);
        let lines = drift(&|r| r.truncate_guard = TruncateGuard::NotAlways);
        assert_eq!(lines, ["ALTER TABLE ONLY app.t1 ENABLE ALWAYS TRIGGER tenant_isolation_truncate;"]);
        let lines = drift(&|r| r.truncate_guard = TruncateGuard::Other);
        assert_eq!(lines.len(), 3, "{lines:?}");
    }

    #[test]
    fn drift_is_about_policies_and_the_trigger() {
        let mut relation = protected(Kind::Tenant);
        relation.forced = false;
        relation.row_security = false;
        assert!(!has_drifted(&relation, Kind::Tenant));
        assert!(has_drifted(&relation, Kind::Shared));
        relation.truncate_guard = TruncateGuard::NotAlways;
        assert!(has_drifted(&relation, Kind::Tenant));
        relation.truncate_guard = TruncateGuard::Always;
        relation.policies.pop();
        assert!(has_drifted(&relation, Kind::Tenant));
    }

    #[test]
    fn another_kind_replaces_the_policies_without_a_gap() {
        let ddl = protect(&[protected(Kind::Tenant)], goal(Kind::Shared)).unwrap();
        let last_create = ddl.iter().rposition(|line| line.starts_with("CREATE"));
        let first_drop = ddl.iter().position(|line| line.starts_with("DROP POLICY"));
        assert!(last_create < first_drop, "{ddl:#?}");
        assert!(ddl.iter().any(|line| line.contains("DROP NOT NULL")));
    }

    #[test]
    fn statistics_are_set_where_they_are_asked_for_and_differ() {
        let goal = Goal { statistics_target: Some(1000), ..goal(Kind::Tenant) };
        let mut relation = protected(Kind::Tenant);
        let target = "ALTER TABLE app.t1 ALTER COLUMN tenant_id SET STATISTICS 1000;";
        let factor = "ALTER TABLE app.t1 SET (autovacuum_analyze_scale_factor = 0.01);";
        assert_eq!(protect(std::slice::from_ref(&relation), goal).unwrap(), [target, factor]);
        relation.analyze_scale_factor = Some(0.001);
        assert_eq!(protect(std::slice::from_ref(&relation), goal).unwrap(), [target]);
        if let Some(column) = relation.column.as_mut() {
            column.statistics_target = Some(1000);
        }
        assert_eq!(protect(std::slice::from_ref(&relation), goal).unwrap(), Vec::<String>::new());
        relation.kind = RelationKind::Partitioned;
        if let Some(column) = relation.column.as_mut() {
            column.statistics_target = Some(10);
        }
        let mut part = Relation { oid: Oid::from(2), parent: Some(relation.oid), ..protected(Kind::Tenant) };
        part.ident = Ident::quoted("app.t2".into());
        let part_factor = "ALTER TABLE app.t2 SET (autovacuum_analyze_scale_factor = 0.01);";
        assert_eq!(protect(&[relation, part], goal).unwrap(), [target, part_factor]);
    }

    #[test]
    fn partitions_get_policies_of_their_own_but_inherit_the_rest() {
        let mut root = bare(1, None);
        root.kind = RelationKind::Partitioned;
        let ddl = protect(&[root, bare(2, Some(1))], goal(Kind::Tenant)).unwrap();
        let of_child: Vec<_> = ddl.iter().filter(|line| line.contains("app.t2")).collect();
        assert_eq!(of_child.len(), 6, "{of_child:#?}");
        assert!(!of_child.iter().any(|line| line.contains("DEFAULT") || line.contains("INDEX")));
    }

    #[test]
    fn unprotecting_undoes_what_protecting_did_and_keeps_what_is_not_ours() {
        let mut relation = protected(Kind::Tenant);
        let ddl = unprotect(std::slice::from_ref(&relation));
        assert_eq!(ddl.len(), 6, "{ddl:#?}");
        relation.policies.push(Policy {
            name: "mine".into(),
            permissive: true,
            command: Some(Command::All),
            to_public: true,
            using: Some("true".into()),
            check: None,
        });
        let ddl = unprotect(&[relation]);
        assert!(!ddl.iter().any(|line| line.contains("DISABLE") || line.contains("mine")));
    }

    #[test]
    fn unsuitable_relations_and_columns_are_refused() {
        let sqlstate = |change: &dyn Fn(&mut Relation)| {
            let mut relation = bare(1, None);
            change(&mut relation);
            protect(&[relation], goal(Kind::Tenant)).map_err(|error| error.sqlstate())
        };
        use pgrx::PgSqlErrorCode::*;
        assert_eq!(sqlstate(&|r| r.kind = RelationKind::View), Err(ERRCODE_WRONG_OBJECT_TYPE));
        assert_eq!(sqlstate(&|r| r.temporary = true), Err(ERRCODE_FEATURE_NOT_SUPPORTED));
        assert_eq!(sqlstate(&|r| r.column = None), Err(ERRCODE_UNDEFINED_COLUMN));
        let column = |change: fn(&mut Column)| {
            sqlstate(&move |r| {
                if let Some(column) = r.column.as_mut() {
                    change(column);
                }
            })
        };
        assert_eq!(column(|c| c.family = None), Err(ERRCODE_DATATYPE_MISMATCH));
        assert_eq!(column(|c| c.deterministic = false), Err(ERRCODE_DATATYPE_MISMATCH));
        assert_eq!(column(|c| c.computed = true), Err(ERRCODE_DATATYPE_MISMATCH));
    }
}
