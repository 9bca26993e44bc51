//! What a background worker does in a transaction of its own, so that it stays whatever becomes of the transaction that
//! asked for it.

use super::event::{self, Record};
use super::numbers::{self, Block};
use super::spi;
use crate::error::{Error, Result};
use crate::sys::recorder;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A worker's task, as it travels to it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Task {
    /// Entries of the event log.
    Record(Vec<Record>),
    /// A block of numbers; the answer is the last of them.
    Reserve(Block),
    /// Nothing, to see whether it is done.
    Answer,
}

/// Tells workers what to do. Called once per backend.
pub fn init() {
    recorder::init(perform);
}

/// Has the task done, soon, waiting for a free worker as long as there is `patience`. Returns false when nobody can.
pub fn send(task: &Task, patience: Duration) -> bool {
    serde_json::to_string(task).is_ok_and(|text| recorder::send(&text, patience))
}

/// Has the task done now, waiting for a free worker as long as there is `patience`. `None` when it is not done.
pub fn send_and_wait(task: &Task, patience: Duration) -> Option<i64> {
    serde_json::to_string(task).ok().and_then(|text| recorder::send_and_wait(&text, patience))
}

/// Whether a task could be done here: `None` where nothing is to be done, as on a standby.
pub fn answers(patience: Duration) -> Option<bool> {
    recorder::is_possible().then(|| send_and_wait(&Task::Answer, patience).is_some())
}

/// In the worker.
fn perform(text: &str) -> Result<i64> {
    let task = serde_json::from_str(text).map_err(|error| Error::Spi(error.to_string()))?;
    // A lock must not keep the session waiting that waits for this; it may well hold it itself.
    spi::run("SET LOCAL lock_timeout = '2s'", &[])?;
    match task {
        Task::Record(records) => records.into_iter().try_for_each(event::write_record).map(|()| 0),
        Task::Reserve(block) => numbers::reserve_here(&block),
        Task::Answer => Ok(0),
    }
}
