//! The rows of one client, which nobody else changes, and what statements make of them.

use std::collections::BTreeMap;

use crate::ledger::{Amounts, Effect};
use crate::operations::{Kind, Operation, Statement};

// What a row weighs: its header and its columns of fixed width.
pub const ITEM: i64 = 24 + 4 + 8 + 16;
pub const LINE: i64 = 24 + 4 + 8 + 16 + 4;
pub const KEPT: i64 = 24 + 16;

#[derive(Clone, Copy, Debug)]
pub struct Item {
    pub length: i64,
    pub lines: i64,
}

#[derive(Clone, Debug, Default)]
pub struct Rows {
    /// By tenant and id.
    items: BTreeMap<(usize, i64), Item>,
    /// Rows and bytes in the table that is truncated.
    kept: Amounts,
}

fn add(event: &mut Amounts, tenant: usize, rows: i64, bytes: i64) {
    event[tenant][0] += rows;
    event[tenant][1] += bytes;
}

impl Rows {
    pub fn has_item(&mut self, tenant: usize, id: i64, item: Item) {
        self.items.insert((tenant, id), item);
    }

    pub fn has_kept(&mut self, tenant: usize, length: i64) {
        add(&mut self.kept, tenant, 1, KEPT + length);
    }

    /// The operation with what it is about, of a client that writes for these tenants.
    pub fn statement(&self, operation: &Operation, tenants: &[usize]) -> Statement {
        let Operation { kind, only, at, rows, length } = *operation;
        let tenants = only.map_or_else(|| tenants.to_vec(), |tenant| vec![tenant]);
        let fresh = self.items.keys().map(|(_, id)| id + 1).max().unwrap_or(0);
        let first = match kind {
            Kind::Insert | Kind::Copy => fresh,
            _ => self.items.keys().nth(at % self.items.len().max(1)).map_or(0, |(_, id)| *id),
        };
        Statement { kind, tenants, first, rows, length, fresh }
    }

    /// What the statement does when it is admitted.
    pub fn apply(&mut self, statement: &Statement) -> Effect {
        let mut effect = Effect::default();
        // One for each trigger that fires for the statement, and one for all that its foreign keys do.
        let (mut inserted, mut updated, mut deleted, mut cascaded) =
            (Amounts::default(), Amounts::default(), Amounts::default(), Amounts::default());
        for (tenant, id, is_there) in self.targets(statement) {
            let length = statement.length + id - statement.first;
            match (statement.kind, is_there) {
                (Kind::Insert | Kind::Copy | Kind::InsertOrNothing | Kind::Upsert | Kind::Merge, false) => {
                    self.insert(tenant, id, length, &mut inserted);
                }
                (Kind::Merge | Kind::MergeMatched, true) if id % 2 == 0 => {
                    self.delete(tenant, id, &mut deleted, &mut cascaded);
                }
                (Kind::Upsert | Kind::Merge | Kind::MergeMatched, true) => {
                    self.update(tenant, id, length, &mut updated)
                }
                (Kind::Update, true) => self.update(tenant, id, statement.length, &mut updated),
                (Kind::Delete, true) => self.delete(tenant, id, &mut deleted, &mut cascaded),
                (Kind::Replace, true) => {
                    self.delete(tenant, id, &mut deleted, &mut cascaded);
                    self.insert(tenant, id - statement.first + statement.fresh, statement.length, &mut inserted);
                }
                (Kind::AddLines, true) if id == statement.first => {
                    self.change_lines(tenant, id, statement.rows, &mut inserted);
                }
                (Kind::RemoveLines, true) if id == statement.first => {
                    let lines = self.items[&(tenant, id)].lines;
                    self.change_lines(tenant, id, -lines, &mut deleted);
                }
                (Kind::Move { to }, true) if !self.items.contains_key(&(to, id)) => {
                    self.move_to(tenant, to, id, &mut updated, &mut cascaded);
                }
                (Kind::Keep, _) => add(&mut inserted, tenant, 1, KEPT + statement.length),
                _ => {}
            }
        }
        match statement.kind {
            Kind::Keep => self.kept = sum(&self.kept, &inserted, 1),
            Kind::Truncate => deleted = sum(&deleted, &std::mem::take(&mut self.kept), -1),
            _ => {}
        }
        // The order in which PostgreSQL fires them: what a foreign key removes is given back after what is inserted beside was taken.
        for event in [deleted, updated, inserted, cascaded] {
            effect.count(&event);
        }
        effect
    }

    /// The ids that a statement is about, and whether there are items by them when it begins.
    fn targets(&self, statement: &Statement) -> Vec<(usize, i64, bool)> {
        let ids = statement.first..statement.first + statement.rows;
        let keys = statement.tenants.iter().flat_map(|tenant| ids.clone().map(move |id| (*tenant, id)));
        keys.map(|(tenant, id)| (tenant, id, self.items.contains_key(&(tenant, id)))).collect()
    }

    fn insert(&mut self, tenant: usize, id: i64, length: i64, event: &mut Amounts) {
        self.items.insert((tenant, id), Item { length, lines: 0 });
        add(event, tenant, 1, ITEM + length);
    }

    fn update(&mut self, tenant: usize, id: i64, length: i64, event: &mut Amounts) {
        let item = self.items.get_mut(&(tenant, id)).expect("an item");
        add(event, tenant, 0, length - item.length);
        item.length = length;
    }

    fn delete(&mut self, tenant: usize, id: i64, event: &mut Amounts, cascaded: &mut Amounts) {
        let item = self.items.remove(&(tenant, id)).expect("an item");
        add(event, tenant, -1, -ITEM - item.length);
        add(cascaded, tenant, -item.lines, -item.lines * LINE);
    }

    fn change_lines(&mut self, tenant: usize, id: i64, lines: i64, event: &mut Amounts) {
        self.items.get_mut(&(tenant, id)).expect("an item").lines += lines;
        add(event, tenant, lines, lines * LINE);
    }

    fn move_to(&mut self, from: usize, to: usize, id: i64, event: &mut Amounts, cascaded: &mut Amounts) {
        let item = self.items[&(from, id)];
        self.delete(from, id, event, cascaded);
        self.items.insert((to, id), item);
        add(event, to, 1, ITEM + item.length);
        add(cascaded, to, item.lines, item.lines * LINE);
    }
}

fn sum(amounts: &Amounts, other: &Amounts, sign: i64) -> Amounts {
    std::array::from_fn(|tenant| std::array::from_fn(|n| amounts[tenant][n] + sign * other[tenant][n]))
}
