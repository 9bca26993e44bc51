//! What the session must see and do, worked out without PostgreSQL.

use std::collections::BTreeMap;

use crate::steps::{CLOSED, OPEN, Step, TENANTS, Table};

/// SQLSTATEs of which one must come. More than one where several things are wrong at once.
pub type Codes = &'static [&'static str];

const NOT_ALLOWED: Codes = &["42501"];
const NOT_ACTIVE: Codes = &["55000"];
const NOT_ALLOWED_OR_NOT_ACTIVE: Codes = &["42501", "55000"];
const NO_BLOCK: Codes = &["25P01"];
const NO_BLOCK_OR_NOT_ALLOWED: Codes = &["25P01", "42501", "55000"];
const BLOCK_FAILED: Codes = &["25P02"];
const NO_SAVEPOINT: Codes = &["3B001"];
const DUPLICATE: Codes = &["23505"];

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    Done,
    Count(usize),
    Rows(Vec<String>),
    Error(Codes),
}

/// Rows of the three tables: tenant and id, then the value.
pub type Rows = [BTreeMap<(usize, i32), i32>; 3];
/// A tenant, or none.
type Context = Option<usize>;

/// What one level of a transaction has done to the setting; the top level is the transaction itself.
#[derive(Clone, Debug)]
struct Level {
    rows_before: Rows,
    /// Kept when the level ends well.
    set: Option<Context>,
    /// Hides the other and ends with the transaction.
    local: Option<Context>,
}

#[derive(Clone, Debug)]
struct Transaction {
    levels: Vec<Level>,
    /// The one tenant it has set or used.
    bound: Context,
    failed: bool,
    /// Begun by BEGIN, not by a lone statement.
    is_block: bool,
}

#[derive(Clone, Debug)]
pub struct Model {
    rows: Rows,
    suspended: [bool; OPEN],
    session: Context,
    transaction: Option<Transaction>,
}

impl Model {
    pub fn new() -> Self {
        let rows = [(); 3].map(|()| BTreeMap::from([((CLOSED, 0), 0)]));
        Self { rows, suspended: [false; OPEN], session: None, transaction: None }
    }

    pub fn savepoints(&self) -> usize {
        self.transaction.as_ref().map_or(0, |transaction| transaction.levels.len() - 1)
    }

    pub fn in_block(&self) -> bool {
        self.transaction.is_some()
    }

    /// Whether only a rollback gets the session out of its transaction.
    pub fn has_failed(&self) -> bool {
        self.transaction.as_ref().is_some_and(|transaction| transaction.failed)
    }

    pub fn is_suspended(&self, tenant: usize) -> bool {
        self.suspended[tenant]
    }

    /// Whether `step` may fail with 55000 for the transaction's sake alone: one that has acted for a suspended tenant may
    /// be stopped at any query, not only at one that asks for the tenant.
    pub fn may_be_stopped(&self, step: Step) -> bool {
        let acted_for_suspended = self.transaction.as_ref().is_some_and(|transaction| {
            !transaction.failed && transaction.bound.is_some_and(|bound| self.suspended[bound])
        });
        acted_for_suspended && step.is_query()
    }

    /// Takes note that the server has refused a statement of the open transaction.
    pub fn fail(&mut self) {
        self.open().failed = true;
    }

    /// All rows of `table`, whoever owns them, as the test's superuser reads them.
    pub fn all_rows(&self, table: Table) -> Vec<String> {
        let row = |((tenant, id), value): (&(usize, i32), &i32)| format!("{} {id}={value}", TENANTS[*tenant].key);
        self.rows[table as usize].iter().map(row).collect()
    }

    /// Does the step and tells what the server must answer.
    pub fn apply(&mut self, step: Step) -> Expected {
        match step {
            Step::ToggleSuspension(tenant) => {
                self.suspended[tenant] = !self.suspended[tenant];
                return Expected::Done;
            }
            Step::Commit => return self.end(true),
            Step::Rollback => return self.end(false),
            Step::RollbackTo(savepoint) => return self.rollback_to(savepoint),
            _ => {}
        }
        if self.has_failed() {
            return Expected::Error(BLOCK_FAILED);
        }
        if matches!(step, Step::Begin) {
            self.begin(true);
            return Expected::Done;
        }
        let alone = self.transaction.is_none();
        self.begin(false);
        let outcome = self.statement(step);
        match outcome {
            Ok(expected) => {
                if alone {
                    self.end(true);
                }
                expected
            }
            Err(codes) => {
                if alone {
                    self.end(false);
                } else {
                    self.open().failed = true;
                }
                Expected::Error(codes)
            }
        }
    }

    fn open(&mut self) -> &mut Transaction {
        self.transaction.as_mut().expect("a transaction is open")
    }

    /// Begins a transaction unless there is one.
    fn begin(&mut self, is_block: bool) {
        let level = self.new_level();
        self.transaction.get_or_insert(Transaction { levels: vec![level], bound: None, failed: false, is_block });
    }

    fn new_level(&self) -> Level {
        Level { rows_before: self.rows.clone(), set: None, local: None }
    }

    fn end(&mut self, commit: bool) -> Expected {
        let Some(mut transaction) = self.transaction.take() else {
            return Expected::Done;
        };
        if !commit || transaction.failed {
            self.rows = transaction.levels.swap_remove(0).rows_before;
            return Expected::Done;
        }
        merge_down_to(&mut transaction.levels, 1);
        if let Some(set) = transaction.levels[0].set {
            self.session = set;
        }
        Expected::Done
    }

    fn rollback_to(&mut self, savepoint: usize) -> Expected {
        let Some(transaction) = &mut self.transaction else {
            return Expected::Error(NO_BLOCK);
        };
        if savepoint + 1 >= transaction.levels.len() {
            transaction.failed = true;
            return Expected::Error(NO_SAVEPOINT);
        }
        transaction.levels.truncate(savepoint + 2);
        transaction.failed = false;
        if let Some(level) = transaction.levels.pop() {
            self.rows = level.rows_before;
        }
        let fresh = self.new_level();
        self.open().levels.push(fresh);
        Expected::Done
    }

    fn statement(&mut self, step: Step) -> Result<Expected, Codes> {
        let is_block = self.open().is_block;
        match step {
            Step::Savepoint if !is_block => Err(NO_BLOCK),
            Step::Savepoint => {
                let level = self.new_level();
                self.open().levels.push(level);
                Ok(Expected::Done)
            }
            Step::Release(_) if !is_block => Err(NO_BLOCK),
            Step::Release(savepoint) => {
                let levels = &mut self.open().levels;
                if savepoint + 1 >= levels.len() {
                    return Err(NO_SAVEPOINT);
                }
                merge_down_to(levels, savepoint + 1);
                Ok(Expected::Done)
            }
            Step::SetTenant { tenant, local } => self.set_tenant(tenant, local && !is_block, local),
            Step::SetUnknown => Err(NOT_ALLOWED),
            Step::PlainSet { local: true, .. } | Step::Clear { local: true } if !is_block => Err(NO_BLOCK),
            Step::PlainSet { tenant, local } => {
                self.bind(tenant)?;
                self.assign(Some(tenant), local);
                Ok(Expected::Done)
            }
            Step::Clear { local } => {
                self.assign(None, local);
                Ok(Expected::Rows(vec![String::new()]))
            }
            Step::Reset | Step::ResetAll => {
                self.assign(None, false);
                Ok(Expected::Done)
            }
            Step::Context => {
                let key = self.use_context()?.map_or("none", |tenant| TENANTS[tenant].key);
                Ok(Expected::Rows(vec![key.to_owned()]))
            }
            data => {
                let tenant = self.use_context()?;
                self.data(data, tenant)
            }
        }
    }

    fn set_tenant(&mut self, tenant: usize, misplaced: bool, local: bool) -> Result<Expected, Codes> {
        if misplaced {
            let otherwise_fine = tenant < OPEN && !self.suspended[tenant];
            return Err(if otherwise_fine { NO_BLOCK } else { NO_BLOCK_OR_NOT_ALLOWED });
        }
        if tenant >= OPEN {
            return Err(NOT_ALLOWED);
        }
        let bound_elsewhere = self.open().bound.is_some_and(|bound| bound != tenant);
        match (bound_elsewhere, self.suspended[tenant]) {
            (true, true) => return Err(NOT_ALLOWED_OR_NOT_ACTIVE),
            (true, false) => return Err(NOT_ALLOWED),
            (false, true) => return Err(NOT_ACTIVE),
            (false, false) => {}
        }
        self.bind(tenant)?;
        self.assign(Some(tenant), local);
        Ok(Expected::Rows(vec![TENANTS[tenant].id.to_owned()]))
    }

    /// One tenant per transaction.
    fn bind(&mut self, tenant: usize) -> Result<(), Codes> {
        let bound = *self.open().bound.get_or_insert(tenant);
        if bound == tenant { Ok(()) } else { Err(NOT_ALLOWED) }
    }

    fn assign(&mut self, context: Context, local: bool) {
        let level = self.open().levels.last_mut().expect("at least the transaction's own");
        if local {
            level.local = Some(context);
        } else {
            level.set = Some(context);
            level.local = None;
        }
    }

    fn context(&mut self) -> Context {
        let session = self.session;
        let innermost = self.open().levels.iter().rev().find_map(|level| level.local.or(level.set));
        innermost.unwrap_or(session)
    }

    fn use_context(&mut self) -> Result<Context, Codes> {
        let Some(tenant) = self.context() else {
            return Ok(None);
        };
        let bound_elsewhere = self.open().bound.is_some_and(|bound| bound != tenant);
        if self.suspended[tenant] {
            return Err(if bound_elsewhere { NOT_ALLOWED_OR_NOT_ACTIVE } else { NOT_ACTIVE });
        }
        self.bind(tenant)?;
        Ok(Some(tenant))
    }

    /// Reads or writes as `tenant`.
    fn data(&mut self, step: Step, tenant: Context) -> Result<Expected, Codes> {
        let (Step::Select(table)
        | Step::SelectPrepared(table)
        | Step::Insert { table, .. }
        | Step::InsertFor { table, .. }
        | Step::Update { table, .. }
        | Step::Move { table, .. }
        | Step::Delete { table, .. }
        | Step::Upsert { table, .. }
        | Step::UpsertFor { table, .. }
        | Step::Merge { table, .. }) = step
        else {
            unreachable!("{step:?} touches no table");
        };
        let tenant = tenant.filter(|tenant| table.holds(*tenant));
        let rows = &mut self.rows[table as usize];
        let own_ids = |rows: &BTreeMap<(usize, i32), i32>, wanted: Option<i32>| -> Vec<i32> {
            let own = rows.keys().filter(|(owner, _)| Some(*owner) == tenant).map(|(_, id)| *id);
            own.filter(|id| wanted.is_none_or(|wanted| wanted == *id)).collect()
        };
        match step {
            Step::Select(_) | Step::SelectPrepared(_) => {
                let own = rows.iter().filter(|((owner, _), _)| Some(*owner) == tenant);
                Ok(Expected::Rows(own.map(|((_, id), value)| format!("{id}={value}")).collect()))
            }
            Step::Insert { id, value, .. } => insert(rows, tenant, id, value),
            Step::InsertFor { tenant: named, id, value, .. } => {
                insert(rows, tenant.filter(|tenant| *tenant == named), id, value)
            }
            Step::Update { id, value, .. } => {
                let ids = own_ids(rows, id);
                for id in &ids {
                    rows.insert((tenant.expect("an owner"), *id), value);
                }
                Ok(Expected::Count(ids.len()))
            }
            Step::Move { tenant: target, id, .. } => {
                let count = own_ids(rows, Some(id)).len();
                if count > 0 && tenant != Some(target) { Err(NOT_ALLOWED) } else { Ok(Expected::Count(count)) }
            }
            Step::Delete { id, .. } => {
                let ids = own_ids(rows, id);
                for id in &ids {
                    rows.remove(&(tenant.expect("an owner"), *id));
                }
                Ok(Expected::Count(ids.len()))
            }
            Step::Upsert { id, value, .. } => upsert(rows, tenant, id, value),
            Step::UpsertFor { tenant: named, id, value, .. } => {
                upsert(rows, tenant.filter(|tenant| *tenant == named), id, value)
            }
            Step::Merge { first_id, value, .. } => {
                let tenant = tenant.ok_or(NOT_ALLOWED)?;
                for id in [first_id, first_id + 1] {
                    if rows.contains_key(&(tenant, id)) && id % 2 == 0 {
                        rows.remove(&(tenant, id));
                    } else {
                        rows.insert((tenant, id), value);
                    }
                }
                Ok(Expected::Count(2))
            }
            other => unreachable!("{other:?} touches no table"),
        }
    }
}

/// Ends the innermost levels well until `keep` are left.
fn merge_down_to(levels: &mut Vec<Level>, keep: usize) {
    while levels.len() > keep {
        let (Some(ended), Some(outer)) = (levels.pop(), levels.last_mut()) else { return };
        if ended.set.is_some() {
            outer.set = ended.set;
            outer.local = ended.local;
        } else if ended.local.is_some() {
            outer.local = ended.local;
        }
    }
}

fn insert(rows: &mut BTreeMap<(usize, i32), i32>, tenant: Context, id: i32, value: i32) -> Result<Expected, Codes> {
    let tenant = tenant.ok_or(NOT_ALLOWED)?;
    if rows.contains_key(&(tenant, id)) {
        return Err(DUPLICATE);
    }
    rows.insert((tenant, id), value);
    Ok(Expected::Count(1))
}

fn upsert(rows: &mut BTreeMap<(usize, i32), i32>, tenant: Context, id: i32, value: i32) -> Result<Expected, Codes> {
    rows.insert((tenant.ok_or(NOT_ALLOWED)?, id), value);
    Ok(Expected::Count(1))
}
