//! Undoing what a transaction changed in a tenant's rows, as far as nothing has changed them since.

use super::owned::{self, Owned};
use super::rows::{Expected, MOST_BYTES, SEVERAL};
use crate::catalog::audited::{self, Config};
use crate::catalog::event::{self, Event};
use crate::catalog::registry::as_owner;
use crate::catalog::undo::{self, Column, Entry, Table};
use crate::catalog::{protection, relations};
use crate::error::{Error, Result};
use crate::sql::undo::{self as sql, Compared, Held, Key, Reference};
use crate::sys::image::ExactOutput;
use crate::sys::{Oid, backend, savepoint};
use pgrx::PgSqlErrorCode;
use serde_json::json;
use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

/// Undoes what a transaction changed in the tenant's rows, the last first. Returns the statements. A dry run does it
/// too, and takes it back.
///
/// # Errors
/// 42501 without a tenant; 55000 where later changes are in the way, what was before is not recorded, or the rows would
/// not be what they were; what the statements raise.
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
    if entries.is_empty() {
        if !undo::has_ended(txid)? {
            return Err(Error::CantUndoAll { txid, reason: "It has not ended, or nothing is known of it." });
        }
        return Ok(Vec::new());
    }
    let _output = ExactOutput::begin();
    let tables = facts(&entries)?;
    let expected = Expected::new(txid, &entries, &tables);
    if dry_run {
        return savepoint::rehearse(|| undo_all(&entries, &tables, &expected));
    }
    let statements = undo_all(&entries, &tables, &expected)?;
    as_owner(|| {
        event::write(Event {
            event: "audit.reverted",
            tenant: Some(tenant),
            detail: Some(json!({ "txid": txid.to_string(), "entries": entries.len() })),
            ..Event::default()
        })
    })?;
    Ok(statements)
}

/// In which order changes are undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// The last first, but where several of one kind follow each other, as foreign keys have it.
    References,
    /// The last first; what a foreign key forbids, as soon as it doesn't any more.
    Time,
}

/// Undoes all of it in an order in which that can be done. Foreign keys may forbid some, and others may not lead back,
/// as what foreign keys and triggers did is undone by undoing what made them do it.
fn undo_all(entries: &[Entry], tables: &HashMap<Oid, Facts>, expected: &Expected<'_>) -> Result<Vec<String>> {
    let mut first = None;
    for order in [Order::References, Order::Time] {
        let steps = plan(entries, tables, order)?;
        let is_unchanged = Cell::new(false);
        let outcome = savepoint::attempt_whole(FOREIGN_KEY, || undo_in(order, &steps, expected, &is_unchanged));
        match outcome {
            Ok(Some(statements)) => return Ok(statements),
            Err(error) if !is_unchanged.get() => return Err(error),
            Err(error) => first = first.or(Some(Some(error))),
            Ok(None) => first = first.or(Some(None)),
        }
    }
    match first {
        Some(Some(error)) => Err(error),
        // The error is the server's own.
        _ => {
            let order = Order::References;
            undo_in(order, &plan(entries, tables, order)?, expected, &Cell::new(false))
        }
    }
}

const FOREIGN_KEY: PgSqlErrorCode = PgSqlErrorCode::ERRCODE_FOREIGN_KEY_VIOLATION;

fn undo_in(
    order: Order,
    steps: &[Step<'_>],
    expected: &Expected<'_>,
    is_unchanged: &Cell<bool>,
) -> Result<Vec<String>> {
    let counted = expected.before()?;
    is_unchanged.set(true);
    let mut statements = match order {
        Order::References => steps.iter().map(Step::run).collect::<Result<Vec<_>>>()?.concat(),
        Order::Time => run_when_allowed(steps)?,
    };
    // What waits for the end of the transaction will be done then; here it is to be seen what comes of it.
    savepoint::rehearse(|| {
        undo::check_constraints()?;
        expected.after(&counted)
    })?;
    statements.extend(expected.left_to_triggers());
    Ok(statements)
}

fn run_when_allowed(steps: &[Step<'_>]) -> Result<Vec<String>> {
    let mut statements = Vec::new();
    let mut aside: Vec<&Step<'_>> = Vec::new();
    for step in steps {
        let Some(done) = savepoint::attempt_whole(FOREIGN_KEY, || step.run())? else {
            aside.push(step);
            continue;
        };
        statements.extend(done);
        // Some may have waited for that.
        for waiting in std::mem::take(&mut aside) {
            match savepoint::attempt_whole(FOREIGN_KEY, || waiting.run())? {
                Some(done) => statements.extend(done),
                None => aside.push(waiting),
            }
        }
    }
    // Raises the error.
    aside.into_iter().try_for_each(|step| step.run().map(|done| statements.extend(done)))?;
    Ok(statements)
}

/// A table as it is now.
#[derive(Debug)]
pub struct Facts {
    pub oid: Oid,
    pub name: String,
    pub table: Table,
    pub config: Config,
    pub tenant_column: Option<String>,
    /// Columns that are not recorded may have been redacted.
    had_redacted: bool,
    pub owned: RefCell<Owned>,
}

impl Facts {
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.table.columns.iter().find(|one| one.name == name)
    }

    pub fn cant(&self, entry: &Entry, reason: String) -> Error {
        Error::CantUndo { id: entry.id, relation: self.name.clone(), reason }
    }

    /// Columns, without those that are computed.
    pub fn columns<'a>(&self, entry: &Entry, columns: impl IntoIterator<Item = &'a String>) -> Result<Vec<&Column>> {
        let mut found = Vec::new();
        for name in columns {
            match self.column(name) {
                Some(column) if column.is_generated => {}
                Some(column) => found.push(column),
                None => return Err(self.cant(entry, format!("Column \"{name}\" is not there any more."))),
            }
        }
        Ok(found)
    }

    /// The key, with quoted names.
    pub fn key(&self, entry: &Entry) -> Result<Vec<Key>> {
        if self.table.is_incomparable {
            return Err(self.cant(entry, "Nothing tells whether keys are equal.".into()));
        }
        let mut key = Vec::new();
        for (name, equals) in &self.table.key {
            if !entry.recorded.contains(name) {
                return Err(self.cant(entry, format!("Column \"{name}\" of the key was not there.")));
            }
            key.extend(self.column(name).map(|column| (column.ident.clone(), equals.clone())));
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
        let tenant_column = protection::recorded_column(entry.table)?;
        let name = relations::name(entry.table)?;
        let mut names = vec![name.clone(), entry.table_name.clone()];
        for ancestor in relations::ancestors(entry.table)? {
            names.push(relations::name(ancestor)?);
        }
        let columns = table.columns.iter().map(|column| column.name.clone()).collect();
        let had_redacted = undo::may_have_been_redacted(columns, names)?;
        let owned = RefCell::default();
        tables.insert(entry.table, Facts { oid: entry.table, name, table, config, tenant_column, had_redacted, owned });
    }
    tables.values().try_for_each(|facts| owned::look(facts, entries))?;
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
    columns: Vec<Held>,
    /// What tells which row it is, with the key or without.
    guard: Vec<Compared>,
    entries: Vec<&'a Entry>,
    /// The keys that the rows have now, and will have.
    keys: (HashSet<&'a str>, HashSet<&'a str>),
    bytes: usize,
}

impl<'a> Step<'a> {
    fn of(facts: &'a Facts, entry: &'a Entry) -> Result<Self> {
        let kind = match entry.op.as_str() {
            "INSERT" => Kind::Delete,
            "DELETE" => Kind::Insert,
            _ => Kind::Update,
        };
        let key = facts.key(entry)?;
        let guard = match &facts.tenant_column {
            _ if kind == Kind::Insert => Vec::new(),
            _ if key.is_empty() => facts.compared(entry, &entry.recorded)?,
            Some(column) => facts.compared(entry, [column])?,
            None => Vec::new(),
        };
        let columns = if kind == Kind::Delete { Vec::new() } else { facts.columns(entry, &entry.columns)? };
        let owned = facts.owned.borrow();
        let is_counted = |column: &Column| kind == Kind::Update && owned.is_counted(entry, &column.name);
        let columns = columns.into_iter().filter(|column| !is_counted(column)).map(owned::held).collect();
        let bytes = entry.was.as_ref().map_or(0, String::len) + entry.now.as_ref().map_or(0, String::len);
        let keys = (HashSet::from([entry.key.as_str()]), HashSet::from([entry.former_key.as_str()]));
        let step = Self { facts, kind, key, columns, guard, entries: vec![entry], keys, bytes };
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
                && (*place < known || facts.had_redacted || facts.config.redact.contains(&column.name))
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
            && (self.kind != Kind::Update || other.entries.iter().all(|entry| self.is_apart(entry)));
        if !fits {
            return Some(other);
        }
        self.bytes += other.bytes;
        self.entries.extend(other.entries);
        self.keys.0.extend(other.keys.0);
        self.keys.1.extend(other.keys.1);
        None
    }

    /// Of an UPDATE a row may come twice, or take the key of another one.
    fn is_apart(&self, entry: &Entry) -> bool {
        let (now, before) = &self.keys;
        let (key, former) = (entry.key.as_str(), entry.former_key.as_str());
        !now.contains(key) && !before.contains(key) && !now.contains(former) && !before.contains(former)
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

    /// Does it, and returns the statements.
    fn run(&self) -> Result<Vec<String>> {
        if self.kind == Kind::Update && self.columns.is_empty() {
            let ids: Vec<String> = self.entries.iter().map(|entry| entry.id.to_string()).collect();
            return Ok(vec![format!(
                "-- {}: nothing was recorded to give back, of {}",
                ids.join(", "),
                self.facts.name
            )]);
        }
        let json = self.json();
        let rows = self.facts.rows(&json);
        if self.kind != Kind::Delete {
            let half = (self.kind == Kind::Update).then_some("was");
            if let Some(place) = undo::run(&sql::not_held(rows, half, &self.columns))?.into_iter().min() {
                let reason = "The log doesn't hold a value exactly, or its type has changed.";
                return Err(self.refused(place, reason));
            }
        }
        let statement = match self.kind {
            Kind::Insert => {
                if !self.key.is_empty()
                    && let Some(place) = undo::run(&sql::taken(rows, &self.key))?.into_iter().min()
                {
                    return Err(self.refused(place, "Its key is in use again."));
                }
                let statement = sql::insert(rows, &self.columns);
                undo::run_whole(&statement)?;
                let sets = self.facts.table.sets_on_insert;
                return self.with_rest(statement, sets);
            }
            Kind::Delete => {
                self.check_referrers(&json)?;
                sql::delete(rows, &self.key, &self.guard)
            }
            Kind::Update => sql::update(rows, &self.key, &self.columns, &self.guard),
        };
        let mut done = HashSet::new();
        for place in undo::run(&sql::returning_places(&statement))? {
            if !done.insert(place) {
                return Err(self.refused(place, SEVERAL));
            }
        }
        // One that has a key may have been done by a trigger or a foreign key on the way.
        if self.key.is_empty()
            && let Some(place) = (1..=self.entries.len() as i64).find(|place| !done.contains(place))
        {
            return Err(self.refused(place, "The row was changed since, or is not there any more."));
        }
        let sets = self.kind == Kind::Update && self.facts.table.sets_on_update;
        self.with_rest(statement, sets)
    }

    /// The statement, and what gives back the rest, if triggers may have set something.
    fn with_rest(&self, statement: String, sets: bool) -> Result<Vec<String>> {
        if !sets || self.key.is_empty() {
            return Ok(vec![statement]);
        }
        let rest = owned::give_back(self.facts, &self.key, &self.columns, &self.entries)?;
        Ok(std::iter::once(statement).chain(rest).collect())
    }

    /// Rows that came later must not go along, whoever sees them.
    fn check_referrers(&self, json: &str) -> Result<()> {
        for referrer in &self.facts.table.referrers {
            if referrer.is_unsafe {
                return Err(self.refused(1, "Rows may refer to it by a type that has a domain within."));
            }
            let own_key = (referrer.table == self.facts.oid && !self.key.is_empty())
                .then_some((self.key.as_slice(), self.facts.table.bare_key.as_slice()));
            let by = relations::name(referrer.table)?;
            let reference = Reference { by: &by, columns: &referrer.columns, here: &referrer.here };
            let query = sql::referred_to(self.facts.rows(json), reference, own_key);
            if let Some(place) = undo::read_as_owner_of(referrer.table, &query)?.into_iter().min() {
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

fn plan<'a>(entries: &'a [Entry], tables: &'a HashMap<Oid, Facts>, order: Order) -> Result<Vec<Step<'a>>> {
    let mut steps: Vec<Step<'a>> = Vec::new();
    for entry in entries {
        backend::check_for_interrupts();
        let Some(facts) = tables.get(&entry.table) else { continue };
        add(&mut steps, Step::of(facts, entry)?);
    }
    if order == Order::Time {
        return Ok(steps);
    }
    // What a foreign key did along with a change is recorded after it, and can't always be undone before it.
    let edges: Vec<(Oid, Oid, bool)> = tables
        .values()
        .flat_map(|facts| facts.table.parents.iter().map(|(parent, follows)| (facts.oid, *parent, *follows)))
        .collect();
    let (any, following) = (ranks(&edges, |_| true), ranks(&edges, |follows| follows));
    let rank = |ranks: &HashMap<Oid, usize>, step: &Step<'_>| ranks.get(&step.facts.oid).copied().unwrap_or(0);
    let mut ordered = Vec::new();
    let mut rest = steps.into_iter().peekable();
    while let Some(first) = rest.next() {
        let kind = first.kind;
        let mut alike = vec![first];
        while let Some(next) = rest.next_if(|next| next.kind == kind) {
            alike.push(next);
        }
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

    #[test]
    fn tables_come_after_those_that_they_refer_to() {
        let oid = Oid::from;
        let edges = [(oid(3), oid(2), false), (oid(2), oid(1), true), (oid(4), oid(1), true)];
        let rank = |ranks: &HashMap<Oid, usize>| [1, 2, 3, 4].map(|table| ranks.get(&oid(table)).copied().unwrap_or(0));
        assert_eq!(rank(&ranks(&edges, |_| true)), [0, 1, 2, 1]);
        assert_eq!(rank(&ranks(&edges, |follows| follows)), [0, 1, 0, 1]);
        assert!(!ranks(&[(oid(1), oid(2), true), (oid(2), oid(1), true)], |_| true).is_empty());
    }
}
