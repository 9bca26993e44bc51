//! A client that does random things, and tells the ledger.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use tenancy_harness::postgres::{Client, Error};
use tenancy_harness::{Dice, sqlstate};

use crate::ledger::{Effect, Ledger, NAMES};
use crate::operations::{Draws, End, Hand, Kind, Operation, Statement, Step, Transaction, transactions};
use crate::rows::Rows;
use crate::site::{Site, is_lost};

/// How transactions ended, and statements within them.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub committed: u64,
    pub rolled_back: u64,
    pub retried: u64,
    pub refused: [u64; NAMES.len()],
    pub admitted: BTreeMap<Kind, u64>,
    pub limits_changed: u64,
}

impl Outcome {
    pub fn add(&mut self, other: &Self) {
        self.committed += other.committed;
        self.rolled_back += other.rolled_back;
        self.retried += other.retried;
        self.limits_changed += other.limits_changed;
        for (sum, refused) in self.refused.iter_mut().zip(other.refused) {
            *sum += refused;
        }
        for (kind, admitted) in &other.admitted {
            *self.admitted.entry(*kind).or_default() += admitted;
        }
    }

    /// That enough has happened to show something.
    #[track_caller]
    pub fn shows(&self, at_least: u64) {
        println!("{self:?}");
        let refused: u64 = self.refused.iter().sum();
        assert!(refused >= at_least && self.committed >= 4 * at_least && self.rolled_back >= at_least, "{self:?}");
        assert!(self.limits_changed >= at_least / 2, "{self:?}");
    }
}

/// A transaction or a savepoint that is open: what it has done, and the rows as they were before.
struct Level {
    effect: Effect,
    before: Rows,
}

/// What a statement came to.
enum Answer {
    Done,
    Refused(usize),
    /// The transaction has failed, and is to be tried again.
    Failed,
}

pub struct Worker {
    hand: Hand,
    client: Client,
    ledger: Arc<Ledger>,
    draws: Draws<Transaction>,
    rows: Rows,
    levels: Vec<Level>,
    outcome: Outcome,
}

/// What another try may cure.
fn is_temporary(state: Option<&str>) -> bool {
    matches!(state, Some("40001" | "40P01"))
}

/// Which resource a refusal is about, as its DETAIL says.
fn refused_resource(error: &Error) -> usize {
    let detail = error.as_db_error().and_then(|error| error.detail()).expect("a refusal has a detail");
    let named = NAMES.iter().position(|name| detail.starts_with(&format!("Resource \"{name}\"")));
    named.unwrap_or_else(|| panic!("{detail}"))
}

impl Worker {
    pub fn new(site: &Site<'_>, number: usize, bypasses: bool, dice: &mut Dice, ledger: Arc<Ledger>) -> Self {
        let tenants: Vec<usize> =
            if bypasses { (0..site.tenants.len()).collect() } else { vec![number % site.tenants.len()] };
        let mut superuser = site.superuser();
        let rows = site.rows_of(&mut superuser, number, bypasses);
        let client = if bypasses { superuser } else { site.acting_for(tenants[0]) };
        Self {
            hand: Hand { number, tenants, names: site.tenants.clone() },
            client,
            ledger,
            draws: Draws::new(dice, transactions(bypasses)),
            rows,
            levels: Vec::new(),
            outcome: Outcome::default(),
        }
    }

    /// Runs so many statements, or goes on until the server is gone.
    pub fn work(mut self, statements: Option<u64>) -> Outcome {
        let mut done = 0;
        while statements.is_none_or(|statements| done < statements) {
            let transaction = self.draws.next();
            done += transaction.steps.len() as u64;
            match self.run(&transaction) {
                Ok(()) => {}
                Err(error) if statements.is_none() && is_lost(&error) => break,
                Err(error) => panic!("{error:?}\nin: {transaction:?}"),
            }
        }
        self.outcome
    }

    fn run(&mut self, transaction: &Transaction) -> Result<(), Error> {
        self.client.batch_execute(&format!("begin isolation level {}", transaction.isolation))?;
        self.open();
        for step in &transaction.steps {
            if !self.step(*step)? {
                return self.give_up();
            }
        }
        self.end(transaction.end)
    }

    fn open(&mut self) {
        self.levels.push(Level { effect: Effect::default(), before: self.rows.clone() });
    }

    /// Returns false when the transaction has failed.
    fn step(&mut self, step: Step) -> Result<bool, Error> {
        match step {
            Step::Savepoint if self.levels.len() < 4 => {
                self.client.batch_execute("savepoint s")?;
                self.open();
            }
            Step::RollBackTo if self.levels.len() > 1 => {
                self.client.batch_execute("rollback to savepoint s; release savepoint s")?;
                self.undo();
            }
            Step::Release if self.levels.len() > 1 => {
                self.client.batch_execute("release savepoint s")?;
                self.close();
            }
            Step::Run(operation) => return self.operate(&operation),
            _ => {}
        }
        Ok(true)
    }

    /// What the innermost level did is rolled back.
    fn undo(&mut self) {
        let inner = self.levels.pop().expect("a level");
        self.ledger.rolled_back(&inner.effect);
        self.rows = inner.before;
    }

    /// What the innermost level did is now part of the outer one.
    fn close(&mut self) {
        let inner = self.levels.pop().expect("a level");
        self.levels.last_mut().expect("an outer level").effect.join(&inner.effect);
    }

    fn operate(&mut self, operation: &Operation) -> Result<bool, Error> {
        let statement = self.rows.statement(operation, &self.hand.tenants);
        let mut after = self.rows.clone();
        let effect = after.apply(&statement);
        // Every statement in a savepoint of its own: a refusal leaves the transaction as it was.
        self.client.batch_execute("savepoint statement")?;
        let mut before = Effect::default();
        self.levels.iter().for_each(|level| before.join(&level.effect));
        let request = self.ledger.asks(&effect, &before);
        match self.answer(&statement)? {
            Answer::Done => {
                self.ledger.admitted(request);
                self.client.batch_execute("release savepoint statement")?;
                self.rows = after;
                self.levels.last_mut().expect("a level").effect.join(&effect);
                *self.outcome.admitted.entry(operation.kind).or_default() += 1;
                Ok(true)
            }
            Answer::Refused(resource) => {
                self.ledger.refused(request, resource);
                self.outcome.refused[resource] += 1;
                self.client.batch_execute("rollback to savepoint statement; release savepoint statement")?;
                Ok(true)
            }
            Answer::Failed => {
                self.ledger.failed(request);
                Ok(false)
            }
        }
    }

    fn answer(&mut self, statement: &Statement) -> Result<Answer, Error> {
        let sql = statement.sql(&self.hand);
        let outcome = if statement.kind == Kind::Copy {
            let lines = statement.lines(&self.hand);
            copy(&mut self.client, &sql, &lines)
        } else {
            self.client.batch_execute(&sql)
        };
        match outcome {
            Ok(()) => Ok(Answer::Done),
            Err(error) => match error.code().map(|code| code.code()) {
                Some("53400") => Ok(Answer::Refused(refused_resource(&error))),
                state if is_temporary(state) => Ok(Answer::Failed),
                _ => Err(error),
            },
        }
    }

    fn give_up(&mut self) -> Result<(), Error> {
        self.client.batch_execute("rollback")?;
        self.outcome.retried += 1;
        self.forget();
        Ok(())
    }

    /// The whole transaction is rolled back.
    fn forget(&mut self) {
        while !self.levels.is_empty() {
            self.undo();
        }
    }

    fn end(&mut self, end: End) -> Result<(), Error> {
        let name = format!("{}-{}", self.hand.number, self.hand.names[0].key);
        let commands = match end {
            End::Commit => vec!["commit".to_owned()],
            End::RollBack => vec!["rollback".to_owned()],
            End::PrepareAndCommit => {
                vec![format!("prepare transaction '{name}'"), format!("commit prepared '{name}'")]
            }
            End::PrepareAndRollBack => {
                vec![format!("prepare transaction '{name}'"), format!("rollback prepared '{name}'")]
            }
        };
        for command in commands {
            let outcome = self.client.batch_execute(&command);
            // A serializable transaction may fail as late as this.
            if is_temporary(sqlstate(&outcome)) {
                return self.give_up();
            }
            outcome?;
        }
        if matches!(end, End::Commit | End::PrepareAndCommit) {
            while self.levels.len() > 1 {
                self.close();
            }
            let level = self.levels.pop().expect("a transaction");
            self.ledger.committed(&level.effect);
            self.outcome.committed += 1;
        } else {
            self.forget();
            self.outcome.rolled_back += 1;
        }
        Ok(())
    }
}

fn copy(client: &mut Client, sql: &str, lines: &str) -> Result<(), Error> {
    let mut copy = client.copy_in(sql)?;
    // What goes wrong while it is sent is told at the end.
    let _ = copy.write_all(lines.as_bytes());
    copy.finish().map(|_| ())
}
