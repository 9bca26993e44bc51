//! Entries of the event log that wait for a worker to write them: those of a session that has noted more than there is
//! room for workers. They are handed over together, as soon as there is one; at the latest before the transaction is
//! committed or the session ends.

use crate::catalog::event::{self, Record};
use crate::sys::backend::BackendCell;
use crate::sys::flag::Flag;
use crate::sys::{report, session, xact};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How many entries wait. When there are more, the oldest are dropped; the server's log has them.
const LIMIT: usize = 1000;

/// How long a commit, or the end of a session, waits for a worker.
const PATIENCE: Duration = Duration::from_secs(2);

/// How soon it is tried again while statements run.
const INTERVAL: Duration = Duration::from_millis(10);

/// The entries that wait, oldest first, and how many were dropped.
#[derive(Debug)]
struct Queue<T> {
    entries: VecDeque<T>,
    dropped: usize,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { entries: VecDeque::new(), dropped: 0 }
    }
}

impl<T> Queue<T> {
    fn add(&mut self, entry: T) {
        if self.entries.len() >= LIMIT {
            self.entries.pop_front();
            self.dropped += 1;
        }
        self.entries.push_back(entry);
    }
}

thread_local! {
    static QUEUE: RefCell<Queue<Record>> = RefCell::default();
}

/// Whether any entry waits.
const IS_WAITING: Flag = Flag::BypassUnwritten;

/// Whether somebody has waited in vain; then nobody waits until there has been a worker.
static IN_VAIN: BackendCell<bool> = BackendCell::new(false);

static TRIED: BackendCell<Option<Instant>> = BackendCell::new(None);

/// Connects to the ends of transactions. Called once per backend.
pub fn init() {
    xact::before_commit_or_prepare(IS_WAITING, insist);
}

/// Whether there is anything to hand over.
#[inline]
pub fn is_waiting() -> bool {
    IS_WAITING.get()
}

/// Has an entry written, soon.
pub fn add(entry: Record) {
    static REGISTERED: BackendCell<bool> = BackendCell::new(false);
    QUEUE.with_borrow_mut(|queue| queue.add(entry));
    if !REGISTERED.replace(true) {
        session::on_exit(session_ends);
    }
    if IS_WAITING.replace(true) {
        try_again();
    } else {
        hand_over(Duration::ZERO);
    }
}

/// Tries to hand over what waits, if the last time was not just now.
pub fn try_again() {
    if TRIED.get().is_none_or(|at| at.elapsed() >= INTERVAL) {
        hand_over(Duration::ZERO);
    }
}

/// Waits for a worker, once.
fn insist() {
    hand_over(if IN_VAIN.get() { Duration::ZERO } else { PATIENCE });
    IN_VAIN.set(IS_WAITING.get());
}

fn session_ends(in_order: bool) {
    if !IS_WAITING.get() {
        return;
    }
    xact::abort();
    if in_order {
        insist();
    } else {
        hand_over(Duration::ZERO);
    }
    if IS_WAITING.get() {
        let left = QUEUE.with_borrow(|queue| queue.entries.len() + queue.dropped);
        report::log(not_in_event_log(left));
    }
}

fn hand_over(patience: Duration) {
    // Kept until they are handed over: an error may come in between.
    let entries: Vec<Record> = QUEUE.with_borrow(|queue| queue.entries.iter().cloned().collect());
    if event::record(entries, patience) {
        let dropped = QUEUE.take().dropped;
        IS_WAITING.set(false);
        IN_VAIN.set(false);
        if dropped > 0 {
            report::log(not_in_event_log(dropped));
        }
    }
    TRIED.set(Some(Instant::now()));
}

fn not_in_event_log(count: usize) -> String {
    format!(
        "{count} of the bypasses of row security that this session has logged are not in tenancy.event_log: no background worker was free"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_make_way_and_are_counted() {
        let mut queue = Queue::default();
        (0..LIMIT + 3).for_each(|entry| queue.add(entry));
        assert_eq!((queue.entries.len(), queue.dropped), (LIMIT, 3));
        assert_eq!((queue.entries.front(), queue.entries.back()), (Some(&3), Some(&(LIMIT + 2))));
    }
}
