//! The only composer of SQL text. Pure: identifiers arrive quoted, from the catalog.

pub mod adopt;
pub mod filter;
pub mod scope;
pub mod transfer;
pub mod undo;

use std::fmt;

/// An identifier, or a dotted path of them, as it stands in SQL text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ident(String);

impl Ident {
    /// Takes what `quote_ident()` or `format('%I')` made.
    pub fn quoted(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for Ident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The command that a policy is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    All,
    Select,
    Insert,
    Update,
    Delete,
}

impl Command {
    /// From `pg_policy.polcmd`.
    pub fn from_catalog(code: &str) -> Option<Self> {
        Some(match code {
            "*" => Self::All,
            "r" => Self::Select,
            "a" => Self::Insert,
            "w" => Self::Update,
            "d" => Self::Delete,
            _ => return None,
        })
    }

    /// As SQL writes it.
    pub fn keyword(self) -> &'static str {
        match self {
            Self::All => "ALL",
            Self::Select => "SELECT",
            Self::Insert => "INSERT",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
        }
    }
}

/// The predicate parts of a policy, as they follow its name.
fn clauses(using: Option<&str>, check: Option<&str>) -> String {
    let mut text = String::new();
    if let Some(using) = using {
        text.push_str(&format!(" USING ({using})"));
    }
    if let Some(check) = check {
        text.push_str(&format!(" WITH CHECK ({check})"));
    }
    text
}

/// `CREATE POLICY … TO PUBLIC`.
pub fn create_policy(
    name: &str,
    relation: &Ident,
    permissive: bool,
    command: Command,
    using: Option<&str>,
    check: Option<&str>,
) -> String {
    let mode = if permissive { "PERMISSIVE" } else { "RESTRICTIVE" };
    format!(
        "CREATE POLICY {name} ON {relation} AS {mode} FOR {} TO PUBLIC{};",
        command.keyword(),
        clauses(using, check)
    )
}

/// `ALTER POLICY … TO PUBLIC`, for a policy whose mode and command are right already.
pub fn alter_policy(name: &str, relation: &Ident, using: Option<&str>, check: Option<&str>) -> String {
    format!("ALTER POLICY {name} ON {relation} TO PUBLIC{};", clauses(using, check))
}

pub fn drop_policy(name: &str, relation: &Ident) -> String {
    format!("DROP POLICY {name} ON {relation};")
}

/// The trigger that refuses TRUNCATE.
pub const TRUNCATE_GUARD: &str = "tenant_isolation_truncate";

pub fn create_truncate_guard(relation: &Ident) -> String {
    format!(
        "CREATE TRIGGER {TRUNCATE_GUARD} BEFORE TRUNCATE ON {relation} \
         FOR EACH STATEMENT EXECUTE FUNCTION tenancy.guard_truncate();"
    )
}

/// Makes the trigger fire whatever `session_replication_role` says.
pub fn enable_truncate_guard(relation: &Ident) -> String {
    format!("ALTER TABLE ONLY {relation} ENABLE ALWAYS TRIGGER {TRUNCATE_GUARD};")
}

pub fn drop_truncate_guard(relation: &Ident) -> String {
    format!("DROP TRIGGER {TRUNCATE_GUARD} ON {relation};")
}

/// A trigger that counts rows for quotas: when it fires, and which rows it is told of.
#[derive(Debug, Clone, Copy)]
pub struct CountTrigger {
    pub name: &'static str,
    event: &'static str,
    rows: &'static str,
}

pub const COUNT_TRIGGERS: [CountTrigger; 4] = [
    CountTrigger { name: "tenancy_quota_insert", event: "AFTER INSERT", rows: " REFERENCING NEW TABLE AS added" },
    CountTrigger {
        name: "tenancy_quota_update",
        event: "AFTER UPDATE",
        rows: " REFERENCING OLD TABLE AS removed NEW TABLE AS added",
    },
    CountTrigger { name: "tenancy_quota_delete", event: "AFTER DELETE", rows: " REFERENCING OLD TABLE AS removed" },
    CountTrigger { name: "tenancy_quota_truncate", event: "BEFORE TRUNCATE", rows: "" },
];

/// Makes such a trigger, so that it fires whatever `session_replication_role` says.
pub fn create_count_trigger(trigger: &CountTrigger, relation: &Ident) -> [String; 2] {
    let CountTrigger { name, event, rows } = trigger;
    [
        format!(
            "CREATE TRIGGER {name} {event} ON {relation}{rows} \
             FOR EACH STATEMENT EXECUTE FUNCTION tenancy.count_rows();"
        ),
        format!("ALTER TABLE ONLY {relation} ENABLE ALWAYS TRIGGER {name};"),
    ]
}

/// Takes a table out of a publication.
pub fn unpublish(publication: &Ident, relation: &Ident) -> String {
    format!("ALTER PUBLICATION {publication} DROP TABLE ONLY {relation};")
}

/// `ALTER TABLE <relation> <action>`.
pub fn alter_table(relation: &Ident, action: &str) -> String {
    format!("ALTER TABLE {relation} {action};")
}

/// `ALTER TABLE <relation> ALTER COLUMN <column> <action>`.
pub fn alter_column(relation: &Ident, column: &Ident, action: &str) -> String {
    format!("ALTER TABLE {relation} ALTER COLUMN {column} {action};")
}

/// An index on one column, named by PostgreSQL.
pub fn create_index(relation: &Ident, column: &Ident) -> String {
    format!("CREATE INDEX ON {relation} ({column});")
}

/// An index whose first column is the tenant's.
#[derive(Debug)]
pub struct LedIndex<'a> {
    pub unique: bool,
    pub name: &'a Ident,
    pub relation: &'a Ident,
    pub method: &'a Ident,
    /// Each the text of one column or expression, the tenant's first.
    pub columns: &'a [&'a str],
    pub include: &'a [String],
    pub predicate: Option<&'a str>,
}

/// `CREATE INDEX` of such an index. Whatever comment a text ends in ends before the next one.
pub fn create_led_index(index: &LedIndex<'_>) -> String {
    let unique = if index.unique { "UNIQUE " } else { "" };
    let (name, relation, method) = (index.name, index.relation, index.method);
    let mut text =
        format!("CREATE {unique}INDEX {name} ON {relation} USING {method} ({}\n)", index.columns.join("\n, "));
    if !index.include.is_empty() {
        text.push_str(&format!(" INCLUDE ({}\n)", index.include.join("\n, ")));
    }
    if let Some(predicate) = index.predicate {
        text.push_str(&format!(" WHERE ({predicate}\n)"));
    }
    text
}

/// `CREATE INDEX`, named by PostgreSQL, on columns that arrive quoted.
pub fn create_plain_index(relation: &Ident, columns: &str, concurrently: bool) -> String {
    let concurrently = if concurrently { "CONCURRENTLY " } else { "" };
    format!("CREATE INDEX {concurrently}ON {relation} ({columns})")
}

pub fn drop_index(index: &Ident, concurrently: bool) -> String {
    let concurrently = if concurrently { "CONCURRENTLY " } else { "" };
    format!("DROP INDEX {concurrently}{index}")
}

/// A foreign key to the registry, named by PostgreSQL.
pub fn reference_tenants(relation: &Ident, column: &Ident, target: &str) -> String {
    format!("ALTER TABLE {relation} ADD FOREIGN KEY ({column}) REFERENCES tenancy.tenants ({target});")
}

/// Takes privileges on a table from somebody and from all that he passed them on to.
pub fn revoke(privileges: &str, relation: &Ident, grantee: &Ident) -> String {
    format!("REVOKE {privileges} ON TABLE {relation} FROM {grantee} CASCADE;")
}

/// A string constant that reads the same whatever `standard_conforming_strings` says.
pub fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

/// That two expressions are equal by PostgreSQL's own operator, whatever the search path.
pub fn equal(a: impl fmt::Display, b: impl fmt::Display) -> String {
    format!("{a} OPERATOR(pg_catalog.=) {b}")
}

/// The call that converges a table, given by its schema-qualified name, to protected.
pub fn protect(relation: &str, tenant_column: &str, kind: &str) -> String {
    format!("SELECT tenancy.protect({}, {}, {})", literal(relation), literal(tenant_column), literal(kind))
}

/// Grants execution of a function, given as `schema.name(types)`.
pub fn grant_execute(function: &str, role: &Ident) -> String {
    format!("GRANT EXECUTE ON FUNCTION {function} TO {role}")
}

/// Revokes execution of a function, given as `schema.name(types)`.
pub fn revoke_execute(function: &str, role: &Ident) -> String {
    format!("REVOKE EXECUTE ON FUNCTION {function} FROM {role} CASCADE")
}

/// `ALTER ROLE <role> <options>`.
pub fn alter_role(role: &Ident, options: &str) -> String {
    format!("ALTER ROLE {role} {options};")
}

/// Sets a role's own setting, for sessions to come, in all databases or in one; `value` as SET takes it.
pub fn set_for_role(role: &Ident, database: Option<&Ident>, setting: &str, value: &str) -> String {
    let database = database.map(|database| format!(" IN DATABASE {database}")).unwrap_or_default();
    format!("ALTER ROLE {role}{database} SET {setting} = {value};")
}

/// Ends a membership, and those that its member passed on.
pub fn revoke_membership(granted: &Ident, member: &Ident, grantor: Option<&Ident>) -> String {
    let grantor = grantor.map(|grantor| format!(" GRANTED BY {grantor}")).unwrap_or_default();
    format!("REVOKE {granted} FROM {member}{grantor} CASCADE;")
}

/// Takes a privilege on objects of one class from somebody, or his right to pass it on, and from all that he passed
/// it on to.
pub fn take(privilege: &str, passed_on: bool, class: &str, objects: &str, holder: &Ident) -> String {
    let option = if passed_on { "GRANT OPTION FOR " } else { "" };
    format!("REVOKE {option}{privilege} ON {class} {objects} FROM {holder} CASCADE;")
}

/// Gives a privilege on objects of one class.
pub fn give(privilege: &str, class: &str, objects: &str, roles: &str) -> String {
    format!("GRANT {privilege} ON {class} {objects} TO {roles};")
}

/// Takes privileges on the tables that somebody makes later, in one schema or in all.
pub fn take_default(owner: &Ident, schema: Option<&Ident>, privileges: &str, holder: &Ident) -> String {
    let schema = schema.map(|schema| format!(" IN SCHEMA {schema}")).unwrap_or_default();
    format!("ALTER DEFAULT PRIVILEGES FOR ROLE {owner}{schema} REVOKE {privileges} ON TABLES FROM {holder};")
}

/// A trigger that records what statements change; `when` says of which, and on what table.
pub fn create_audit_trigger(name: &str, when: &str) -> String {
    format!("CREATE OR REPLACE TRIGGER {name} {when} FOR EACH STATEMENT EXECUTE FUNCTION tenancy.audit_change();")
}

/// Has a trigger fire whatever `session_replication_role` is. The table is given quoted.
pub fn enable_always(trigger: &str, relation: &str) -> String {
    format!("ALTER TABLE ONLY {relation} ENABLE ALWAYS TRIGGER {trigger};")
}

/// Drops a trigger, if it is there. The table is given quoted.
pub fn drop_trigger(trigger: &str, relation: impl std::fmt::Display) -> String {
    format!("DROP TRIGGER IF EXISTS {trigger} ON {relation};")
}

/// The call that hardens a role, given by its name.
pub fn harden_role(role: &str, profile: &str) -> String {
    format!("SELECT tenancy.harden_role({}, {})", literal(role), literal(profile))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_written_whole() {
        let table = Ident::quoted("app.\"Order\"".into());
        assert_eq!(
            create_policy("p", &table, false, Command::Update, Some("a"), Some("b")),
            "CREATE POLICY p ON app.\"Order\" AS RESTRICTIVE FOR UPDATE TO PUBLIC \
             USING (a) WITH CHECK (b);"
        );
        assert_eq!(
            alter_policy("p", &table, None, Some("b")),
            "ALTER POLICY p ON app.\"Order\" TO PUBLIC WITH CHECK (b);"
        );
    }

    #[test]
    fn privileges_are_taken_with_what_hangs_on_them() {
        let (app, db) = (Ident::quoted("\"App\"".into()), Ident::quoted("db".into()));
        assert_eq!(
            take("EXECUTE", false, "FUNCTION", "f(), g()", &app),
            "REVOKE EXECUTE ON FUNCTION f(), g() FROM \"App\" CASCADE;"
        );
        assert_eq!(
            take("SET", true, "PARAMETER", "x", &app),
            "REVOKE GRANT OPTION FOR SET ON PARAMETER x FROM \"App\" CASCADE;"
        );
        assert_eq!(
            set_for_role(&app, Some(&db), "a", "'b', 'c'"),
            "ALTER ROLE \"App\" IN DATABASE db SET a = 'b', 'c';"
        );
        assert_eq!(revoke_membership(&db, &app, None), "REVOKE db FROM \"App\" CASCADE;");
    }

    #[test]
    fn a_comment_in_one_text_of_an_index_does_not_reach_the_next() {
        let (name, table) = (Ident::quoted("i".into()), Ident::quoted("app.t".into()));
        let index = LedIndex {
            unique: true,
            name: &name,
            relation: &table,
            method: &Ident::quoted("btree".into()),
            columns: &["tenant_id", "a -- b", "c"],
            include: &["d --".into()],
            predicate: Some("e --"),
        };
        assert_eq!(
            create_led_index(&index),
            "CREATE UNIQUE INDEX i ON app.t USING btree (tenant_id\n, a -- b\n, c\n) INCLUDE (d --\n) WHERE (e --\n)"
        );
    }

    #[test]
    fn quotes_and_backslashes_stay_inside_a_literal() {
        assert_eq!(literal("app.\"it's\""), "'app.\"it''s\"'");
        assert_eq!(literal("a\\'b"), "E'a\\\\''b'");
    }

    #[test]
    fn commands_are_read_as_the_catalog_writes_them() {
        for (code, command) in [
            ("*", Command::All),
            ("r", Command::Select),
            ("a", Command::Insert),
            ("w", Command::Update),
            ("d", Command::Delete),
        ] {
            assert_eq!(Command::from_catalog(code), Some(command));
        }
        assert_eq!(Command::from_catalog("x"), None);
    }
}
