//! Recording what a statement changed: one entry for each row.

use crate::catalog::audit_log::{Entry, Log, Op, Statement};
use crate::catalog::registry;
use crate::catalog::{audited, protection, relations, tenants};
use crate::error::{Error, Result};
use crate::sys::append::Value;
use crate::sys::change::{Change, Command, Rows};
use crate::sys::image::{self, Column, Columns, ExactOutput, Row, Shape};
use crate::sys::memory::Memory;
use crate::sys::types::{self, Base};
use crate::sys::{INVALID_OID, Oid, invalidation, role, session};
use crate::tenant::{TenantKey, TenantRef};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use uuid::Uuid;

/// Tables kept in memory; when there are more, all are looked up again.
const CAPACITY: usize = 1000;

/// How the rows of a table are recorded.
#[derive(Debug)]
struct Layout {
    /// The audited table that is named in the log: for a partition, the one that it is a part of.
    recorded_as: Oid,
    columns: Columns,
    row: Shape,
    /// `None` where only the whole row tells which it is.
    key: Option<Shape>,
    /// The columns that count as a change, by place.
    compared: Vec<usize>,
    /// Of a table without tenants there is none.
    tenant: Option<usize>,
}

/// What others know of the session.
#[derive(Debug, Clone, Copy)]
pub struct Asks {
    /// The reason that was declared for a role to bypass row security.
    pub reason: fn(Oid) -> Option<String>,
    /// The tenant that the session acts for.
    pub acting: fn() -> Option<Uuid>,
}

#[derive(Default)]
struct Known {
    layouts: HashMap<Oid, Option<Rc<Layout>>>,
    /// Counts changes, so that what was read across one is not kept.
    changes: u64,
}

thread_local! {
    static KNOWN: RefCell<Known> = RefCell::default();
}

/// Connects recording to PostgreSQL. Called once per backend.
pub fn init() {
    invalidation::on_relation(relation_changed);
}

/// Drops what is known of a relation that changed; an invalid OID stands for all. Can't fail.
fn relation_changed(relation: Oid) {
    KNOWN.with_borrow_mut(|known| {
        known.changes += 1;
        if relation == INVALID_OID || registry::is_protection(relation) {
            known.layouts.clear();
        } else {
            known.layouts.retain(|table, layout| {
                *table != relation && layout.as_ref().is_none_or(|layout| layout.recorded_as != relation)
            });
        }
    });
}

/// Records what a statement changed.
///
/// # Errors
/// 55000 when a redacted column has gone, since it may have got another name.
pub fn changed(change: Change, asks: Asks) -> Result<()> {
    // What is applied was recorded where it was done, and comes with the log, if that is published.
    if session::applies_subscription() {
        return Ok(());
    }
    let Some(layout) = layout(change)? else { return Ok(()) };
    let mut recorder = Recorder::new(&layout, change, asks);
    let (old, new) = (change.old_rows(), change.new_rows());
    match (old, new) {
        (Some(mut old), Some(mut new)) => {
            if old.count() == new.count() {
                recorder.updated(&mut old, &mut new)?;
            } else {
                // A row that was moved to another partition and refused there has no successor, and nothing tells
                // which row that was.
                recorder.each(&mut old, Op::Delete)?;
                recorder.each(&mut new, Op::Insert)?;
            }
            old.close();
            new.close();
        }
        (Some(mut rows), None) => {
            recorder.each(&mut rows, Op::Delete)?;
            rows.close();
        }
        (None, Some(mut rows)) => {
            recorder.each(&mut rows, Op::Insert)?;
            rows.close();
        }
        (None, None) if change.command() == Command::Truncate => recorder.truncated()?,
        (None, None) => {}
    }
    recorder.end();
    Ok(())
}

fn layout(change: Change) -> Result<Option<Rc<Layout>>> {
    let table = change.table();
    let (known, changes) = KNOWN.with_borrow(|known| (known.layouts.get(&table).cloned(), known.changes));
    if let Some(layout) = known {
        return Ok(layout);
    }
    let layout = read_layout(change)?.map(Rc::new);
    KNOWN.with_borrow_mut(|known| {
        if known.changes == changes {
            if known.layouts.len() >= CAPACITY {
                known.layouts.clear();
            }
            known.layouts.insert(table, layout.clone());
        }
    });
    Ok(layout)
}

fn read_layout(change: Change) -> Result<Option<Layout>> {
    let table = change.table();
    let Some(config) = audited::find(table)? else { return Ok(None) };
    let mut recorded_as = table;
    if change.is_partition() {
        for ancestor in relations::ancestors(table)? {
            if audited::find(ancestor)?.is_some() {
                recorded_as = ancestor;
            }
        }
    }
    let columns = change.columns();
    let place = |name: &str| columns.list.iter().position(|column| column.name == name);
    for redacted in &config.redact {
        if place(redacted).is_none() {
            return Err(Error::RedactedColumnGone { relation: relations::name(table)?, column: redacted.clone() });
        }
    }
    let shown = (0..columns.list.len()).filter(|place| !config.redact.contains(&columns.list[*place].name));
    let key: Vec<usize> = change.key_columns().iter().filter_map(|name| place(name)).collect();
    Ok(Some(Layout {
        recorded_as,
        row: Shape::new(&columns, shown.collect()),
        key: (!key.is_empty()).then(|| Shape::new(&columns, key)),
        compared: (0..columns.list.len()).filter(|place| !config.ignore.contains(&columns.list[*place].name)).collect(),
        tenant: protection::recorded_column(table)?.and_then(|column| place(&column)),
        columns,
    }))
}

/// What is being recorded.
struct Recorder<'a> {
    layout: &'a Layout,
    change: Change,
    asks: Asks,
    log: Option<Log>,
    tenants: Tenants,
    /// What making one entry allocates.
    memory: Memory,
    key: Vec<u8>,
    old: Vec<u8>,
    new: Vec<u8>,
    /// The columns that changed last, by place, and as a value.
    changed: Option<(Vec<usize>, Value)>,
    _output: ExactOutput,
}

impl<'a> Recorder<'a> {
    fn new(layout: &'a Layout, change: Change, asks: Asks) -> Self {
        Self {
            layout,
            change,
            asks,
            log: None,
            tenants: Tenants::default(),
            memory: Memory::for_session(c"pg_tenancy audit"),
            key: Vec::new(),
            old: Vec::new(),
            new: Vec::new(),
            changed: None,
            _output: ExactOutput::begin(),
        }
    }

    /// The log, opened for the first entry.
    fn log(&mut self, table: Oid, expected: usize) -> Result<&mut Log> {
        if self.log.is_none() {
            let user = role::current();
            let bypass = self.layout.tenant.is_some() && role::bypasses(user);
            let statement = Statement {
                table,
                table_name: relations::name(table)?,
                bypass,
                reason: if bypass { (self.asks.reason)(user) } else { None },
            };
            self.log = Some(Log::open(statement, expected)?);
        }
        self.log.as_mut().ok_or(Error::NotInstalled)
    }

    fn end(&mut self) {
        self.changed = None;
        if let Some(log) = self.log.take() {
            log.finish();
        }
    }

    fn each(&mut self, rows: &mut Rows, op: Op) -> Result<()> {
        let (expected, layout) = (rows.count(), self.layout);
        while let Some(row) = rows.next() {
            let is_old = op == Op::Delete;
            let image = if is_old { &mut self.old } else { &mut self.new };
            write(&self.memory, image, |out| layout.row.write_exactly(&layout.columns, row, out))?;
            self.write_key(row)?;
            let tenant = self.tenant(row)?;
            self.log(layout.recorded_as, expected)?;
            self.add(op, tenant, is_old, !is_old, Value::NULL);
        }
        Ok(())
    }

    fn updated(&mut self, old: &mut Rows, new: &mut Rows) -> Result<()> {
        let (expected, layout) = (new.count(), self.layout);
        while let (Some(before), Some(after)) = (old.next(), new.next()) {
            let differs = |place: &usize| image::differs(&layout.columns.list[*place], before, after);
            let changed: Vec<usize> =
                self.memory.within(|| layout.compared.iter().copied().filter(|place| differs(place)).collect());
            if changed.is_empty() {
                self.memory.reset();
                continue;
            }
            write(&self.memory, &mut self.old, |out| layout.row.write_exactly(&layout.columns, before, out))?;
            write(&self.memory, &mut self.new, |out| layout.row.write_exactly(&layout.columns, after, out))?;
            let (giver, tenant) = (self.tenant(before)?, self.tenant(after)?);
            self.log(layout.recorded_as, expected)?;
            if giver != tenant {
                // Neither is shown what the row was, or will be, with the other.
                self.write_key(before)?;
                self.add(Op::Delete, giver, true, false, Value::NULL);
                self.write_key(after)?;
                self.add(Op::Insert, tenant, false, true, Value::NULL);
                continue;
            }
            self.write_key(after)?;
            let Some(log) = &mut self.log else { continue };
            let value = match &self.changed {
                Some((places, value)) if *places == changed => *value,
                _ => {
                    let names: Vec<&str> =
                        changed.iter().map(|place| layout.columns.list[*place].name.as_str()).collect();
                    let value = log.names(&names);
                    self.changed = Some((changed, value));
                    value
                }
            };
            self.add(Op::Update, tenant, true, true, value);
        }
        Ok(())
    }

    /// Adds an entry of the row that was written last.
    fn add(&mut self, op: Op, tenant: Option<Uuid>, old: bool, new: bool, changed: Value) {
        let (old_row, new_row) = (old.then_some(self.old.as_slice()), new.then_some(self.new.as_slice()));
        let key = self.layout.key.as_ref().map(|_| self.key.as_slice());
        if let Some(log) = &mut self.log {
            log.add(Entry { op, tenant, row_key: key.or(new_row).or(old_row), old_row, new_row, changed });
        }
    }

    /// TRUNCATE names each partition by itself.
    fn truncated(&mut self) -> Result<()> {
        let table = self.change.table();
        let (op, tenant) = (Op::Truncate, None);
        let log = self.log(table, 1)?;
        log.add(Entry { op, tenant, row_key: None, old_row: None, new_row: None, changed: Value::NULL });
        Ok(())
    }

    fn write_key(&mut self, row: Row<'_>) -> Result<()> {
        match &self.layout.key {
            Some(key) => write(&self.memory, &mut self.key, |out| key.write(&self.layout.columns, row, out)),
            None => Ok(()),
        }
    }

    fn tenant(&mut self, row: Row<'_>) -> Result<Option<Uuid>> {
        match self.layout.tenant {
            Some(place) => self.tenants.owner(&self.layout.columns.list[place], row),
            None => Ok(self.tenants.acting(self.asks.acting)),
        }
    }
}

/// Has an object written into `out`, and frees what that took.
fn write(memory: &Memory, out: &mut Vec<u8>, object: impl FnOnce(&mut Vec<u8>) -> bool) -> Result<()> {
    out.clear();
    let fits = memory.within(|| object(out));
    memory.reset();
    if fits { Ok(()) } else { Err(Error::RowTooLarge) }
}

/// The tenants of the rows of one statement.
#[derive(Default)]
struct Tenants {
    by_key: HashMap<String, Option<Uuid>>,
    acting: Option<Option<Uuid>>,
}

impl Tenants {
    /// Whose the row is, if it is somebody's who is registered.
    fn owner(&mut self, column: &Column, row: Row<'_>) -> Result<Option<Uuid>> {
        let key = match types::base(column.type_oid) {
            Base::Uuid => return Ok(row.uuid(column)),
            Base::Text => row.text(column),
            Base::Integer(_) => row.number(column).map(|number| number.to_string()),
            Base::Other => None,
        };
        let Some(key) = key else { return Ok(None) };
        if let Some(found) = self.by_key.get(&key) {
            return Ok(*found);
        }
        let found = tenants::find(&TenantRef::Key(TenantKey::stored(key.clone())))?.map(|tenant| tenant.id);
        self.by_key.insert(key, found);
        Ok(found)
    }

    /// Whom the session acts for.
    fn acting(&mut self, ask: fn() -> Option<Uuid>) -> Option<Uuid> {
        *self.acting.get_or_insert_with(ask)
    }
}
