//! From the state found to statements: for tables in use, each a statement of its own that holds strong locks for an instant
//! alone; or for tables that nobody else uses. Pure.

use super::COLUMN;
use super::state::{Adoption, Root, key, remark};
use crate::catalog::relations::{Column, Relation};
use crate::sql::{self, Ident, adopt as text, scope};
use crate::sys::relation::Kind;

/// A statement, what it is for, and the locks that it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub phase: &'static str,
    pub ddl: String,
    pub lock: String,
}

/// What has to be done about the tenant column of a table and all that inherits from it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Work {
    Add {
        not_null: bool,
    },
    Default,
    /// Tables whose rows may belong to nobody.
    Fill(Vec<Ident>),
    Check,
    Validate,
    NotNull,
    DropCheck,
}

/// The steps that come before keys: default tenants, global tables, and the tenant column.
pub fn before(adoption: &Adoption) -> Vec<Step> {
    let mut steps: Vec<Step> =
        defaults(adoption).into_iter().map(|ddl| Step { phase: "default tenant", ddl, lock: "none".into() }).collect();
    steps.extend(adoption.global.iter().map(|(_, table)| Step {
        phase: "classify",
        ddl: text::classify(table),
        lock: "none".into(),
    }));
    for root in &adoption.roots {
        steps.extend(work(root).into_iter().flat_map(|work| live(&work, root, adoption)));
    }
    steps
}

/// The steps that protect the tables, but for those that nothing is missing from.
pub fn after(adoption: &Adoption, is_done: impl Fn(&Root) -> bool) -> Vec<Step> {
    let protect = |root: &Root| {
        let (kind, column) = match &root.protected {
            Some(protected) => (protected.kind.as_str(), protected.column.as_str()),
            None => ("tenant", COLUMN),
        };
        let call = format!("PERFORM {};", text::protect(&root.ident, column, kind));
        brief("protect", &[call], root)
    };
    adoption.roots.iter().filter(|root| !is_done(root)).map(protect).collect()
}

/// The remarks, if anything is to be done; a plan of nothing but remarks has no steps.
pub fn finish(mut steps: Vec<Step>, remarks: impl IntoIterator<Item = String>) -> Vec<Step> {
    if !steps.is_empty() {
        steps.extend(remarks.into_iter().map(|ddl| Step { phase: "left alone", ddl, lock: "none".into() }));
    }
    steps
}

/// The statements that the column takes while nobody else uses the table, default tenants and global tables apart.
pub fn column_at_once(adoption: &Adoption) -> Vec<String> {
    let mut ddl = defaults(adoption);
    for root in &adoption.roots {
        for work in work(root) {
            match work {
                Work::Fill(tables) => {
                    ddl.extend(tables.iter().map(|table| text::fill_at_once(table, adoption.tenant.key.as_str())))
                }
                // The table is locked: NOT NULL by itself does.
                Work::Check | Work::Validate => {}
                Work::NotNull if root.check.is_none() => {
                    ddl.push(sql::alter_column(&root.ident, &adoption.column, "SET NOT NULL"));
                }
                other => ddl.extend(statements(&other, root, adoption)),
            }
        }
    }
    ddl
}

/// Sessions of the application name no tenant: for roles that act for none yet it is given.
fn defaults(adoption: &Adoption) -> Vec<String> {
    let give =
        |role: &Ident| sql::set_for_role(role, Some(&adoption.database), "tenancy.default_tenant", &key(adoption));
    adoption.roles.iter().map(give).collect()
}

fn is_right(column: &Column, value: &str) -> bool {
    column
        .default
        .as_deref()
        .is_some_and(|default| default.starts_with("tenancy.current_") || text::is_constant(default, value))
}

fn work(root: &Root) -> Vec<Work> {
    if root.protected.is_some() {
        return Vec::new();
    }
    let columns: Vec<(&Relation, &Column)> =
        root.tree.iter().filter_map(|relation| Some((relation, relation.column.as_ref()?))).collect();
    if columns.is_empty() {
        return vec![Work::Add { not_null: true }];
    }
    let mut work = Vec::new();
    let has_column = root.tree.first().is_some_and(|root| root.column.is_some());
    if !has_column {
        work.push(Work::Add { not_null: false });
    }
    if !columns.iter().all(|(_, column)| is_right(column, &root.value)) {
        work.push(Work::Default);
    }
    if !root.unfilled.is_empty() {
        work.push(Work::Fill(root.unfilled.clone()));
    }
    let is_complete = columns.len() == root.tree.len() && columns.iter().all(|(_, column)| column.not_null);
    match (is_complete, root.check) {
        (true, None) => {}
        (true, Some(_)) => work.push(Work::DropCheck),
        (false, None) => work.extend([Work::Check, Work::Validate, Work::NotNull]),
        (false, Some(false)) => work.extend([Work::Validate, Work::NotNull]),
        (false, Some(true)) => work.push(Work::NotNull),
    }
    work
}

fn statements(work: &Work, root: &Root, adoption: &Adoption) -> Vec<String> {
    let (relation, column, value) = (&root.ident, &adoption.column, sql::literal(&root.value));
    match work {
        Work::Add { not_null } => vec![text::add_column(relation, column, &root.type_name, &value, *not_null)],
        Work::Default => vec![sql::alter_column(relation, column, &format!("SET DEFAULT {value}"))],
        Work::Fill(tables) => {
            tables.iter().map(|table| text::fill(table, column, adoption.tenant.key.as_str())).collect()
        }
        Work::Check => vec![text::add_check(relation, column)],
        Work::Validate => vec![text::validate_check(relation)],
        // Without the condition PostgreSQL would read the table.
        Work::NotNull => vec![sql::alter_column(relation, column, "SET NOT NULL"), text::drop_check(relation)],
        Work::DropCheck => vec![text::drop_check(relation)],
    }
}

fn live(work: &Work, root: &Root, adoption: &Adoption) -> Vec<Step> {
    let statements = statements(work, root, adoption);
    let each = |phase, lock: &str| {
        statements
            .iter()
            .map(|ddl| Step { phase, ddl: ddl.clone(), lock: format!("{lock} on {}", root.ident) })
            .collect()
    };
    match work {
        Work::Fill(_) => each("backfill", "ROW EXCLUSIVE"),
        Work::Validate => each("not null", "SHARE UPDATE EXCLUSIVE"),
        Work::Add { .. } => vec![brief("column", &statements, root)],
        Work::Default => vec![brief("backfill", &statements, root)],
        Work::Check => {
            let filled = text::require_filled(&tables_with_rows(root), &adoption.column);
            let tables = tables(root);
            let ddl = scope::retried_after(&filled, &statements, "ACCESS EXCLUSIVE", &tables);
            vec![Step { phase: "not null", ddl, lock: briefly(&tables) }]
        }
        Work::NotNull | Work::DropCheck => vec![brief("not null", &statements, root)],
    }
}

/// A step that gives way to others until it has its locks, and then holds them for an instant.
fn brief(phase: &'static str, statements: &[String], root: &Root) -> Step {
    let tables = tables(root);
    Step { phase, ddl: scope::retried(statements, "ACCESS EXCLUSIVE", &tables), lock: briefly(&tables) }
}

fn briefly(tables: &[&Ident]) -> String {
    format!("ACCESS EXCLUSIVE on {}, for an instant", scope::list(tables))
}

fn tables(root: &Root) -> Vec<&Ident> {
    root.tree.iter().map(|relation| &relation.ident).collect()
}

fn tables_with_rows(root: &Root) -> Vec<Ident> {
    let with_rows = root.tree.iter().filter(|relation| relation.kind == Kind::Table);
    with_rows.map(|relation| relation.ident.clone()).collect()
}

/// The remarks about the schema.
impl Adoption {
    pub fn remarks(&self) -> impl Iterator<Item = String> + '_ {
        self.remarks.iter().map(|about| remark(about))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::relations::{Family, TruncateGuard};
    use crate::sys::Oid;

    fn relation(oid: u32, kind: Kind, column: Option<(Option<&str>, bool)>) -> Relation {
        Relation {
            oid: Oid::from(oid),
            parent: (oid > 1).then(|| Oid::from(1)),
            schema: Oid::from(7),
            ident: Ident::quoted(format!("app.t{oid}")),
            kind,
            temporary: false,
            row_security: false,
            forced: false,
            column: column.map(|(default, not_null)| Column {
                ident: Ident::quoted("tenant_id".into()),
                type_name: "text".into(),
                family: Some(Family::Key),
                coerced_to: None,
                deterministic: true,
                not_null,
                in_primary_key: false,
                computed: false,
                default: default.map(str::to_owned),
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

    fn root(tree: Vec<Relation>, check: Option<bool>) -> Root {
        Root {
            oid: Oid::from(1),
            ident: Ident::quoted("app.t1".into()),
            tree,
            protected: None,
            check,
            unfilled: Vec::new(),
            type_name: "text".into(),
            value: "acme".into(),
        }
    }

    #[test]
    fn a_table_without_the_column_takes_one_step() {
        let tree = vec![relation(1, Kind::Partitioned, None), relation(2, Kind::Table, None)];
        assert_eq!(work(&root(tree, None)), [Work::Add { not_null: true }]);
    }

    #[test]
    fn each_state_of_a_table_with_the_column_goes_on_from_there() {
        let right = Some("'acme'::text");
        let fill = Work::Fill(vec![Ident::quoted("app.t1".into())]);
        let table = |default, not_null, check, filled: bool| {
            let mut root = root(vec![relation(1, Kind::Table, Some((default, not_null)))], check);
            root.unfilled = if filled { vec![] } else { vec![Ident::quoted("app.t1".into())] };
            work(&root)
        };
        let rest = [Work::Check, Work::Validate, Work::NotNull];
        assert_eq!(table(None, false, None, false), [vec![Work::Default, fill.clone()], rest.to_vec()].concat());
        assert_eq!(table(right, false, None, false), [vec![fill.clone()], rest.to_vec()].concat());
        assert_eq!(table(right, false, None, true), rest);
        assert_eq!(table(right, false, Some(false), true), [Work::Validate, Work::NotNull]);
        assert_eq!(table(right, false, Some(true), true), [Work::NotNull]);
        assert_eq!(table(right, true, Some(true), true), [Work::DropCheck]);
        assert_eq!(table(right, true, None, true), []);
        assert_eq!(table(Some("tenancy.current_key()"), true, None, true), []);
    }

    #[test]
    fn a_child_that_has_the_column_is_filled() {
        let tree = vec![relation(1, Kind::Table, None), relation(2, Kind::Table, Some((None, false)))];
        let fill = vec![Ident::quoted("app.t2".into())];
        let mut root = root(tree, None);
        root.unfilled = fill.clone();
        let rest = [Work::Check, Work::Validate, Work::NotNull];
        assert_eq!(
            work(&root),
            [vec![Work::Add { not_null: false }, Work::Default, Work::Fill(fill)], rest.to_vec()].concat()
        );
    }

    #[test]
    fn remarks_alone_are_no_plan() {
        assert_eq!(finish(Vec::new(), ["-- a".to_owned()]), []);
        let step = Step { phase: "protect", ddl: "b".into(), lock: "c".into() };
        assert_eq!(finish(vec![step], ["-- a".to_owned()]).len(), 2);
    }
}
