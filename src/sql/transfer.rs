//! Scripts for psql that take a tenant's rows from one database to another. Identifiers arrive quoted.

use super::literal;

/// What the rows of a table are owned by: what the tenant column holds, as the importing script's variables have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    Id,
    Key,
    Number,
}

impl Owner {
    /// Of the tenant that is imported.
    pub fn variable(self) -> &'static str {
        match self {
            Self::Id => ":'tenant_id'::pg_catalog.uuid",
            Self::Key => ":'tenant_key'::pg_catalog.text",
            Self::Number => ":'tenant_key'::pg_catalog.int8",
        }
    }
}

/// Rows to be taken along.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    /// As it follows FROM, with ONLY where that is meant.
    pub source: &'a str,
    pub relation: &'a str,
    pub columns: &'a [String],
    pub tenant_column: &'a str,
    pub owner: Owner,
    /// What is true of the tenant's rows here.
    pub predicate: &'a str,
}

/// Has the exporting script write `text` as it is.
pub fn say(text: &str) -> String {
    format!("SELECT {};", literal(text))
}

/// Stands for a value in what `say_each` says.
pub const NAMED: &str = "\u{1}";

/// Has the exporting script write `text` once for each row of `source`, with the values of the row in the places that are
/// `NAMED`, in their order, as literals.
pub fn say_each(text: &str, values: &[&str], source: &str) -> String {
    let format = text.replace('%', "%%").replace(NAMED, "%L");
    format!("SELECT pg_catalog.format({}, {}) FROM {source};", literal(&format), values.join(", "))
}

/// The lines of the exporting script for the rows of one table.
pub fn rows(rows: &Rows<'_>) -> Vec<String> {
    // There may be no other column than the tenant's.
    let columns = if rows.columns.is_empty() { "1 AS one".to_owned() } else { rows.columns.join(", ") };
    let mut target = rows.columns.to_vec();
    let mut values = rows.columns.to_vec();
    target.push(rows.tenant_column.to_owned());
    values.push(rows.owner.variable().to_owned());
    vec![
        say(&format!(
            "CREATE TEMPORARY TABLE tenancy_import AS SELECT {columns} FROM {} WITH NO DATA;\n\
             COPY pg_temp.tenancy_import FROM stdin;",
            rows.source
        )),
        format!("COPY (SELECT {columns} FROM {} WHERE {}) TO STDOUT;", rows.source, rows.predicate),
        say("\\."),
        say(&format!(
            "INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM pg_temp.tenancy_import;\n\
             DROP TABLE pg_temp.tenancy_import;",
            rows.relation,
            target.join(", "),
            values.join(", ")
        )),
    ]
}

/// Has the importing script move a sequence past what a column holds in the tenant's rows.
pub fn advance(sequence: &str, column: &str, source: &str, own: &str) -> String {
    say(&format!(
        "SELECT pg_catalog.count(pg_catalog.setval({}, h.highest)) AS tenancy_moved \
         FROM (SELECT pg_catalog.max({column}) AS highest FROM {source} WHERE {own}) AS h \
         WHERE h.highest >= (SELECT s.last_value FROM {sequence} AS s) \\gset",
        literal(sequence)
    ))
}

/// The importing script's lines that fail where `query`, which may use its variables, is true.
pub fn refuse_where(query: &str, message: &str, sqlstate: &str) -> String {
    let body = format!("BEGIN RAISE EXCEPTION USING ERRCODE = '{sqlstate}', MESSAGE = {}; END", literal(message));
    format!("SELECT ({query}) AS tenancy_broken \\gset\n\\if :tenancy_broken\nDO {};\n\\endif", literal(&body))
}

/// A text as psql reads it after `\set name`.
pub fn psql_literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_read_as_it_is() {
        assert_eq!(say("a'b"), "SELECT 'a''b';");
        assert_eq!(say("\\."), "SELECT E'\\\\.';");
        assert_eq!(psql_literal("it's \\ so"), "'it''s \\\\ so'");
        let each = say_each(&format!("100% of {NAMED}"), &["t.name"], "tenants AS t");
        assert_eq!(each, "SELECT pg_catalog.format('100%% of %L', t.name) FROM tenants AS t;");
    }

    #[test]
    fn rows_keep_all_columns_but_the_owner() {
        let columns = ["a".to_owned(), "\"b c\"".to_owned()];
        let lines = rows(&Rows {
            source: "ONLY public.t",
            relation: "public.t",
            columns: &columns,
            tenant_column: "tenant_id",
            owner: Owner::Key,
            predicate: "tenant_id = 'x'",
        });
        assert_eq!(lines[1], "COPY (SELECT a, \"b c\" FROM ONLY public.t WHERE tenant_id = 'x') TO STDOUT;");
        assert!(lines[3].contains("(a, \"b c\", tenant_id)") && lines[3].contains(":''tenant_key''"), "{}", lines[3]);
    }
}
