//! A client that does random things, and tells the ledger.

use std::sync::Arc;

use tenancy_harness::postgres::{self, Client};
use tenancy_harness::sqlstate;

use crate::ledger::Ledger;

/// How transactions ended.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    pub committed: u64,
    pub rolled_back: u64,
    pub refused: u64,
    pub retried: u64,
}

impl Outcome {
    pub fn add(&mut self, other: &Self) {
        self.committed += other.committed;
        self.rolled_back += other.rolled_back;
        self.refused += other.refused;
        self.retried += other.retried;
    }
}

/// What a level of a transaction has added and removed.
#[derive(Clone, Copy, Debug, Default)]
struct Changes {
    added: i64,
    removed: i64,
}

pub struct Worker {
    number: u64,
    client: Client,
    ledger: Arc<Ledger>,
    random: u64,
    names: u64,
    outcome: Outcome,
    judges: bool,
}

/// What a statement came to.
enum Answer {
    Rows(i64),
    Refused,
    /// The transaction has failed, and is to be tried again.
    Failed,
}

impl Worker {
    pub fn new(number: u64, mut client: Client, ledger: Arc<Ledger>) -> Self {
        client.batch_execute("set tenancy.tenant_id = 'acme'").expect("a tenant");
        let random = 0x9e37_79b9_7f4a_7c15 ^ (number + 1).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        Self { number, client, ledger, random, names: 0, outcome: Outcome::default(), judges: true }
    }

    /// Where others change the usage without telling the ledger.
    pub fn trust_refusals(&mut self) {
        self.judges = false;
    }

    pub fn tally(&self) -> Outcome {
        self.outcome
    }

    /// Below `bound`.
    fn draw(&mut self, bound: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 16) % bound
    }

    /// Runs one; returns how many statements it had. Fails only with the connection.
    pub fn transaction(&mut self) -> Result<u64, postgres::Error> {
        let level = ["read committed", "read committed", "repeatable read", "serializable"][self.draw(4) as usize];
        self.client.batch_execute(&format!("begin isolation level {level}"))?;
        let mut levels = vec![Changes::default()];
        let statements = 1 + self.draw(5);
        for _ in 0..statements {
            if !self.step(&mut levels)? {
                self.outcome.retried += 1;
                self.client.batch_execute("rollback")?;
                self.forget(&levels);
                return Ok(statements);
            }
        }
        self.end(&levels)?;
        Ok(statements)
    }

    /// One statement, within a savepoint or not. Returns false when the transaction has failed.
    fn step(&mut self, levels: &mut Vec<Changes>) -> Result<bool, postgres::Error> {
        match self.draw(12) {
            0 if levels.len() < 4 => {
                self.client.batch_execute("savepoint s")?;
                levels.push(Changes::default());
                return Ok(true);
            }
            1 if levels.len() > 1 => {
                self.client.batch_execute("rollback to savepoint s; release savepoint s")?;
                let inner = levels.pop().unwrap_or_default();
                self.ledger.gone(inner.added);
                return Ok(true);
            }
            2 if levels.len() > 1 => {
                self.client.batch_execute("release savepoint s")?;
                let inner = levels.pop().unwrap_or_default();
                let outer = levels.last_mut().expect("an outer level");
                outer.added += inner.added;
                outer.removed += inner.removed;
                return Ok(true);
            }
            _ => {}
        }
        let rows = 1 + i64::try_from(self.draw(6)).unwrap_or(0);
        let number = self.number;
        // Every statement in a savepoint of its own: a refusal leaves the transaction as it was.
        self.client.batch_execute("savepoint statement")?;
        let answer = match self.draw(5) {
            0..=2 => {
                let request = self.ledger.asks(rows);
                let insert = format!(
                    "insert into items (client, body) select {number}, repeat('x', {number} * n) from generate_series(1, {rows}) n"
                );
                let answer = self.run(&insert)?;
                match answer {
                    Answer::Refused if self.judges => self.ledger.refused(request, rows),
                    Answer::Refused | Answer::Failed => {
                        self.ledger.answered(request);
                        self.ledger.gone(rows);
                    }
                    Answer::Rows(_) => {
                        self.ledger.answered(request);
                        levels.last_mut().expect("a level").added += rows;
                    }
                }
                answer
            }
            3 => {
                let delete = format!(
                    "delete from items where id in (select id from items where client = {number} order by id limit {rows})"
                );
                let answer = self.run(&delete)?;
                if let Answer::Rows(gone) = answer {
                    levels.last_mut().expect("a level").removed += gone;
                }
                answer
            }
            _ => self.run(&format!("update items set body = body || 'y' where client = {number} and id % 3 = 0"))?,
        };
        match answer {
            Answer::Rows(_) => self.client.batch_execute("release savepoint statement")?,
            Answer::Refused => {
                self.outcome.refused += 1;
                self.client.batch_execute("rollback to savepoint statement; release savepoint statement")?;
            }
            Answer::Failed => return Ok(false),
        }
        Ok(true)
    }

    fn run(&mut self, statement: &str) -> Result<Answer, postgres::Error> {
        let outcome = self.client.execute(statement, &[]);
        match sqlstate(&outcome) {
            Some("53400") => Ok(Answer::Refused),
            Some("40001" | "40P01") => Ok(Answer::Failed),
            _ => Ok(Answer::Rows(i64::try_from(outcome?).unwrap_or(0))),
        }
    }

    fn forget(&self, levels: &[Changes]) {
        self.ledger.gone(levels.iter().map(|level| level.added).sum());
    }

    fn end(&mut self, levels: &[Changes]) -> Result<(), postgres::Error> {
        self.names += 1;
        let name = format!("{}-{}-{}", self.number, self.names, std::process::id());
        let (commits, end) = match self.draw(8) {
            0 => (false, "rollback".to_owned()),
            1 => (true, format!("prepare transaction '{name}'; commit prepared '{name}'")),
            2 => (false, format!("prepare transaction '{name}'; rollback prepared '{name}'")),
            _ => (true, "commit".to_owned()),
        };
        for statement in end.split("; ") {
            let outcome = self.client.batch_execute(statement);
            match sqlstate(&outcome) {
                // A serializable transaction may fail as late as this.
                Some("40001" | "40P01") => {
                    self.outcome.retried += 1;
                    self.client.batch_execute("rollback")?;
                    self.forget(levels);
                    return Ok(());
                }
                _ => outcome?,
            }
        }
        if commits {
            self.outcome.committed += 1;
            self.ledger.gone(levels.iter().map(|level| level.removed).sum());
        } else {
            self.outcome.rolled_back += 1;
            self.forget(levels);
        }
        Ok(())
    }
}
