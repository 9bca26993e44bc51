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
        self.source_as("e")
    }

    fn source_as(self, alias: &str) -> String {
        let json = literal(self.json);
        format!("pg_catalog.jsonb_array_elements({json}::pg_catalog.jsonb) WITH ORDINALITY AS {alias}(entry, place)")
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

/// A column whose values are compared: by what their type writes, or as JSON where that says too much.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Compared {
    pub ident: String,
    pub as_json: bool,
}

/// The values of some columns as text.
fn image(alias: &str, columns: &[Compared]) -> String {
    let values = columns.iter().map(|Compared { ident, as_json }| {
        if *as_json { format!("pg_catalog.to_jsonb({alias}.{ident})") } else { format!("{alias}.{ident}") }
    });
    format!("ROW({})::pg_catalog.text", values.collect::<Vec<_>>().join(", "))
}

fn same_values(one: &str, other: &str, columns: &[Compared]) -> String {
    format!("pg_catalog.texteq({}, {})", image(one, columns), image(other, columns))
}

/// Which row: by its key, and only while it has these values.
fn found(key: &[Key], guard: &[Compared]) -> String {
    let mut conditions = vec![same_key("t", "n", key)];
    if !guard.is_empty() {
        conditions.push(same_values("t", "n", guard));
    }
    conditions.join(" AND ")
}

/// A row of a table without key: any one of those that have these values.
fn any_one(rows: Rows<'_>, source: &str, guard: &[Compared], what: &str) -> String {
    format!(
        "WITH one AS MATERIALIZED (SELECT t.tableoid, t.ctid, {what} FROM {} AS t, {source} WHERE {} LIMIT 1)",
        rows.relation,
        same_values("t", "n", guard)
    )
}

const THAT_ONE: &str = "t.ctid OPERATOR(pg_catalog.=) e.ctid AND t.tableoid OPERATOR(pg_catalog.=) e.tableoid";

/// The places of rows that are there with these values, each as often as there are such; they are locked, so that
/// nobody changes them, nor begins to refer to them.
pub fn locked(rows: Rows<'_>, key: &[Key], guard: &[Compared]) -> String {
    format!("{} FOR UPDATE OF t", standing(rows, key, guard))
}

/// As `locked`, and they are not.
pub fn standing(rows: Rows<'_>, key: &[Key], guard: &[Compared]) -> String {
    format!("SELECT e.place FROM {}, {} AS t WHERE {}", rows.single(), rows.relation, found(key, guard))
}

/// For each row, how many there are that have the same values.
pub fn counts(rows: Rows<'_>, columns: &[Compared]) -> String {
    format!(
        "WITH wanted AS MATERIALIZED (SELECT e.place, {} AS image FROM {}), \
              there AS MATERIALIZED (SELECT {} AS image, pg_catalog.count(*) AS count FROM {} AS t GROUP BY 1) \
         SELECT coalesce(there.count, 0) FROM wanted \
         LEFT JOIN there ON there.image OPERATOR(pg_catalog.=) wanted.image ORDER BY wanted.place",
        image("n", columns),
        rows.single(),
        image("t", columns),
        rows.relation
    )
}

/// How the log holds a column that is given back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    pub name: String,
    pub ident: String,
    pub lossy: Lossy,
    /// The same value is written differently with other settings.
    pub varies: bool,
}

/// What of a type JSON doesn't hold exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lossy {
    Nothing,
    /// NULL looks like JSON's null.
    Null,
    /// That anywhere within.
    NullWithin,
    /// The name of what depends on the search path.
    Name,
    /// How JSON was written.
    All,
}

/// The places of rows of which some value can't be made again from what is recorded.
pub fn not_held(rows: Rows<'_>, half: Option<&str>, columns: &[Held]) -> String {
    let entry = half.map_or("e.entry".to_owned(), |half| format!("pg_catalog.jsonb_object_field(e.entry, '{half}')"));
    let conditions = columns.iter().map(|column| {
        let recorded = format!("pg_catalog.jsonb_object_field({entry}, {})", literal(&column.name));
        let kind = format!("pg_catalog.jsonb_typeof({recorded})");
        let value = format!("n.{}", column.ident);
        let lost = match column.lossy {
            Lossy::Nothing => "false".to_owned(),
            Lossy::Null => format!("{kind} OPERATOR(pg_catalog.=) 'null'"),
            Lossy::NullWithin => format!("pg_catalog.strpos({recorded}::pg_catalog.text, 'null') OPERATOR(pg_catalog.>) 0"),
            Lossy::Name => format!("{kind} OPERATOR(pg_catalog.<>) 'null'"),
            Lossy::All => "true".to_owned(),
        };
        if column.varies {
            return lost;
        }
        format!(
            "{lost} OR NOT coalesce(pg_catalog.jsonb_eq(coalesce(pg_catalog.to_jsonb({value}), 'null'), {recorded}), false)"
        )
    });
    let conditions: Vec<String> = conditions.collect();
    format!(
        "SELECT e.place FROM {}, {} WHERE {}",
        rows.source(),
        rows.row(&entry, "n"),
        if conditions.is_empty() { "false".to_owned() } else { conditions.join(" OR ") }
    )
}

/// Undoes an INSERT.
pub fn delete(rows: Rows<'_>, key: &[Key], guard: &[Compared]) -> String {
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
pub fn update(rows: Rows<'_>, key: &[Key], set: &[String], guard: &[Compared]) -> String {
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

/// A foreign key that refers to a table.
#[derive(Debug, Clone, Copy)]
pub struct Reference<'a> {
    /// The table that refers.
    pub by: &'a str,
    /// Column there, operator, column here.
    pub columns: &'a [(String, String, String)],
    /// The columns here, with their types.
    pub here: &'a [String],
}

/// The places of rows that rows of another table refer to. Rows of the same table that are among these don't count.
pub fn referred_to(rows: Rows<'_>, reference: Reference<'_>, own_key: Option<&[Key]>) -> String {
    let same: Vec<String> =
        reference.columns.iter().map(|(there, equals, here)| format!("n.{here} {equals} c.{there}")).collect();
    let others = own_key.map(|key| {
        let again = rows.row("d.entry", "m");
        let source = rows.source_as("d");
        format!(" AND NOT EXISTS (SELECT FROM {source}, {again} WHERE {})", same_key("c", "m", key))
    });
    format!(
        "SELECT e.place FROM {}, LATERAL pg_catalog.jsonb_to_record(e.entry) AS n({}) \
         WHERE EXISTS (SELECT FROM {} AS c WHERE {}{})",
        rows.source(),
        reference.here.join(", "),
        reference.by,
        same.join(" AND "),
        others.unwrap_or_default()
    )
}
