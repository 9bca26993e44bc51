//! Columns that triggers own: what a trigger sets whenever a row is updated, such as the time and the author of the last
//! change, can't be given back, and is right as it is. Which these are is tried out.

use super::revert::Facts;
use crate::catalog::undo::{self, Column, Entry, Look};
use crate::error::Result;
use crate::sql::undo::{self as sql, Compared, Held, Key, Lossy, Nature, Set};
use crate::sys::subxact::{self, Failure};
use std::collections::{BTreeSet, HashMap, HashSet};

/// What is tried out: so many rows of those in which the same columns were changed, of so many kinds.
const ROWS: usize = 8;
const KINDS: usize = 16;

/// A row of one column, as text.
const NULL: &str = "()";

/// The columns of a table that triggers own, as far as that is known.
#[derive(Debug, Default)]
pub struct Owned {
    all: BTreeSet<String>,
    /// Those that are counted, or made anew, by the columns that were changed: to write to them would count
    /// from what is written.
    counted: HashMap<Vec<String>, HashSet<String>>,
}

impl Owned {
    pub fn has(&self, column: &str) -> bool {
        self.all.contains(column)
    }

    pub fn is_counted(&self, entry: &Entry, column: &str) -> bool {
        self.counted.get(&entry.columns).is_some_and(|counted| counted.contains(column))
    }

    /// Their names, if there are any.
    pub fn told(&self) -> Option<String> {
        let names: Vec<&str> = self.all.iter().map(String::as_str).collect();
        (!names.is_empty()).then(|| names.join(", "))
    }
}

pub fn compared(column: &Column) -> Compared {
    Compared { name: column.name.clone(), ident: column.ident.clone(), as_json: column.lossy != Lossy::Nothing }
}

pub fn held(column: &Column) -> Held {
    Held { name: column.name.clone(), ident: column.ident.clone(), lossy: column.lossy, varies: column.varies }
}

impl Facts {
    /// Some of the columns, without those that are computed or in the key.
    pub fn sets(&self, is_meant: impl Fn(&Column) -> bool) -> Vec<Set> {
        let in_key = |column: &Column| self.table.key.iter().any(|(name, _)| *name == column.name);
        let columns = self.table.columns.iter().filter(|column| !column.is_generated && !in_key(column));
        let set = |column: &Column| Set { compared: compared(column), nature: column.nature };
        columns.filter(|column| is_meant(column)).map(set).collect()
    }

    fn held(&self, sets: &[Set]) -> Vec<Held> {
        sets.iter().filter_map(|set| self.column(&set.compared.name)).map(held).collect()
    }
}

/// Looks which of the columns that were changed triggers own.
pub fn look(facts: &Facts, entries: &[Entry]) -> Result<()> {
    if !facts.table.sets_on_update || facts.table.key.is_empty() {
        return Ok(());
    }
    let mut kinds: HashMap<&[String], Vec<&Entry>> = HashMap::new();
    for entry in entries.iter().filter(|entry| entry.table == facts.oid && entry.now.is_some()) {
        let is_full = kinds.len() >= KINDS;
        match kinds.get_mut(entry.columns.as_slice()) {
            Some(some) if some.len() < ROWS => some.push(entry),
            None if !is_full => drop(kinds.insert(&entry.columns, vec![entry])),
            _ => {}
        }
    }
    for (columns, entries) in kinds {
        // What was inserted is not given back, but must be as it was left.
        let pairs = entries.iter().filter_map(|entry| {
            let now = entry.now.as_deref()?;
            Some((entry.was.as_deref().unwrap_or(now), now))
        });
        let sets = facts.sets(|column| columns.contains(&column.name));
        let owned = owned(facts, &facts.key(entries[0])?, &json(pairs), &sets, true)?;
        let counted = owned.iter().filter(|set| set.nature == Nature::Number).map(|set| set.compared.name.clone());
        let mut known = facts.owned.borrow_mut();
        known.counted.insert(columns.to_vec(), counted.collect());
        known.all.extend(owned.into_iter().map(|set| set.compared.name));
    }
    Ok(())
}

/// Of rows that have been inserted, or updated, gives back what triggers have set on the occasion. Returns the statement,
/// if there is any.
pub fn give_back(facts: &Facts, key: &[Key], columns: &[Held], entries: &[&Entry]) -> Result<Option<String>> {
    let was_updated = entries.iter().all(|entry| entry.op == "UPDATE");
    let json = json(entries.iter().filter_map(|entry| entry.was.as_deref()).map(|was| (was, was)));
    let rows = facts.rows(&json);
    let was_given = |column: &Column| columns.iter().any(|given| given.name == column.name);
    let differing = undo::run_for_texts(&sql::differing(rows, key, &facts.sets(was_given)))?;
    let mut sets = facts.sets(|column| differing.contains(&column.name));
    if facts.table.sets_on_update {
        let owned = owned(facts, key, &json, &sets, was_updated)?;
        facts.owned.borrow_mut().all.extend(owned.into_iter().map(|set| set.compared.name));
        sets.retain(|set| !facts.owned.borrow().has(&set.compared.name));
    }
    if sets.is_empty() {
        return Ok(None);
    }
    let statement = sql::update(rows, key, &facts.held(&sets), &[]);
    undo::run_whole(&statement)?;
    Ok(Some(statement))
}

fn json<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let pairs: Vec<String> = pairs.map(|(was, now)| format!("{{\"was\": {was}, \"now\": {now}}}")).collect();
    format!("[{}]", pairs.join(", "))
}

/// Those that a trigger sets, of columns to be given back: whatever is written, and even when nothing is, they have the
/// present time, or who acts, afterwards; or a number that is another one each time.
fn owned(facts: &Facts, key: &[Key], json: &str, sets: &[Set], may_count: bool) -> Result<Vec<Set>> {
    if let Some(owned) = owned_of(facts, key, json, sets, may_count)? {
        return Ok(owned);
    }
    // Foreign keys may forbid it so far; they are rarely among these.
    let sets: Vec<Set> = sets.iter().filter(|set| set.nature != Nature::Number).cloned().collect();
    Ok(owned_of(facts, key, json, &sets, may_count)?.unwrap_or_default())
}

/// `None` where the columns can't be given back as things are.
fn owned_of(facts: &Facts, key: &[Key], json: &str, sets: &[Set], may_count: bool) -> Result<Option<Vec<Set>>> {
    let rows = facts.rows(json);
    let Some(first) = sets.first() else { return Ok(Some(Vec::new())) };
    let was = undo::look(&sql::holding(rows, key, sets, true))?;
    let now = undo::look(&sql::holding(rows, key, sets, false))?;
    let touched = &first.compared.ident;
    let Some(given) = tried(&sql::tried(rows, key, &facts.held(sets), touched, sets))? else { return Ok(None) };
    let mut owned = Vec::new();
    for (place, set) in sets.iter().enumerate() {
        let value = |looks: &[Look], row: i64| {
            looks.iter().find(|look| look.0 == row).and_then(|look| look.1.get(place).cloned())
        };
        let differ: Vec<&Look> =
            given.iter().filter(|look| value(&was, look.0).as_ref() != look.1.get(place)).collect();
        if differ.is_empty() {
            continue;
        }
        let others: Vec<Set> = sets.iter().filter(|other| other.compared != set.compared).cloned().collect();
        let touched = &set.compared.ident;
        let Some(left) = tried(&sql::tried(rows, key, &facts.held(&others), touched, sets))? else { continue };
        // Not only when something else changes, such as a state.
        let alone = facts.held(std::slice::from_ref(set));
        let statement = sql::tried(rows, key, &alone, touched, sets);
        let Some(alone) = tried(&statement)? else { continue };
        let twice = || undo::look(&statement).and_then(|_| undo::look(&statement));
        let Some(again) = discarded(twice)? else { continue };
        let is_owned = differ.iter().all(|look| {
            let holds = |looks: &[Look]| value(looks, look.0);
            let is_null = |looks: &[Look]| holds(looks).is_some_and(|value| value == NULL);
            // NULL is nobody, where somebody was before.
            let is_of_now = |looks: &Vec<Look>| {
                looks.iter().any(|one| one.0 == look.0 && one.2.get(place) == Some(&true))
                    && !(is_null(looks) && is_null(&now))
            };
            let is_another = holds(&left) != holds(&alone) || holds(&again) != holds(&alone);
            let counts = may_count && set.nature == Nature::Number && holds(&left) != holds(&now) && is_another;
            [&left, &alone, &again].into_iter().all(|looks| holds(looks).is_some())
                && holds(&alone) != holds(&was)
                && ([&given, &left, &alone].into_iter().all(is_of_now) || counts)
        });
        if is_owned {
            owned.push(set.clone());
        }
    }
    Ok(Some(owned))
}

/// What an update would do, if it is possible.
fn tried(statement: &str) -> Result<Option<Vec<Look>>> {
    discarded(|| undo::look(statement))
}

fn discarded(look: impl FnOnce() -> Result<Vec<Look>>) -> Result<Option<Vec<Look>>> {
    match subxact::discarded(look) {
        Ok(looks) => Ok(Some(looks)),
        // Cancelling it, and the like.
        Err(Failure::Own(error)) => Err(error),
        Err(Failure::Raised(_)) => Ok(None),
    }
}
