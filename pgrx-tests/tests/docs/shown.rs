//! What a page shows of a block's outcome, and whether that is so.

use std::ops::Range;

use tenancy_harness::postgres::SimpleQueryMessage;
use tenancy_harness::postgres::error::DbError;

/// What a block gave.
#[derive(Debug)]
pub enum Outcome {
    /// The results that have columns, in order.
    Rows(Vec<Table>),
    /// ERROR, DETAIL and HINT as psql prints them.
    Refused(Vec<String>),
}

impl Default for Outcome {
    fn default() -> Self {
        Self::Rows(Vec::new())
    }
}

#[derive(Debug)]
pub struct Table {
    names: Vec<String>,
    rows: Vec<Vec<String>>,
}

/// An output on a page.
#[derive(Debug, Default)]
pub struct Shown {
    pub line: usize,
    pub lines: Range<usize>,
    pub only: Option<u32>,
    pub varies: Vec<Varying>,
    text: Vec<String>,
}

/// What differs from run to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Varying {
    Uuid,
    Time,
    /// Every number.
    Number,
    /// Long hexadecimal numbers: tokens and hashes.
    Hex,
    /// What the planner expects of a node.
    Cost,
    /// What was in memory, and what came from disk.
    Buffers,
}

impl Outcome {
    pub fn of(messages: &[SimpleQueryMessage]) -> Self {
        let mut tables: Vec<Table> = Vec::new();
        for message in messages {
            match message {
                SimpleQueryMessage::RowDescription(columns) => {
                    let names = columns.iter().map(|column| column.name().to_owned()).collect();
                    tables.push(Table { names, rows: Vec::new() });
                }
                SimpleQueryMessage::Row(row) => {
                    let cells = (0..row.len()).map(|cell| row.get(cell).unwrap_or_default().to_owned()).collect();
                    if let Some(table) = tables.last_mut() {
                        table.rows.push(cells);
                    }
                }
                _ => {}
            }
        }
        Self::Rows(tables)
    }

    /// With the name that the database has on the pages.
    pub fn with_database(mut self, name: &str) -> Self {
        if let Self::Rows(tables) = &mut self {
            for cell in tables.iter_mut().flat_map(|table| table.rows.iter_mut().flatten()) {
                *cell = cell.replace(name, "shop");
            }
        }
        self
    }

    pub fn refused(error: &DbError) -> Self {
        let mut lines = vec![format!("ERROR:  {}", error.message())];
        lines.extend(error.detail().map(|detail| format!("DETAIL:  {detail}")));
        lines.extend(error.hint().map(|hint| format!("HINT:  {hint}")));
        Self::Refused(lines)
    }
}

impl Table {
    /// As psql prints it, without the number of rows; without a heading, if it is to be plain.
    fn print(&self, plain: bool) -> Vec<String> {
        if plain {
            let rows = self.rows.iter().map(|row| row.join("|"));
            return rows.flat_map(|row| row.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
        }
        let longest = |cell: &str| cell.lines().map(|line| line.chars().count()).max().unwrap_or_default();
        let columns: Vec<(usize, bool)> = (0..self.names.len())
            .map(|column| {
                let cells = || self.rows.iter().map(move |row| row[column].as_str()).filter(|cell| !cell.is_empty());
                let width = cells().map(longest).max().unwrap_or_default().max(longest(&self.names[column]));
                (width, cells().next().is_some() && cells().all(is_number))
            })
            .collect();
        let heading = self.names.iter().zip(&columns).map(|(name, (width, _))| format!(" {name:^width$} "));
        let rule = columns.iter().map(|(width, _)| "-".repeat(width + 2));
        let mut lines = vec![heading.collect::<Vec<_>>().join("|"), rule.collect::<Vec<_>>().join("+")];
        for row in &self.rows {
            let height = row.iter().map(|cell| cell.lines().count()).max().unwrap_or_default().max(1);
            for nth in 0..height {
                let cells = row.iter().zip(&columns).map(|(cell, &(width, right))| {
                    let line = cell.lines().nth(nth).unwrap_or_default();
                    let more = if cell.lines().count() > nth + 1 { '+' } else { ' ' };
                    if right { format!(" {line:>width$}{more}") } else { format!(" {line:<width$}{more}") }
                });
                lines.push(cells.collect::<Vec<_>>().join("|"));
            }
        }
        lines.into_iter().map(|line| line.trim_end().to_owned()).collect()
    }
}

impl Shown {
    /// The lines of a page within a fence.
    pub fn new(text: &[String], lines: Range<usize>) -> Self {
        Self { line: lines.start, lines, text: text.to_vec(), ..Self::default() }
    }

    /// Whether the outcome is what is shown; if not, how it differs.
    pub fn compare(&self, outcome: &Outcome) -> Result<(), String> {
        let given = self.render(outcome);
        let reduce = |lines: &[String]| -> Vec<String> {
            let lines = lines.iter().map(|line| self.reduce(line));
            lines.filter(|line| !line.is_empty() && !is_rule(line)).collect()
        };
        if matches(&reduce(&self.text), &reduce(&given)) {
            return Ok(());
        }
        Err(format!("shown is\n{}\nbut it gave\n{}", self.text.join("\n"), given.join("\n")))
    }

    /// The outcome in the form in which the page has it.
    pub fn render(&self, outcome: &Outcome) -> Vec<String> {
        let tables = match outcome {
            Outcome::Refused(lines) => return lines.clone(),
            Outcome::Rows(tables) => tables,
        };
        let groups: Vec<&[String]> = self.text.split(|line| line.trim().is_empty()).collect();
        let last = &tables[tables.len().saturating_sub(groups.len())..];
        let mut lines = Vec::new();
        for (nth, table) in last.iter().enumerate() {
            if nth > 0 {
                lines.push(String::new());
            }
            let plain = groups.get(nth).is_some_and(|group| !group.get(1).is_some_and(|line| is_rule(line)));
            let mut printed = table.print(plain);
            if self.varies.contains(&Varying::Buffers)
                && let Some(planning) = printed.iter().position(|line| line == "Planning:")
            {
                printed.drain(planning..printed.len().min(planning + 2));
            }
            lines.extend(printed);
        }
        lines
    }

    /// A line without what does not count.
    fn reduce(&self, line: &str) -> String {
        let mut line = line.split_whitespace().collect::<Vec<_>>().join(" ");
        for varying in &self.varies {
            line = varying.hide(&line);
        }
        line
    }
}

impl Varying {
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "uuid" => Self::Uuid,
            "time" => Self::Time,
            "number" => Self::Number,
            "hex" => Self::Hex,
            "cost" => Self::Cost,
            "buffers" => Self::Buffers,
            _ => return None,
        })
    }

    fn hide(self, line: &str) -> String {
        match self {
            // Planning has buffers of its own, but for plans that were made before.
            Self::Buffers if line.starts_with("Buffers:") || line == "Planning:" => String::new(),
            Self::Buffers => line.to_owned(),
            Self::Uuid => hide(line, "<uuid>", |rest| shape(rest, "hhhhhhhh-hhhh-hhhh-hhhh-hhhhhhhhhhhh")),
            Self::Time => hide(line, "<time>", |rest| {
                let length = shape(rest, "dddd-dd-dd dd:dd:dd")?;
                let more = |c: char| c.is_ascii_digit() || ".+-:".contains(c);
                Some(length + rest[length..].find(|c| !more(c)).unwrap_or(rest.len() - length))
            }),
            Self::Number => hide(line, "<number>", |rest| {
                rest.starts_with(|c: char| c.is_ascii_digit()).then(|| {
                    let length = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(rest.len());
                    rest[..length].trim_end_matches('.').len()
                })
            }),
            Self::Cost => hide(line, "<cost>", |rest| Some(rest.strip_prefix("(cost=")?.find(')')? + "(cost=)".len())),
            Self::Hex => hide(line, "<hex>", |rest| {
                let length = rest.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(rest.len());
                (length >= 32).then_some(length)
            }),
        }
    }
}

/// `line` with `mark` for whatever is found; `find` tells how long it is at the beginning of a text.
fn hide(line: &str, mark: &str, find: impl Fn(&str) -> Option<usize>) -> String {
    let mut hidden = String::new();
    let mut rest = line;
    while let Some(next) = rest.chars().next() {
        match find(rest) {
            Some(length) if length > 0 => {
                hidden.push_str(mark);
                rest = &rest[length..];
            }
            _ => {
                hidden.push(next);
                rest = &rest[next.len_utf8()..];
            }
        }
    }
    hidden
}

/// The length of a shape with `d` for a digit and `h` for a hexadecimal one, if the text begins with it.
fn shape(text: &str, shape: &str) -> Option<usize> {
    let mut letters = text.chars();
    let fits = shape.chars().all(|wanted| {
        letters.next().is_some_and(|letter| match wanted {
            'd' => letter.is_ascii_digit(),
            'h' => letter.is_ascii_hexdigit(),
            _ => letter == wanted,
        })
    });
    fits.then_some(shape.len())
}

fn is_number(cell: &str) -> bool {
    cell.parse::<f64>().is_ok() && !cell.contains(|c: char| c.is_ascii_alphabetic())
}

/// The line under a heading.
fn is_rule(line: &str) -> bool {
    line.starts_with("--") && line.chars().all(|c| c == '-' || c == '+')
}

/// A line `…` stands for any number of lines, `…` within one for anything.
fn matches(shown: &[String], given: &[String]) -> bool {
    match shown.split_first() {
        None => given.is_empty(),
        Some((line, rest)) if line == "…" => (0..=given.len()).any(|skipped| matches(rest, &given[skipped..])),
        Some((line, rest)) => {
            given.split_first().is_some_and(|(first, others)| line_matches(line, first) && matches(rest, others))
        }
    }
}

fn line_matches(shown: &str, given: &str) -> bool {
    let mut parts = shown.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = given.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(found) = rest.find(part) else { return false };
        rest = &rest[found + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Shown {
        Shown::new(&text.lines().map(str::to_owned).collect::<Vec<_>>(), 0..0)
    }

    fn table(names: &[&str], rows: &[&[&str]]) -> Table {
        let own = |cells: &[&str]| cells.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>();
        Table { names: own(names), rows: rows.iter().map(|row| own(row)).collect() }
    }

    fn outcome() -> Outcome {
        Outcome::Rows(vec![table(&["other"], &[&["x"]]), table(&["item", "n"], &[&["anvil", "1"], &["rope", "20"]])])
    }

    #[test]
    fn the_last_rows_are_what_is_shown() {
        let text = " item  | n\n-------+----\n anvil |  1\n rope  | 20";
        assert_eq!(shown(text).render(&outcome()).join("\n"), text);
        shown(text).compare(&outcome()).expect("as shown");
        shown("item|n\n---\nanvil|1\n…").compare(&outcome()).expect_err("spaces stand between words");
        shown("anvil|1\n…").compare(&outcome()).expect("plain");
        shown("x\n\n item | n\n---+---\nanv… | 1\nrope | 2…").compare(&outcome()).expect("two results");
        for wrong in [" item | n\n---+---\n anvil | 1", " item | m\n---+---\n anvil | 1\n rope | 20", "", "rope|20"] {
            shown(wrong).compare(&outcome()).expect_err(wrong);
        }
    }

    #[test]
    fn what_varies_is_left_out_of_the_comparison() {
        let given = "3f1c7f0e-7e5d-4d0a-9a55-2a0d7c0e5a11 at 2026-11-28 17:53:45.1234+00, 0.035 s";
        let pairs = [
            (Varying::Uuid, "<uuid> at 2026-11-28 17:53:45.1234+00, 0.035 s"),
            (Varying::Time, "3f1c7f0e-7e5d-4d0a-9a55-2a0d7c0e5a11 at <time>, 0.035 s"),
        ];
        for (varying, hidden) in pairs {
            assert_eq!(varying.hide(given), hidden);
        }
        assert_eq!(Varying::Number.hide("in 35.974 seconds."), "in <number> seconds.");
        assert_eq!(Varying::Buffers.hide("Buffers: shared hit=4 read=1"), "");
        assert_eq!(
            Varying::Cost.hide("-> Seq Scan on a (cost=0.00..1.05 rows=5 width=4) (rows=5)"),
            "-> Seq Scan on a <cost> (rows=5)"
        );
        assert_eq!(Varying::Hex.hide(&"a1".repeat(16)), "<hex>");
    }

    #[test]
    fn an_error_is_compared_as_psql_prints_it() {
        let refused = Outcome::Refused(vec!["ERROR:  no".into(), "HINT:  Ask.".into()]);
        shown("ERROR:  no\nHINT:  Ask.").compare(&refused).expect("as shown");
        shown("ERROR:  no\n…").compare(&refused).expect("as far as shown");
        shown("ERROR:  yes\nHINT:  Ask.").compare(&refused).expect_err("another error");
    }
}
