//! What a transaction did to each row, and so what the row must be like before that is undone, and after.

use super::owned::compared;
use super::revert::Facts;
use crate::catalog::undo::{self, Entry};
use crate::error::{Error, Result};
use crate::sql::undo::{self as sql, Compared, Key, Lossy, Rows};
use crate::sys::{Oid, backend};
use serde_json::json;
use std::collections::{BTreeSet, HashMap, HashSet};

/// Rows are looked at together, up to so many bytes of JSON.
pub const MOST_BYTES: usize = 16 * 1024 * 1024;

/// A row of a table with a key, from the first change of it by the transaction to the last.
#[derive(Debug)]
pub struct Row<'a> {
    pub first: &'a Entry,
    pub last: &'a Entry,
    /// What was changed in it.
    pub changed: BTreeSet<&'a str>,
}

impl<'a> Row<'a> {
    fn new(entry: &'a Entry) -> Self {
        let mut row = Self { first: entry, last: entry, changed: BTreeSet::new() };
        row.add(entry);
        row
    }

    fn add(&mut self, entry: &'a Entry) {
        self.last = entry;
        self.changed.extend(entry.changed.iter().map(String::as_str));
    }

    fn is_new(&self) -> bool {
        self.first.op == "INSERT"
    }

    fn is_gone(&self) -> bool {
        self.last.op == "DELETE"
    }
}

/// What became of each row, by entries of which the last comes first.
pub fn rows(entries: &[Entry]) -> Vec<Row<'_>> {
    let mut rows: Vec<Row<'_>> = Vec::new();
    let mut living: HashMap<(Oid, &str), usize> = HashMap::new();
    let mut rest = entries.iter().rev().peekable();
    while let Some(entry) = rest.next() {
        match entry.op.as_str() {
            "INSERT" => {
                living.insert((entry.table, &entry.key), rows.len());
                rows.push(Row::new(entry));
            }
            "DELETE" => match living.remove(&(entry.table, entry.key.as_str())) {
                Some(row) => rows[row].add(entry),
                None => rows.push(Row::new(entry)),
            },
            _ => {
                // In one statement a row may take the key of another, which has changed as well.
                let mut together = vec![entry];
                let is_of_same =
                    |next: &&Entry| next.op == entry.op && next.table == entry.table && next.at == entry.at;
                while let Some(next) = rest.next_if(is_of_same) {
                    together.push(next);
                }
                let before: Vec<Option<usize>> =
                    together.iter().map(|one| living.remove(&(one.table, one.former_key.as_str()))).collect();
                for (one, row) in together.into_iter().zip(before) {
                    let row = match row {
                        Some(row) => {
                            rows[row].add(one);
                            row
                        }
                        None => {
                            rows.push(Row::new(one));
                            rows.len() - 1
                        }
                    };
                    living.insert((one.table, &one.key), row);
                }
            }
        }
    }
    rows
}

/// Rows of one table that one query looks at.
struct Batch<'a> {
    facts: &'a Facts,
    columns: Vec<Compared>,
    /// Each as JSON, and the entry that is named when there is something wrong with it.
    rows: Vec<(&'a str, &'a Entry)>,
    bytes: usize,
}

impl Batch<'_> {
    fn json(&self) -> String {
        let rows: Vec<&str> = self.rows.iter().map(|(json, _)| *json).collect();
        format!("[{}]", rows.join(", "))
    }

    /// Each row must be among the places once.
    fn check_each_once(&self, places: &[i64], missing: &str) -> Result<()> {
        let mut found = vec![0_u8; self.rows.len()];
        for place in places {
            if let Some(count) = usize::try_from(*place - 1).ok().and_then(|place| found.get_mut(place)) {
                *count = count.saturating_add(1);
            }
        }
        for (count, (_, entry)) in found.into_iter().zip(&self.rows) {
            match count {
                1 => {}
                0 => return Err(self.facts.cant(entry, missing.into())),
                _ => return Err(self.facts.cant(entry, SEVERAL.into())),
            }
        }
        Ok(())
    }
}

impl Batch<'_> {
    /// In which columns the first row that is not among the places is not as it was.
    fn told(&self, places: &[i64], key: &[Key]) -> Result<Option<Error>> {
        let is_missing = |place: &usize| !places.contains(&(*place as i64 + 1));
        let Some((row, entry)) = (0..self.rows.len()).find(is_missing).map(|place| self.rows[place]) else {
            return Ok(None);
        };
        let sets = self.facts.sets(|column| self.columns.iter().any(|one| one.ident == column.ident));
        let pair = format!("[{{\"was\": {row}, \"now\": {row}}}]");
        let names = undo::run_for_texts(&sql::differing(self.facts.rows(&pair), key, &sets))?;
        if names.is_empty() {
            return Ok(None);
        }
        let reason = format!("In \"{}\" the row would not be as it was: {OTHERWISE}", names.join("\", \""));
        Ok(Some(self.facts.cant(entry, reason)))
    }
}

pub const SEVERAL: &str = "Several rows have its key.";
const NOT_AS_IT_WAS: &str = "The row would not be as it was: triggers, rules or actions of foreign keys do otherwise.";
const OTHERWISE: &str = "triggers, rules or actions of foreign keys do otherwise. \
                         Columns that tenancy.audit() is told to ignore may differ.";

#[derive(Default)]
struct Batches<'a> {
    open: HashMap<(Oid, Vec<Compared>), usize>,
    all: Vec<Batch<'a>>,
}

impl<'a> Batches<'a> {
    fn add(&mut self, facts: &'a Facts, columns: Vec<Compared>, json: &'a str, entry: &'a Entry) {
        let like = (facts.oid, columns);
        let place = match self.open.get(&like) {
            Some(place) if self.all[*place].bytes + json.len() <= MOST_BYTES => *place,
            _ => {
                self.all.push(Batch { facts, columns: like.1.clone(), rows: Vec::new(), bytes: 0 });
                self.open.insert(like, self.all.len() - 1);
                self.all.len() - 1
            }
        };
        self.all[place].rows.push((json, entry));
        self.all[place].bytes += json.len();
    }
}

/// A whole row, and its place among the copies.
type Copied<'a> = (usize, &'a str);

/// What is looked at when a transaction is to be undone.
pub struct Expected<'a> {
    txid: u64,
    tables: &'a HashMap<Oid, Facts>,
    /// Of tables with a key.
    rows: Vec<Row<'a>>,
    /// Of tables without: whole rows, and how many more there will be of each.
    copies: HashMap<(Oid, &'a str), (i64, &'a Entry)>,
}

impl<'a> Expected<'a> {
    pub fn new(txid: u64, entries: &'a [Entry], tables: &'a HashMap<Oid, Facts>) -> Self {
        let has_key = |table: &Oid| tables.get(table).is_some_and(|facts| !facts.table.key.is_empty());
        let mut copies: HashMap<(Oid, &'a str), (i64, &'a Entry)> = HashMap::new();
        for entry in entries.iter().filter(|entry| !has_key(&entry.table)) {
            for (row, more) in [(&entry.was, 1), (&entry.now, -1)] {
                if let Some(row) = row {
                    copies.entry((entry.table, row)).or_insert((0, entry)).0 += more;
                }
            }
        }
        let rows = rows(entries).into_iter().filter(|row| has_key(&row.first.table)).collect();
        Self { txid, tables, rows, copies }
    }

    /// Locks the rows that the transaction left, and looks whether they are still as it left them. Returns how many
    /// copies there are of rows without key.
    pub fn before(&self) -> Result<Vec<i64>> {
        let mut batches = Batches::default();
        for row in self.rows.iter().filter(|row| !row.is_gone()) {
            let (Some(facts), Some(now)) = (self.tables.get(&row.last.table), &row.last.now) else { continue };
            batches.add(facts, at_stake(facts, row, row.last, row.is_new())?, now, row.last);
        }
        for batch in batches.all {
            let (key, json) = (batch.facts.key(batch.rows[0].1)?, batch.json());
            let places = undo::run(&sql::locked(batch.facts.rows(&json), &key, &batch.columns))?;
            batch.check_each_once(&places, "The row was changed since, or is not there any more.")?;
        }
        self.check_later_entries()?;
        self.counts()
    }

    /// What values don't tell: that the row is another one, or what the log doesn't hold of them.
    fn check_later_entries(&self) -> Result<()> {
        let mut by_table: HashMap<Oid, Vec<&Row<'_>>> = HashMap::new();
        for row in self.rows.iter().filter(|row| !row.is_gone()) {
            by_table.entry(row.last.table).or_default().push(row);
        }
        for (table, rows) in by_table {
            let Some(facts) = self.tables.get(&table) else { continue };
            let unseen = facts.unseen();
            for rows in rows.chunks(1000) {
                backend::check_for_interrupts();
                let asked = rows.iter().map(|row| {
                    // Redacted columns are not given back.
                    let counts = |name: &&&str| {
                        row.is_new()
                            || row.changed.contains(**name) && !facts.config.redact.iter().any(|one| one == **name)
                    };
                    let columns: Vec<&&str> = unseen.iter().filter(counts).collect();
                    format!("{{\"key\": {}, \"id\": {}, \"columns\": {}}}", row.last.key, row.last.id, json!(columns))
                });
                let asked = format!("[{}]", asked.collect::<Vec<_>>().join(", "));
                let changed = undo::with_later_entries(table, self.txid, &asked)?.into_iter().min();
                if let Some(row) = changed.and_then(|place| rows.get(usize::try_from(place - 1).ok()?)) {
                    let reason = "The row was changed since, or was removed and another one came in its place.";
                    return Err(facts.cant(row.last, reason.into()));
                }
            }
        }
        Ok(())
    }

    /// Looks whether all rows are as they were before the transaction.
    pub fn after(&self, counted: &[i64]) -> Result<()> {
        let (mut there, mut gone) = (Batches::default(), Batches::default());
        let former = |row: &&Row<'a>| (row.first.table, row.first.former_key.as_str());
        let before: HashSet<(Oid, &str)> =
            self.rows.iter().filter(|row| !row.is_new()).map(|row| former(&row)).collect();
        for row in &self.rows {
            let Some(facts) = self.tables.get(&row.first.table) else { continue };
            if let (false, Some(was)) = (row.is_new(), &row.first.was) {
                there.add(facts, at_stake(facts, row, row.first, row.is_gone())?, was, row.first);
            }
            if let (false, Some(now)) = (row.is_gone(), &row.last.now)
                && !before.contains(&(row.last.table, row.last.key.as_str()))
            {
                gone.add(facts, Vec::new(), now, row.last);
            }
        }
        for batch in there.all {
            let (key, json) = (batch.facts.key(batch.rows[0].1)?, batch.json());
            let places = undo::run(&sql::standing(batch.facts.rows(&json), &key, &batch.columns))?;
            if let Err(error) = batch.check_each_once(&places, NOT_AS_IT_WAS) {
                return Err(batch.told(&places, &key)?.unwrap_or(error));
            }
        }
        for batch in gone.all {
            let (key, json) = (batch.facts.key(batch.rows[0].1)?, batch.json());
            let still = undo::run(&sql::standing(batch.facts.rows(&json), &key, &[]))?.into_iter().min();
            if let Some((_, entry)) = still.and_then(|place| batch.rows.get(usize::try_from(place - 1).ok()?)) {
                return Err(batch.facts.cant(entry, NOT_AS_IT_WAS.into()));
            }
        }
        let now = self.counts()?;
        for (((table, _), (more, entry)), (before, now)) in self.copies.iter().zip(counted.iter().zip(&now)) {
            if let (true, Some(facts)) = (before + more != *now, self.tables.get(table)) {
                return Err(facts.cant(entry, NOT_AS_IT_WAS.into()));
            }
        }
        Ok(())
    }

    /// Tells of columns that are as triggers set them.
    pub fn left_to_triggers(&self) -> Vec<String> {
        let mut told: Vec<String> = self
            .tables
            .values()
            .filter_map(|facts| Some(format!("-- {}: triggers set {}", facts.name, facts.owned.borrow().told()?)))
            .collect();
        told.sort();
        told
    }

    /// How many rows there are like each of the copies, in their order.
    fn counts(&self) -> Result<Vec<i64>> {
        let mut counts = Vec::new();
        let mut batches: HashMap<(Oid, &[String]), Vec<Copied<'_>>> = HashMap::new();
        for (place, ((table, row), (_, entry))) in self.copies.iter().enumerate() {
            counts.push(0);
            batches.entry((*table, &entry.recorded)).or_default().push((place, row));
        }
        for ((table, recorded), copies) in batches {
            let Some(facts) = self.tables.get(&table) else { continue };
            let Some((_, (_, entry))) = self.copies.iter().nth(copies[0].0) else { continue };
            let columns = facts.compared(entry, recorded)?;
            let json: Vec<&str> = copies.iter().map(|(_, row)| *row).collect();
            let json = format!("[{}]", json.join(", "));
            let found = undo::run(&sql::counts(facts.rows(&json), &columns))?;
            for ((place, _), count) in copies.iter().zip(found) {
                counts[*place] = count;
            }
        }
        Ok(counts)
    }
}

/// The columns that must be as they are recorded in an entry of the row, whose row it is among them; those that
/// triggers own are not.
fn at_stake(facts: &Facts, row: &Row<'_>, entry: &Entry, whole: bool) -> Result<Vec<Compared>> {
    let owned = facts.owned.borrow();
    let counts = |column: &&String| {
        facts.tenant_column.as_ref() == Some(*column)
            || (whole || row.changed.contains(column.as_str()))
                && !facts.config.ignore.contains(column)
                && !owned.has(column)
    };
    facts.compared(entry, entry.recorded.iter().filter(counts))
}

impl Facts {
    /// The columns of which a change can't be seen by what is recorded.
    fn unseen(&self) -> Vec<&str> {
        let of_type = self.table.columns.iter().filter(|column| !matches!(column.lossy, Lossy::Nothing | Lossy::Null));
        let redacted = self.config.redact.iter().map(String::as_str);
        of_type.map(|column| column.name.as_str()).chain(redacted).collect()
    }

    pub fn rows<'a>(&'a self, json: &'a str) -> Rows<'a> {
        Rows { relation: &self.name, json }
    }

    /// Columns as they are compared, without those that are computed.
    pub fn compared<'a>(&self, entry: &Entry, columns: impl IntoIterator<Item = &'a String>) -> Result<Vec<Compared>> {
        let columns = self.columns(entry, columns)?.into_iter().map(compared);
        Ok(columns.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: i64, op: &str, former_key: &str, key: &str, changed: &[&str]) -> Entry {
        Entry {
            id,
            at: id.to_string(),
            table: Oid::from(1),
            table_name: "t".into(),
            op: op.into(),
            key: key.into(),
            former_key: former_key.into(),
            was: None,
            now: None,
            columns: Vec::new(),
            recorded: Vec::new(),
            changed: changed.iter().map(|column| (*column).to_owned()).collect(),
        }
    }

    fn told(entries: &[Entry]) -> Vec<String> {
        let told = |row: &Row<'_>| {
            format!("{}-{} {}", row.first.id, row.last.id, row.changed.iter().copied().collect::<Vec<_>>().join(","))
        };
        rows(entries).iter().map(told).collect()
    }

    #[test]
    fn a_row_is_followed_through_all_that_the_transaction_changed_in_it() {
        let entries = [
            entry(5, "UPDATE", "1", "7", &["a"]),
            entry(4, "UPDATE", "2", "2", &["c"]),
            entry(3, "UPDATE", "1", "1", &["b"]),
            entry(2, "DELETE", "3", "3", &[]),
            entry(1, "UPDATE", "3", "3", &["d"]),
        ];
        assert_eq!(told(&entries), ["1-2 d", "3-5 a,b", "4-4 c"]);
    }

    #[test]
    fn a_key_that_is_used_again_is_of_another_row() {
        let entries = [
            entry(4, "UPDATE", "1", "1", &["b"]),
            entry(3, "INSERT", "1", "1", &[]),
            entry(2, "DELETE", "1", "1", &[]),
            entry(1, "UPDATE", "1", "1", &["a"]),
        ];
        assert_eq!(told(&entries), ["1-2 a", "3-4 b"]);
    }

    #[test]
    fn rows_that_take_each_others_keys_stay_apart() {
        let mut entries = [
            entry(4, "UPDATE", "2", "2", &["a"]),
            entry(3, "UPDATE", "2", "3", &["id"]),
            entry(2, "UPDATE", "1", "2", &["id"]),
            entry(1, "UPDATE", "1", "1", &["b"]),
        ];
        entries[1].at = "2".into();
        assert_eq!(told(&entries), ["1-4 a,b,id", "3-3 id"]);
    }
}
