//! Undoing what a transaction changed in a tenant's rows, as far as nothing has changed them since.

use crate::catalog::audited::{self, Config};
use crate::catalog::event::{self, Event};
use crate::catalog::registry::as_owner;
use crate::catalog::relations;
use crate::catalog::undo::{self, Entry, Table};
use crate::error::{Error, Result};
use crate::sql::undo::{self as sql, Key, Rows};
use crate::sys::image::ExactOutput;
use crate::sys::{Oid, savepoint};
use serde_json::json;
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, HashSet};
use uuid::Uuid;

/// Rows are changed together, as many as one statement changed, up to so many bytes of JSON.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// Undoes what a transaction changed in the tenant's rows, the last first. Returns the statements. A dry run does it
/// too, and takes it back.
///
/// # Errors
/// 42501 without a tenant; 55000 where later changes are in the way, or what was before is not recorded; what the
/// statements raise.
pub fn revert(txid: u64, tenant: Option<Uuid>, dry_run: bool) -> Result<Vec<String>> {
    let tenant = tenant.ok_or(Error::NoTenant)?;
    let entries = undo::entries(txid, tenant)?;
    let (all, has_truncated) = undo::extent(txid, tenant)?;
    if has_truncated {
        return Err(Error::CantUndoAll { txid, reason: "It truncated a table." });
    }
    if usize::try_from(all) != Ok(entries.len()) {
        return Err(Error::CantUndoAll {
            txid,
            reason: "It changed tables that the role may not read, or that have gone.",
        });
    }
    let _output = ExactOutput::begin();
    let tables = facts(&entries)?;
    let steps = plan(&entries, &tables)?;
    if dry_run {
        return savepoint::rehearse(|| {
            let statements = run(&steps)?;
            undo::check_constraints()?;
            Ok(statements)
        });
    }
    let statements = run(&steps)?;
    if !statements.is_empty() {
        as_owner(|| {
            event::write(Event {
                event: "audit.reverted",
                tenant: Some(tenant),
                detail: Some(json!({ "txid": txid.to_string(), "entries": entries.len() })),
                ..Event::default()
            })
        })?;
    }
    Ok(statements)
}

/// A table as it is now.
#[derive(Debug)]
struct Facts {
    oid: Oid,
    name: String,
    table: Table,
    config: Config,
}

impl Facts {
    fn ident(&self, column: &str) -> Option<&str> {
        self.table.columns.iter().find(|one| one.name == column).map(|one| one.ident.as_str())
    }

    fn is_generated(&self, column: &str) -> bool {
        self.table.columns.iter().any(|one| one.name == column && one.is_generated)
    }

    fn cant(&self, entry: &Entry, reason: String) -> Error {
        Error::CantUndo { id: entry.id, relation: self.name.clone(), reason }
    }

    /// Columns by their quoted names, without those that are computed.
    fn idents<'a>(&self, entry: &Entry, columns: impl IntoIterator<Item = &'a String>) -> Result<Vec<String>> {
        let mut idents = Vec::new();
        for column in columns {
            if self.is_generated(column) {
                continue;
            }
            match self.ident(column) {
                Some(ident) => idents.push(ident.to_owned()),
                None => return Err(self.cant(entry, format!("Column \"{column}\" is not there any more."))),
            }
        }
        Ok(idents)
    }

    /// The key, with quoted names.
    fn key(&self, entry: &Entry) -> Result<Vec<Key>> {
        let mut key = Vec::new();
        for (column, equals) in &self.table.key {
            if !entry.recorded.contains(column) {
                return Err(self.cant(entry, format!("Column \"{column}\" of the key was not there.")));
            }
            key.extend(self.ident(column).map(|ident| (ident.to_owned(), equals.clone())));
        }
        Ok(key)
    }
}

fn facts(entries: &[Entry]) -> Result<HashMap<Oid, Facts>> {
    let mut tables = HashMap::new();
    for entry in entries {
        if tables.contains_key(&entry.table) {
            continue;
        }
        let gone = || Error::CantUndo {
            id: entry.id,
            relation: entry.table_name.clone(),
            reason: "The table is not there any more.".into(),
        };
        let table = undo::table(entry.table)?.ok_or_else(gone)?;
        let config = audited::find(entry.table)?.unwrap_or_default();
        let name = relations::name(entry.table)?;
        tables.insert(entry.table, Facts { oid: entry.table, name, table, config });
    }
    Ok(tables)
}

/// What undoes a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Delete,
    Insert,
    Update,
}

/// What one statement undoes.
#[derive(Debug)]
struct Step<'a> {
    facts: &'a Facts,
    kind: Kind,
    key: Vec<Key>,
    /// The columns that are given back.
    columns: Vec<String>,
    /// The columns that must be as the change left them.
    guard: Vec<String>,
    entries: Vec<&'a Entry>,
    bytes: usize,
}

impl<'a> Step<'a> {
    fn of(facts: &'a Facts, entry: &'a Entry, must_stay: Option<&Stays>) -> Result<Self> {
        let kind = match entry.op.as_str() {
            "INSERT" => Kind::Delete,
            "DELETE" => Kind::Insert,
            _ => Kind::Update,
        };
        let key = facts.key(entry)?;
        let ignored = |column: &&String| facts.config.ignore.contains(column);
        let whole: Vec<&String> = entry.recorded.iter().filter(|column| !ignored(column)).collect();
        let guard = match must_stay {
            _ if kind == Kind::Insert => Vec::new(),
            // Nothing else tells which row it is.
            _ if key.is_empty() => facts.idents(entry, whole)?,
            None => Vec::new(),
            Some(Stays::Whole) => facts.idents(entry, whole)?,
            Some(Stays::Columns(columns)) => {
                facts.idents(entry, columns.iter().filter(|column| entry.recorded.contains(column)))?
            }
        };
        let columns = if kind == Kind::Delete { Vec::new() } else { facts.idents(entry, &entry.columns)? };
        let bytes = entry.was.as_ref().map_or(0, String::len) + entry.now.as_ref().map_or(0, String::len);
        let step = Self { facts, kind, key, columns, guard, entries: vec![entry], bytes };
        step.check(entry)?;
        Ok(step)
    }

    /// Whether what was before is recorded.
    fn check(&self, entry: &Entry) -> Result<()> {
        let facts = self.facts;
        if self.key.is_empty() && !facts.config.redact.is_empty() {
            return Err(facts.cant(entry, "Rows without key may differ in the columns that are redacted.".into()));
        }
        if self.kind != Kind::Insert {
            return Ok(());
        }
        if facts.table.has_children {
            return Err(facts.cant(entry, "The row may have been one of a child table.".into()));
        }
        let is_known = |name: &String| entry.columns.contains(name);
        // Columns that came later are the last ones.
        let known = facts.table.columns.iter().rposition(|column| is_known(&column.name)).map_or(0, |last| last + 1);
        let lost = facts.table.columns.iter().enumerate().find(|(place, column)| {
            !column.is_generated
                && !is_known(&column.name)
                && (*place < known || facts.config.redact.contains(&column.name))
        });
        match lost {
            Some((_, column)) => Err(facts.cant(entry, format!("Column \"{}\" was not recorded.", column.name))),
            None => Ok(()),
        }
    }

    /// Takes another step in, if one statement can do both.
    fn join(&mut self, other: Step<'a>) -> Option<Step<'a>> {
        let fits = self.facts.oid == other.facts.oid
            && self.kind == other.kind
            && !self.key.is_empty()
            && self.columns == other.columns
            && self.guard == other.guard
            && self.bytes + other.bytes <= MOST_BYTES
            // Of an UPDATE a row may come twice.
            && (self.kind != Kind::Update || other.entries.iter().all(|entry| self.is_apart(entry)));
        if !fits {
            return Some(other);
        }
        self.bytes += other.bytes;
        self.entries.extend(other.entries);
        None
    }

    fn is_apart(&self, entry: &Entry) -> bool {
        self.entries.iter().all(|own| own.key != entry.key && own.former_key != entry.key)
    }

    fn json(&self) -> String {
        let null = || "null".to_owned();
        let rows = self.entries.iter().map(|entry| {
            let (was, now) = (entry.was.clone().unwrap_or_else(null), entry.now.clone().unwrap_or_else(null));
            match self.kind {
                Kind::Delete => now,
                Kind::Insert => was,
                Kind::Update => format!("{{\"was\": {was}, \"now\": {now}}}"),
            }
        });
        format!("[{}]", rows.collect::<Vec<_>>().join(", "))
    }

    /// Does it, and returns the statement.
    fn run(&self) -> Result<String> {
        if self.kind == Kind::Update && self.columns.is_empty() {
            let ids: Vec<String> = self.entries.iter().map(|entry| entry.id.to_string()).collect();
            return Ok(format!("-- {}: nothing was recorded to give back, of {}", ids.join(", "), self.facts.name));
        }
        let json = self.json();
        let rows = Rows { relation: &self.facts.name, json: &json };
        if self.kind == Kind::Insert {
            if !self.key.is_empty()
                && let Some(place) = undo::run(&sql::taken(rows, &self.key))?.into_iter().min()
            {
                return Err(self.refused(place, "Its key is in use again."));
            }
            let statement = sql::insert(rows, &self.columns);
            undo::run_whole(&statement)?;
            return Ok(statement);
        }
        if self.kind == Kind::Delete {
            self.check_referrers(rows)?;
        }
        let statement = match self.kind {
            Kind::Delete => sql::delete(rows, &self.key, &self.guard),
            _ => sql::update(rows, &self.key, &self.columns, &self.guard),
        };
        let mut done: HashSet<i64> = undo::run(&sql::returning_places(&statement))?.into_iter().collect();
        if done.len() < self.entries.len() && self.kind == Kind::Update && !self.key.is_empty() {
            done.extend(undo::run(&sql::already_undone(rows, &self.key, &self.columns))?);
        }
        match (1..=self.entries.len() as i64).find(|place| !done.contains(place)) {
            Some(place) => Err(self.refused(place, "The row was changed since, or is not there any more.")),
            None => Ok(statement),
        }
    }

    /// Rows that came later must not go along.
    fn check_referrers(&self, rows: Rows<'_>) -> Result<()> {
        for referrer in &self.facts.table.referrers {
            let own_key = (referrer.table == self.facts.oid).then_some(self.key.as_slice());
            let by = relations::name(referrer.table)?;
            let query = sql::referred_to(rows, &by, &referrer.columns, own_key);
            if let Some(place) = undo::run(&query)?.into_iter().min() {
                return Err(self.refused(place, "Rows that came later refer to the row."));
            }
        }
        Ok(())
    }

    fn refused(&self, place: i64, reason: &str) -> Error {
        let entry = usize::try_from(place - 1).ok().and_then(|place| self.entries.get(place));
        Error::CantUndo {
            id: entry.map_or(0, |entry| entry.id),
            relation: self.facts.name.clone(),
            reason: reason.to_owned(),
        }
    }
}

fn run(steps: &[Step<'_>]) -> Result<Vec<String>> {
    steps.iter().map(Step::run).collect()
}

/// What of a row must be as the transaction left it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stays {
    Whole,
    Columns(BTreeSet<String>),
}

/// For each entry, the last first: what must have stayed, or nothing when a later entry of the same row has been
/// undone before, and triggers may have changed it meanwhile.
fn stays(entries: &[Entry]) -> Vec<Option<Stays>> {
    let mut changed: HashMap<(Oid, &str), Stays> = HashMap::new();
    let mut stays: Vec<Option<Stays>> = Vec::with_capacity(entries.len());
    for entry in entries.iter().rev() {
        let before = changed.remove(&(entry.table, entry.former_key.as_str()));
        let now = match (entry.op.as_str(), before) {
            ("INSERT", _) | (_, Some(Stays::Whole)) => Stays::Whole,
            (_, Some(Stays::Columns(mut columns))) => {
                columns.extend(entry.changed.iter().cloned());
                Stays::Columns(columns)
            }
            (_, None) => Stays::Columns(entry.changed.iter().cloned().collect()),
        };
        if entry.op != "DELETE" {
            changed.insert((entry.table, &entry.key), now.clone());
        }
        stays.push(Some(now));
    }
    stays.reverse();
    let mut undone: HashSet<(Oid, &str)> = HashSet::new();
    for (entry, stays) in entries.iter().zip(&mut stays) {
        if undone.remove(&(entry.table, entry.key.as_str())) {
            *stays = None;
        }
        if entry.op != "INSERT" {
            undone.insert((entry.table, &entry.former_key));
        }
    }
    stays
}

fn plan<'a>(entries: &'a [Entry], tables: &'a HashMap<Oid, Facts>) -> Result<Vec<Step<'a>>> {
    let mut steps: Vec<Step<'a>> = Vec::new();
    for (entry, stays) in entries.iter().zip(stays(entries)) {
        let Some(facts) = tables.get(&entry.table) else { continue };
        add(&mut steps, Step::of(facts, entry, stays.as_ref())?);
    }
    // What a foreign key did along with a change is recorded after it, and can't always be undone before it.
    let edges: Vec<(Oid, Oid, bool)> = tables
        .values()
        .flat_map(|facts| facts.table.parents.iter().map(|(parent, follows)| (facts.oid, *parent, *follows)))
        .collect();
    let (any, following) = (ranks(&edges, |_| true), ranks(&edges, |follows| follows));
    let mut ordered = Vec::new();
    let mut rest = steps.into_iter().peekable();
    while let Some(first) = rest.next() {
        let kind = first.kind;
        let mut alike = vec![first];
        while let Some(next) = rest.next_if(|next| next.kind == kind) {
            alike.push(next);
        }
        let rank = |ranks: &HashMap<Oid, usize>, step: &Step<'_>| ranks.get(&step.facts.oid).copied().unwrap_or(0);
        match kind {
            Kind::Insert => alike.sort_by_key(|step| rank(&any, step)),
            Kind::Delete => alike.sort_by_key(|step| Reverse(rank(&any, step))),
            Kind::Update => alike.sort_by_key(|step| rank(&following, step)),
        }
        alike.into_iter().for_each(|step| add(&mut ordered, step));
    }
    Ok(ordered)
}

/// Adds a step, or has the last one do it as well.
fn add<'a>(steps: &mut Vec<Step<'a>>, step: Step<'a>) {
    let rest = match steps.last_mut() {
        Some(last) => last.join(step),
        None => Some(step),
    };
    steps.extend(rest);
}

/// How far down in foreign keys tables are, by those of the kind that counts. Given are the table, its parent, and the
/// kind.
fn ranks(edges: &[(Oid, Oid, bool)], counts: impl Fn(bool) -> bool) -> HashMap<Oid, usize> {
    let mut ranks: HashMap<Oid, usize> = HashMap::new();
    // So many rounds do, unless tables refer to each other, for which there is no order.
    for _ in 0..edges.len() {
        for (table, parent, kind) in edges {
            if counts(*kind) {
                let above = ranks.get(parent).copied().unwrap_or(0);
                let own = ranks.entry(*table).or_default();
                *own = (*own).max(above + 1);
            }
        }
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: i64, op: &str, former_key: &str, key: &str, changed: &[&str]) -> Entry {
        Entry {
            id,
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

    fn columns(names: &[&str]) -> Option<Stays> {
        Some(Stays::Columns(names.iter().map(|name| (*name).to_owned()).collect()))
    }

    #[test]
    fn a_row_is_looked_at_once_for_all_that_the_transaction_changed_in_it() {
        let entries = [
            entry(5, "UPDATE", "1", "7", &["a"]),
            entry(4, "UPDATE", "2", "2", &["c"]),
            entry(3, "UPDATE", "1", "1", &["b"]),
            entry(2, "DELETE", "3", "3", &[]),
            entry(1, "UPDATE", "3", "3", &["d"]),
        ];
        assert_eq!(stays(&entries), [columns(&["a", "b"]), columns(&["c"]), None, columns(&["d"]), None]);
    }

    #[test]
    fn tables_come_after_those_that_they_refer_to() {
        let oid = Oid::from;
        let edges = [(oid(3), oid(2), false), (oid(2), oid(1), true), (oid(4), oid(1), true)];
        let rank = |ranks: &HashMap<Oid, usize>| [1, 2, 3, 4].map(|table| ranks.get(&oid(table)).copied().unwrap_or(0));
        assert_eq!(rank(&ranks(&edges, |_| true)), [0, 1, 2, 1]);
        assert_eq!(rank(&ranks(&edges, |follows| follows)), [0, 1, 0, 1]);
        assert!(!ranks(&[(oid(1), oid(2), true), (oid(2), oid(1), true)], |_| true).is_empty());
    }

    #[test]
    fn a_row_that_came_with_the_transaction_must_be_as_it_left_it() {
        let entries = [entry(2, "UPDATE", "1", "1", &["a"]), entry(1, "INSERT", "1", "1", &[])];
        assert_eq!(stays(&entries), [Some(Stays::Whole), None]);
    }

    #[test]
    fn a_key_that_is_used_again_is_of_another_row() {
        let entries = [
            entry(3, "INSERT", "1", "1", &[]),
            entry(2, "DELETE", "1", "1", &[]),
            entry(1, "UPDATE", "1", "1", &["a"]),
        ];
        assert_eq!(stays(&entries), [Some(Stays::Whole), columns(&["a"]), None]);
    }
}
