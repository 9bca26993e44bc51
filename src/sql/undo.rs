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

/// Where a row is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Table,
    /// Recorded, alone.
    Alone,
    /// Recorded, of a pair.
    Was,
    Now,
}

impl Side {
    fn alias(self) -> &'static str {
        match self {
            Self::Table => "t",
            Self::Alone | Self::Now => "n",
            Self::Was => "o",
        }
    }

    /// JSON's null, where that is recorded of a column: under the empty string are the names of those.
    fn json_null(self, name: &str) -> Option<String> {
        let entry = match self {
            Self::Table => return None,
            Self::Alone => "e.entry",
            Self::Was => "pg_catalog.jsonb_object_field(e.entry, 'was')",
            Self::Now => "pg_catalog.jsonb_object_field(e.entry, 'now')",
        };
        Some(format!("CASE WHEN {} THEN 'null'::pg_catalog.jsonb END", has_json_null(entry, name)))
    }
}

fn has_json_null(entry: &str, name: &str) -> String {
    format!("pg_catalog.jsonb_exists(pg_catalog.jsonb_object_field({entry}, ''), {})", literal(name))
}

/// A column whose values are compared: by what their type writes, or as JSON where that says too much.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Compared {
    pub name: String,
    pub ident: String,
    pub as_json: bool,
}

/// The values of some columns as text.
fn image(side: Side, columns: &[Compared]) -> String {
    let values = columns.iter().map(|Compared { name, ident, as_json }| {
        let value = format!("{}.{ident}", side.alias());
        match side.json_null(name) {
            _ if !as_json => value,
            Some(null) => format!("coalesce(pg_catalog.to_jsonb({value}), {null})"),
            None => format!("pg_catalog.to_jsonb({value})"),
        }
    });
    format!("ROW({})::pg_catalog.text", values.collect::<Vec<_>>().join(", "))
}

fn same_values(recorded: Side, columns: &[Compared]) -> String {
    format!("pg_catalog.texteq({}, {})", image(Side::Table, columns), image(recorded, columns))
}

/// Which row: by its key, and only while it has these values.
fn found(recorded: Side, key: &[Key], guard: &[Compared]) -> String {
    let mut conditions = vec![same_key("t", "n", key)];
    if !guard.is_empty() {
        conditions.push(same_values(recorded, guard));
    }
    conditions.join(" AND ")
}

/// A row of a table without key: any one of those that have these values.
fn any_one(rows: Rows<'_>, recorded: Side, guard: &[Compared], what: &str) -> String {
    let source = if recorded == Side::Alone { rows.single() } else { rows.pairs() };
    format!(
        "WITH one AS MATERIALIZED (SELECT t.tableoid, t.ctid, {what} FROM {} AS t, {source} WHERE {} LIMIT 1)",
        rows.relation,
        same_values(recorded, guard)
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
    format!("SELECT e.place FROM {}, {} AS t WHERE {}", rows.single(), rows.relation, found(Side::Alone, key, guard))
}

/// For each row, how many there are that have the same values.
pub fn counts(rows: Rows<'_>, columns: &[Compared]) -> String {
    format!(
        "WITH wanted AS MATERIALIZED (SELECT e.place, {} AS image FROM {}), \
              there AS MATERIALIZED (SELECT {} AS image, pg_catalog.count(*) AS count FROM {} AS t GROUP BY 1) \
         SELECT coalesce(there.count, 0) FROM wanted \
         LEFT JOIN there ON there.image OPERATOR(pg_catalog.=) wanted.image ORDER BY wanted.place",
        image(Side::Alone, columns),
        rows.single(),
        image(Side::Table, columns),
        rows.relation
    )
}

/// What a trigger is likely to set a column to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Nature {
    /// `timestamptz`, `timestamp` or `date`: the present.
    Time,
    LocalTime,
    Date,
    /// What is counted, or made anew.
    Number,
    /// Who acts.
    Other,
}

/// A column that triggers may set.
#[derive(Debug, Clone)]
pub struct Set {
    pub compared: Compared,
    pub nature: Nature,
}

impl Set {
    fn value(&self, side: Side) -> String {
        image(side, std::slice::from_ref(&self.compared))
    }

    /// Whether the column has the present time, or who acts.
    fn is_of_now(&self) -> String {
        let column = format!("t.{}", self.compared.ident);
        let second = "'1 second'::pg_catalog.interval";
        let about_now = |time: &str| {
            format!(
                "({time} OPERATOR(pg_catalog.>=) (pg_catalog.now() OPERATOR(pg_catalog.-) {second}) \
                  AND {time} OPERATOR(pg_catalog.<=) (pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) {second}))"
            )
        };
        // Nobody, where no user is known.
        let who = format!(
            "{} OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT ROW(w.who)::pg_catalog.text FROM (VALUES \
                (current_user::pg_catalog.text), (session_user::pg_catalog.text), \
                (pg_catalog.current_setting('tenancy.user_id', true)), \
                (CASE WHEN pg_catalog.current_setting('tenancy.user_id', true) OPERATOR(pg_catalog.<>) '' \
                  THEN pg_catalog.current_setting('tenancy.user_id', true) END)) AS w(who)))",
            self.value(Side::Table)
        );
        let holds = match self.nature {
            Nature::Time => about_now(&format!("{column}::pg_catalog.timestamptz")),
            Nature::LocalTime => {
                let utc = format!("pg_catalog.timezone('UTC', {column}::pg_catalog.timestamp)");
                format!("({} OR {})", about_now(&format!("{column}::pg_catalog.timestamptz")), about_now(&utc))
            }
            Nature::Date => format!(
                "{column}::pg_catalog.date OPERATOR(pg_catalog.=) ANY (ARRAY[pg_catalog.now()::pg_catalog.date, \
                  pg_catalog.timezone('UTC', pg_catalog.now())::pg_catalog.date])"
            ),
            Nature::Number | Nature::Other => who,
        };
        format!("coalesce({holds}, false)")
    }
}

/// Of rows that are there, the places, and what columns hold, or did.
pub fn holding(rows: Rows<'_>, key: &[Key], columns: &[Set], formerly: bool) -> String {
    let side = if formerly { Side::Was } else { Side::Table };
    let holds: Vec<String> = columns.iter().map(|column| column.value(side)).collect();
    format!(
        "SELECT e.place, ARRAY[{}], '{{}}'::pg_catalog.bool[] FROM {}, {} AS t WHERE {}",
        holds.join(", "),
        rows.pairs(),
        rows.relation,
        same_key("t", "n", key)
    )
}

/// Gives columns back, or touches the rows where there are none. Returns the places, what the columns that triggers may
/// set hold then, and whether that is of now.
pub fn tried(rows: Rows<'_>, key: &[Key], given: &[Held], touched: &str, columns: &[Set]) -> String {
    let holds: Vec<String> = columns.iter().map(|column| column.value(Side::Table)).collect();
    let of_now: Vec<String> = columns.iter().map(|column| column.is_of_now()).collect();
    let touch = format!("UPDATE {} AS t SET {touched} = t.{touched}", rows.relation);
    let statement = if given.is_empty() {
        format!("{touch} FROM {} WHERE {}", rows.pairs(), found(Side::Now, key, &[]))
    } else {
        update(rows, key, given, &[])
    };
    format!("{statement} RETURNING e.place, ARRAY[{}], ARRAY[{}]", holds.join(", "), of_now.join(", "))
}

/// The names of columns in which some of the rows are not as they were.
pub fn differing(rows: Rows<'_>, key: &[Key], columns: &[Set]) -> String {
    let cases = columns.iter().map(|column| {
        let differs = format!("{} OPERATOR(pg_catalog.<>) {}", column.value(Side::Table), column.value(Side::Was));
        format!("CASE WHEN {differs} THEN {} END", literal(&column.compared.name))
    });
    format!(
        "SELECT DISTINCT c.name FROM {}, {} AS t, LATERAL pg_catalog.unnest(ARRAY[{}]::pg_catalog.text[]) AS c(name) \
         WHERE {} AND c.name IS NOT NULL ORDER BY c.name",
        rows.pairs(),
        rows.relation,
        cases.collect::<Vec<_>>().join(", "),
        same_key("t", "n", key)
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

impl Held {
    fn value(&self, side: Side) -> String {
        let value = format!("{}.{}", side.alias(), self.ident);
        match side.json_null(&self.name) {
            Some(null) if self.lossy == Lossy::Null => format!("coalesce({value}, {null})"),
            _ => value,
        }
    }
}

/// What of a type JSON doesn't hold exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lossy {
    Nothing,
    /// JSON's null is recorded beside it.
    Null,
    /// It isn't, anywhere within.
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
            Lossy::Nothing | Lossy::Null => "false".to_owned(),
            Lossy::NullWithin => format!("pg_catalog.strpos({recorded}::pg_catalog.text, 'null') OPERATOR(pg_catalog.>) 0"),
            Lossy::Name => format!("{kind} OPERATOR(pg_catalog.<>) 'null'"),
            Lossy::All => format!(
                "{kind} OPERATOR(pg_catalog.<>) 'null' OR coalesce({}, false)",
                has_json_null(&entry, &column.name)
            ),
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
        let one = any_one(rows, Side::Alone, guard, "e.place");
        return format!("{one} DELETE FROM {relation} AS t USING one AS e WHERE {THAT_ONE}");
    }
    format!("DELETE FROM {relation} AS t USING {} WHERE {}", rows.single(), found(Side::Alone, key, guard))
}

/// Undoes a DELETE.
pub fn insert(rows: Rows<'_>, columns: &[Held]) -> String {
    let values: Vec<String> = columns.iter().map(|column| column.value(Side::Alone)).collect();
    let columns: Vec<&str> = columns.iter().map(|column| column.ident.as_str()).collect();
    format!(
        "INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM {} ORDER BY e.place",
        rows.relation,
        columns.join(", "),
        values.join(", "),
        rows.single()
    )
}

/// Undoes an UPDATE of these columns.
pub fn update(rows: Rows<'_>, key: &[Key], set: &[Held], guard: &[Compared]) -> String {
    let relation = rows.relation;
    if key.is_empty() {
        let values =
            set.iter().enumerate().map(|(place, column)| format!("{} AS value{place}", column.value(Side::Was)));
        let what: Vec<String> = std::iter::once("e.place".to_owned()).chain(values).collect();
        let one = any_one(rows, Side::Now, guard, &what.join(", "));
        let assigned = set.iter().enumerate().map(|(place, column)| format!("{} = e.value{place}", column.ident));
        let assigned: Vec<String> = assigned.collect();
        return format!("{one} UPDATE {relation} AS t SET {} FROM one AS e WHERE {THAT_ONE}", assigned.join(", "));
    }
    let assigned: Vec<String> =
        set.iter().map(|column| format!("{} = {}", column.ident, column.value(Side::Was))).collect();
    let found = found(Side::Now, key, guard);
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
pub fn referred_to(rows: Rows<'_>, reference: Reference<'_>, own_key: Option<(&[Key], &[String])>) -> String {
    let same: Vec<String> =
        reference.columns.iter().map(|(there, equals, here)| format!("n.{here} {equals} c.{there}")).collect();
    let others = own_key.map(|(key, bare)| {
        let source = rows.source_as("d");
        format!(
            " AND NOT EXISTS (SELECT FROM {source}, LATERAL pg_catalog.jsonb_to_record(d.entry) AS m({}) WHERE {})",
            bare.join(", "),
            same_key("c", "m", key)
        )
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
