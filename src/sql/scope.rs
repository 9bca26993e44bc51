//! Keys and foreign keys led by the tenant column.

use super::{Ident, equal};
use std::fmt::Display;

/// How long the statements of a script wait for a lock before they give way to others.
const LOCK_TIMEOUT: &str = "100ms";
/// How long they wait before PostgreSQL looks whether autovacuum or a deadlock is in the way.
const DEADLOCK_TIMEOUT: &str = "50ms";
/// How often they try, and how long they rest in between, in seconds.
const ATTEMPTS: u32 = 600;
const REST: &str = "0.2";

/// A name that no keyword is.
pub fn quoted(name: &str) -> Ident {
    let plain = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '_';
    if name.chars().all(plain) && !name.starts_with(|char: char| char.is_ascii_digit()) {
        Ident::quoted(name.to_owned())
    } else {
        Ident::quoted(format!("\"{}\"", name.replace('"', "\"\"")))
    }
}

/// Items, comma-separated.
pub fn list<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}

/// Statements of one object, in one ALTER TABLE.
pub fn alter(relation: &Ident, actions: &[String]) -> String {
    super::alter_table(relation, &actions.join(", "))
}

pub fn drop_constraint(name: impl Display) -> String {
    format!("DROP CONSTRAINT {name}")
}

pub fn add_constraint(name: impl Display, definition: &str) -> String {
    format!("ADD CONSTRAINT {name} {definition}")
}

/// How the statement begins that adds a constraint to a relation and does nothing before.
pub fn adding(relation: &Ident) -> String {
    super::alter_table(relation, "ADD CONSTRAINT ").trim_end_matches(';').to_owned()
}

pub fn validate_constraint(name: impl Display) -> String {
    format!("VALIDATE CONSTRAINT {name}")
}

pub fn rename_constraint(relation: &Ident, from: impl Display, to: impl Display) -> String {
    format!("ALTER TABLE {relation} RENAME CONSTRAINT {from} TO {to};")
}

pub fn comment_on_constraint(name: &Ident, relation: &Ident, comment: &str) -> String {
    format!("COMMENT ON CONSTRAINT {name} ON {relation} IS {};", super::literal(comment))
}

pub fn comment_on_index(index: &Ident, comment: &str) -> String {
    format!("COMMENT ON INDEX {index} IS {};", super::literal(comment))
}

/// PRIMARY KEY or UNIQUE.
pub struct Unique<'a> {
    pub primary: bool,
    pub nulls_not_distinct: bool,
    pub columns: Vec<&'a Ident>,
    /// The last column is WITHOUT OVERLAPS.
    pub period: bool,
    pub include: Vec<&'a Ident>,
    pub options: Option<&'a str>,
    pub tablespace: Option<&'a Ident>,
    pub deferrable: bool,
    pub deferred: bool,
}

impl Unique<'_> {
    fn kind(&self) -> &'static str {
        if self.primary { "PRIMARY KEY" } else { "UNIQUE" }
    }

    /// The constraint's definition.
    pub fn definition(&self) -> String {
        let nulls = if self.nulls_not_distinct { " NULLS NOT DISTINCT" } else { "" };
        let overlaps = if self.period { " WITHOUT OVERLAPS" } else { "" };
        let mut text = format!("{}{nulls} ({}{overlaps})", self.kind(), list(&self.columns));
        text.push_str(&included(&self.include));
        if let Some(options) = self.options {
            text.push_str(&format!(" WITH ({options})"));
        }
        if let Some(tablespace) = self.tablespace {
            text.push_str(&format!(" USING INDEX TABLESPACE {tablespace}"));
        }
        text + deferrability(self.deferrable, self.deferred)
    }

    /// The same by an index that is there.
    pub fn using(&self, index: impl Display) -> String {
        format!("{} USING INDEX {index}{}", self.kind(), deferrability(self.deferrable, self.deferred))
    }

    /// The index, built while reads and writes go on.
    pub fn concurrent_index(&self, name: &Ident, relation: &Ident) -> String {
        let mut text = format!("CREATE UNIQUE INDEX CONCURRENTLY {name} ON {relation} ({})", list(&self.columns));
        text.push_str(&included(&self.include));
        if self.nulls_not_distinct {
            text.push_str(" NULLS NOT DISTINCT");
        }
        if let Some(options) = self.options {
            text.push_str(&format!(" WITH ({options})"));
        }
        if let Some(tablespace) = self.tablespace {
            text.push_str(&format!(" TABLESPACE {tablespace}"));
        }
        text + ";"
    }
}

fn included(columns: &[&Ident]) -> String {
    if columns.is_empty() { String::new() } else { format!(" INCLUDE ({})", list(columns)) }
}

fn deferrability(deferrable: bool, deferred: bool) -> &'static str {
    match (deferrable, deferred) {
        (false, _) => "",
        (true, false) => " DEFERRABLE",
        (true, true) => " DEFERRABLE INITIALLY DEFERRED",
    }
}

/// An exclusion constraint led by a column; `definition` is the rest of it, after its opening parenthesis.
pub fn exclusion(method: &Ident, tenant: &Ident, definition: &str) -> String {
    format!("EXCLUDE USING {method} ({tenant} WITH OPERATOR(pg_catalog.=), {definition}")
}

/// A unique index led by a column; `definition` is the rest of it, after its opening parenthesis and up to WHERE.
pub struct UniqueIndex<'a> {
    pub name: &'a Ident,
    pub relation: &'a Ident,
    pub method: &'a Ident,
    pub tenant: &'a Ident,
    pub definition: &'a str,
    pub tablespace: Option<&'a Ident>,
    pub predicate: &'a str,
}

impl UniqueIndex<'_> {
    pub fn create(&self, concurrently: bool) -> String {
        let concurrently = if concurrently { "CONCURRENTLY " } else { "" };
        let tablespace = self.tablespace.map(|name| format!(" TABLESPACE {name}")).unwrap_or_default();
        format!(
            "CREATE UNIQUE INDEX {concurrently}{} ON {} USING {} ({}, {}{tablespace}{};",
            self.name, self.relation, self.method, self.tenant, self.definition, self.predicate
        )
    }
}

pub fn drop_index(index: &Ident, concurrently: bool) -> String {
    format!("DROP INDEX {}{index};", if concurrently { "CONCURRENTLY " } else { "" })
}

pub fn rename_index(index: &Ident, to: &Ident) -> String {
    format!("ALTER INDEX {index} RENAME TO {to};")
}

pub fn set_options(index: &Ident, options: &str) -> String {
    format!("ALTER INDEX {index} SET ({options});")
}

pub fn set_tablespace(index: &Ident, tablespace: &Ident) -> String {
    format!("ALTER INDEX {index} SET TABLESPACE {tablespace};")
}

/// An index on columns, named by PostgreSQL.
pub fn index_on(relation: &Ident, columns: &[&Ident], unique: bool, concurrently: bool) -> String {
    let unique = if unique { "UNIQUE " } else { "" };
    let concurrently = if concurrently { "CONCURRENTLY " } else { "" };
    format!("CREATE {unique}INDEX {concurrently}ON {relation} ({});", list(columns))
}

/// FOREIGN KEY.
pub struct Reference<'a> {
    pub child_columns: Vec<&'a Ident>,
    pub parent: &'a Ident,
    pub parent_columns: Vec<&'a Ident>,
    /// The last column is a PERIOD.
    pub period: bool,
    pub match_full: bool,
    pub on_update: &'static str,
    pub on_delete: &'static str,
    /// The columns that the action on DELETE sets; all when empty.
    pub set_columns: Vec<&'a Ident>,
    pub deferrable: bool,
    pub deferred: bool,
    pub enforced: bool,
}

impl Reference<'_> {
    /// The constraint's definition; unless `valid`, rows that are there are not looked at.
    pub fn definition(&self, valid: bool) -> String {
        let columns = |columns: &[&Ident]| match columns.split_last() {
            Some((last, first)) if self.period => {
                list(first.iter().map(ToString::to_string).chain([format!("PERIOD {last}")]))
            }
            _ => list(columns),
        };
        let mut text = format!(
            "FOREIGN KEY ({}) REFERENCES {} ({})",
            columns(&self.child_columns),
            self.parent,
            columns(&self.parent_columns)
        );
        if self.match_full {
            text.push_str(" MATCH FULL");
        }
        for (event, action) in [("UPDATE", self.on_update), ("DELETE", self.on_delete)] {
            if !action.is_empty() {
                text.push_str(&format!(" ON {event} {action}"));
            }
        }
        if !self.set_columns.is_empty() {
            text.push_str(&format!(" ({})", list(&self.set_columns)));
        }
        text.push_str(deferrability(self.deferrable, self.deferred));
        match (self.enforced, valid) {
            (false, _) => text + " NOT ENFORCED",
            (true, false) => text + " NOT VALID",
            (true, true) => text,
        }
    }
}

/// A foreign key's action, from its code in `pg_constraint`.
pub fn action(code: &str) -> &'static str {
    match code {
        "r" => "RESTRICT",
        "c" => "CASCADE",
        "n" => "SET NULL",
        "d" => "SET DEFAULT",
        _ => "",
    }
}

/// The condition that all of these are NULL, or none.
pub fn all_or_none(columns: &[&Ident]) -> String {
    let each = |what: &str| columns.iter().map(|column| format!("{column} {what}")).collect::<Vec<_>>().join(" AND ");
    format!("CHECK (({}) OR ({}))", each("IS NULL"), each("IS NOT NULL"))
}

/// One pair of columns of a foreign key, compared as PostgreSQL does.
pub struct Comparison<'a> {
    pub child: &'a Ident,
    pub parent: &'a Ident,
    pub operator: &'a str,
    pub child_cast: &'a str,
    pub parent_cast: &'a str,
    pub collation: &'a str,
}

/// What rows of one table refer to in another.
pub struct References<'a> {
    /// With ONLY before it, where it is no partitioned table.
    pub child: String,
    pub parent: String,
    pub pairs: Vec<Comparison<'a>>,
    pub child_tenant: &'a Ident,
    pub parent_tenant: &'a Ident,
    pub tenant_collation: String,
    /// The last pair is a PERIOD.
    pub period: bool,
}

impl References<'_> {
    /// Counts rows that refer to something, but to nothing of their tenant's; with `found`, only those that refer
    /// to something that is there.
    pub fn count_crossing(&self, found: bool) -> String {
        let set = self.pairs.iter().map(|pair| format!("c.{} IS NOT NULL", pair.child)).collect::<Vec<_>>();
        let tenants = equal(format_args!("p.{}", self.parent_tenant), format_args!("c.{}", self.child_tenant))
            + &self.tenant_collation;
        let found = if found { format!(" AND {}", self.is_there(None)) } else { String::new() };
        format!(
            "SELECT pg_catalog.count(*) FROM {} AS c WHERE {}{found} AND NOT {}",
            self.child,
            set.join(" AND "),
            self.is_there(Some(tenants))
        )
    }

    /// A query that shows such rows, for those who see all of them.
    pub fn show_crossing(&self) -> String {
        let on = self.pairs.iter().map(|pair| format!("p.{} = c.{}", pair.parent, pair.child)).collect::<Vec<_>>();
        format!(
            "SELECT c.* FROM {} AS c JOIN {} AS p ON {} WHERE p.{} IS DISTINCT FROM c.{}",
            self.child,
            self.parent,
            on.join(" AND "),
            self.parent_tenant,
            self.child_tenant
        )
    }

    fn is_there(&self, and: Option<String>) -> String {
        let compare = |pair: &Comparison<'_>| {
            format!(
                "p.{}{} {} c.{}{}{}",
                pair.parent, pair.parent_cast, pair.operator, pair.child, pair.child_cast, pair.collation
            )
        };
        let (pairs, period) = match self.pairs.split_last() {
            Some((last, first)) if self.period => (first, Some(last)),
            _ => (&self.pairs[..], None),
        };
        let conditions = and.into_iter().chain(pairs.iter().map(compare)).collect::<Vec<_>>().join(" AND ");
        match period {
            None => format!("EXISTS (SELECT FROM {} AS p WHERE {conditions})", self.parent),
            Some(period) => format!(
                "coalesce((SELECT pg_catalog.range_agg(p.{}) FROM {} AS p WHERE {conditions}) \
                 OPERATOR(pg_catalog.@>) c.{}, false)",
                period.parent, self.parent, period.child
            ),
        }
    }
}

/// The call of a function of ours on a constraint of a table, given by its schema-qualified name.
pub fn call(function: &str, relation: &Ident, constraint: &str) -> String {
    format!("tenancy.{function}({}, {})", super::literal(&relation.to_string()), super::literal(constraint))
}

/// Statements that wait but an instant for their locks, over and over: who comes meanwhile goes first. Others lock the
/// same tables in this order or in that, so both are tried in turn.
pub fn retried(statements: &[String], mode: &str, tables: &[&Ident]) -> String {
    retried_after("", statements, mode, tables)
}

/// The same, with a statement that comes before, without the locks.
pub fn retried_after(first: &str, statements: &[String], mode: &str, tables: &[&Ident]) -> String {
    let lock = |tables: Vec<&&Ident>| {
        let tables = list(tables.into_iter().map(|table| format!("ONLY {table}")));
        format!("LOCK TABLE {tables} IN {mode} MODE;")
    };
    let (one, other) = (lock(tables.iter().collect()), lock(tables.iter().rev().collect()));
    let locks = if one == other {
        one
    } else {
        format!(
            "IF attempt OPERATOR(pg_catalog.%) 2 OPERATOR(pg_catalog.=) 0 THEN
        {one}
      ELSE
        {other}
      END IF;"
        )
    };
    let body = [locks].iter().chain(statements).map(String::as_str).collect::<Vec<_>>().join("\n      ");
    let first = if first.is_empty() { String::new() } else { format!("\n  {first}") };
    let mut tag = "$scope$".to_owned();
    while body.contains(&tag) || first.contains(&tag) {
        tag.insert(tag.len() - 1, '_');
    }
    format!(
        "DO {tag}
BEGIN{first}
  BEGIN
    SET LOCAL deadlock_timeout = '{DEADLOCK_TIMEOUT}';
  EXCEPTION WHEN insufficient_privilege THEN NULL;
  END;
  SET LOCAL lock_timeout = '{LOCK_TIMEOUT}';
  FOR attempt IN 1..{ATTEMPTS} LOOP
    BEGIN
      {body}
      RETURN;
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
      PERFORM pg_catalog.pg_sleep({REST});
    END;
  END LOOP;
  RAISE lock_not_available USING HINT = 'Long transactions hold the table. Make the plan anew: it gives what is left to do.';
END {tag};"
    )
}

/// For a block of statements: goes no further unless the index, given by its schema-qualified name, is complete.
pub fn require_valid(index: &Ident) -> String {
    format!(
        "IF EXISTS (SELECT FROM pg_catalog.pg_index AS i
          WHERE i.indexrelid OPERATOR(pg_catalog.=) {}::pg_catalog.regclass AND NOT i.indisvalid) THEN
        RAISE object_not_in_prerequisite_state USING MESSAGE = 'the index that is to take the place of the former is not valid',
          HINT = 'Make the plan anew: it gives what is left to do.';
      END IF;",
        super::literal(&index.to_string())
    )
}

/// For a block of statements: goes no further unless the constraint is a foreign key to that relation.
pub fn require_foreign_key(relation: &Ident, name: &str, parent: &Ident) -> String {
    let (relation, parent) = (super::literal(&relation.to_string()), super::literal(&parent.to_string()));
    format!(
        "IF NOT EXISTS (SELECT FROM pg_catalog.pg_constraint AS k
          WHERE k.conrelid OPERATOR(pg_catalog.=) {relation}::pg_catalog.regclass
            AND k.conname OPERATOR(pg_catalog.=) {}::pg_catalog.name
            AND k.contype OPERATOR(pg_catalog.=) 'f'::pg_catalog.\"char\"
            AND k.confrelid OPERATOR(pg_catalog.=) {parent}::pg_catalog.regclass) THEN
        RAISE undefined_object USING MESSAGE = 'the foreign key that is to take the place of the former is not there',
          HINT = 'Make the plan anew: it gives what is left to do.';
      END IF;",
        super::literal(name)
    )
}

/// A statement that does nothing but say something.
pub fn remark(text: &str) -> String {
    let line: String = text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
    format!("-- {line}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ident(text: &str) -> Ident {
        Ident::quoted(text.into())
    }

    #[test]
    fn a_remark_stays_one_line() {
        assert_eq!(remark("a\nDROP TABLE b\r;"), "-- a DROP TABLE b ;");
    }

    #[test]
    fn what_is_retried_can_not_end_its_quotes() {
        let table = ident("t");
        let text = retried(&["COMMENT ON COLUMN \"$scope$\" IS '$scope_$';".into()], "SHARE", &[&table]);
        assert!(text.contains("LOCK TABLE ONLY t IN SHARE MODE;"), "{text}");
        assert!(text.starts_with("DO $scope__$\n") && text.ends_with("END $scope__$;"), "{text}");
    }

    #[test]
    fn a_key_is_written_whole() {
        let (a, b, c, space) = (ident("tenant_id"), ident("\"A\""), ident("c"), ident("fast"));
        let unique = Unique {
            primary: false,
            nulls_not_distinct: true,
            columns: vec![&a, &b],
            period: false,
            include: vec![&c],
            options: Some("fillfactor='70'"),
            tablespace: Some(&space),
            deferrable: true,
            deferred: true,
        };
        assert_eq!(
            unique.definition(),
            "UNIQUE NULLS NOT DISTINCT (tenant_id, \"A\") INCLUDE (c) WITH (fillfactor='70') \
             USING INDEX TABLESPACE fast DEFERRABLE INITIALLY DEFERRED"
        );
        assert_eq!(
            unique.concurrent_index(&c, &ident("app.t")),
            "CREATE UNIQUE INDEX CONCURRENTLY c ON app.t (tenant_id, \"A\") INCLUDE (c) NULLS NOT DISTINCT \
             WITH (fillfactor='70') TABLESPACE fast;"
        );
    }

    #[test]
    fn a_foreign_key_is_written_whole() {
        let (a, b, c, parent) = (ident("tenant_id"), ident("x"), ident("during"), ident("app.p"));
        let mut reference = Reference {
            child_columns: vec![&a, &b],
            parent: &parent,
            parent_columns: vec![&a, &b],
            period: false,
            match_full: true,
            on_update: action("c"),
            on_delete: action("n"),
            set_columns: vec![&b],
            deferrable: true,
            deferred: false,
            enforced: true,
        };
        assert_eq!(
            reference.definition(false),
            "FOREIGN KEY (tenant_id, x) REFERENCES app.p (tenant_id, x) MATCH FULL ON UPDATE CASCADE \
             ON DELETE SET NULL (x) DEFERRABLE NOT VALID"
        );
        reference = Reference {
            child_columns: vec![&a, &b, &c],
            parent_columns: vec![&a, &b, &c],
            period: true,
            match_full: false,
            on_update: "",
            on_delete: "",
            set_columns: vec![],
            deferrable: false,
            enforced: false,
            ..reference
        };
        assert_eq!(
            reference.definition(true),
            "FOREIGN KEY (tenant_id, x, PERIOD during) REFERENCES app.p (tenant_id, x, PERIOD during) NOT ENFORCED"
        );
    }
}
