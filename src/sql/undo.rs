//! Statements that undo changes of rows. Identifiers arrive quoted, rows as JSON; operators are written
//! `OPERATOR(…)`.

use super::literal;

/// A column, and the operator by which its values are equal.
pub type Key = (String, String);

/// The table, and rows of it.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    pub relation: &'a str,
    /// A JSON array: of rows, or of objects that hold one that `was` and one that is `now`.
    pub json: &'a str,
}

impl Rows<'_> {
    fn source(self) -> String {
        let json = literal(self.json);
        format!("pg_catalog.jsonb_array_elements({json}::pg_catalog.jsonb) WITH ORDINALITY AS e(entry, place)")
    }

    fn row(self, entry: &str, alias: &str) -> String {
        format!("LATERAL pg_catalog.jsonb_populate_record(NULL::{}, {entry}) AS {alias}", self.relation)
    }

    fn single(self) -> String {
        format!("{}, {}", self.source(), self.row("e.entry", "n"))
    }

    fn pairs(self) -> String {
        let half = |name: &str| format!("pg_catalog.jsonb_object_field(e.entry, '{name}')");
        format!("{}, {}, {}", self.source(), self.row(&half("was"), "o"), self.row(&half("now"), "n"))
    }
}

fn same_key(one: &str, other: &str, key: &[Key]) -> String {
    let pairs = key.iter().map(|(column, equals)| format!("{one}.{column} {equals} {other}.{column}"));
    pairs.collect::<Vec<_>>().join(" AND ")
}

/// As JSON, whatever the types.
fn same_values(one: &str, other: &str, columns: &[String]) -> String {
    let row = |alias: &str| {
        let columns: Vec<String> = columns.iter().map(|column| format!("{alias}.{column}")).collect();
        format!("pg_catalog.to_jsonb(ROW({}))", columns.join(", "))
    };
    format!("pg_catalog.jsonb_eq({}, {})", row(one), row(other))
}

/// Which row: by its key, and only while it has these values.
fn found(key: &[Key], guard: &[String]) -> String {
    let mut conditions = vec![same_key("t", "n", key)];
    if !guard.is_empty() {
        conditions.push(same_values("t", "n", guard));
    }
    conditions.join(" AND ")
}

/// A row of a table without key: any one of those that have these values.
fn any_one(rows: Rows<'_>, source: &str, guard: &[String], what: &str) -> String {
    format!(
        "WITH one AS MATERIALIZED (SELECT t.tableoid, t.ctid, {what} FROM {} AS t, {source} WHERE {} LIMIT 1)",
        rows.relation,
        same_values("t", "n", guard)
    )
}

const THAT_ONE: &str = "t.ctid OPERATOR(pg_catalog.=) e.ctid AND t.tableoid OPERATOR(pg_catalog.=) e.tableoid";

/// Undoes an INSERT.
pub fn delete(rows: Rows<'_>, key: &[Key], guard: &[String]) -> String {
    let relation = rows.relation;
    if key.is_empty() {
        let one = any_one(rows, &rows.single(), guard, "e.place");
        return format!("{one} DELETE FROM {relation} AS t USING one AS e WHERE {THAT_ONE}");
    }
    format!("DELETE FROM {relation} AS t USING {} WHERE {}", rows.single(), found(key, guard))
}

/// Undoes a DELETE.
pub fn insert(rows: Rows<'_>, columns: &[String]) -> String {
    let values: Vec<String> = columns.iter().map(|column| format!("n.{column}")).collect();
    format!(
        "INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM {} ORDER BY e.place",
        rows.relation,
        columns.join(", "),
        values.join(", "),
        rows.single()
    )
}

/// Undoes an UPDATE of these columns.
pub fn update(rows: Rows<'_>, key: &[Key], set: &[String], guard: &[String]) -> String {
    let relation = rows.relation;
    if key.is_empty() {
        let values = set.iter().enumerate().map(|(place, column)| format!("o.{column} AS value{place}"));
        let what: Vec<String> = std::iter::once("e.place".to_owned()).chain(values).collect();
        let one = any_one(rows, &rows.pairs(), guard, &what.join(", "));
        let assigned = set.iter().enumerate().map(|(place, column)| format!("{column} = e.value{place}"));
        let assigned: Vec<String> = assigned.collect();
        return format!("{one} UPDATE {relation} AS t SET {} FROM one AS e WHERE {THAT_ONE}", assigned.join(", "));
    }
    let assigned: Vec<String> = set.iter().map(|column| format!("{column} = o.{column}")).collect();
    let found = found(key, guard);
    format!("UPDATE {relation} AS t SET {} FROM {} WHERE {found}", assigned.join(", "), rows.pairs())
}

/// Has a statement return the places of the rows that it found.
pub fn returning_places(statement: &str) -> String {
    format!("{statement} RETURNING e.place")
}

/// The places of rows whose key is taken.
pub fn taken(rows: Rows<'_>, key: &[Key]) -> String {
    format!(
        "SELECT e.place FROM {} WHERE EXISTS (SELECT FROM {} AS t WHERE {})",
        rows.single(),
        rows.relation,
        same_key("t", "n", key)
    )
}

/// The places of rows that are again as they were.
pub fn already_undone(rows: Rows<'_>, key: &[Key], set: &[String]) -> String {
    let (pairs, relation) = (rows.pairs(), rows.relation);
    format!(
        "SELECT e.place FROM {pairs}, {relation} AS t WHERE {} AND {}",
        same_key("t", "n", key),
        same_values("t", "o", set)
    )
}

/// The places of rows that rows of another table refer to, by columns there and here with the operator between. Rows
/// of the same table that are among these don't count.
pub fn referred_to(rows: Rows<'_>, by: &str, columns: &[(String, String, String)], own_key: Option<&[Key]>) -> String {
    let same: Vec<String> =
        columns.iter().map(|(there, equals, here)| format!("n.{here} {equals} c.{there}")).collect();
    let others = own_key.map(|key| {
        let again = rows.row("d.entry", "m");
        let source = rows.source().replace(" AS e(entry, place)", " AS d(entry, place)");
        format!(" AND NOT EXISTS (SELECT FROM {source}, {again} WHERE {})", same_key("c", "m", key))
    });
    format!(
        "SELECT e.place FROM {} WHERE EXISTS (SELECT FROM {by} AS c WHERE {}{})",
        rows.single(),
        same.join(" AND "),
        others.unwrap_or_default()
    )
}
