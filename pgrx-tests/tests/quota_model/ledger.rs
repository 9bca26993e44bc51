//! What is known for certain of a tenant's usage while others change it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

/// Bounds of the usage and the limit. A row counts from before it is asked for, until it is certain that it is gone.
#[derive(Debug)]
pub struct Ledger(Mutex<State>);

#[derive(Debug)]
struct State {
    at_most: i64,
    limit: i64,
    /// A limit that may hold already.
    next_limit: Option<i64>,
    highest_limit: i64,
    /// Requests under way: the highest usage and the lowest limit that there can have been since they began.
    requests: HashMap<u64, (i64, i64)>,
    last_request: u64,
}

impl State {
    fn note(&mut self) {
        let (at_most, limit) = (self.at_most, self.next_limit.unwrap_or(self.limit).min(self.limit));
        for (highest, lowest) in self.requests.values_mut() {
            *highest = at_most.max(*highest);
            *lowest = limit.min(*lowest);
        }
    }
}

impl Ledger {
    pub fn new(limit: i64) -> Self {
        Self(Mutex::new(State {
            at_most: 0,
            limit,
            next_limit: None,
            highest_limit: limit,
            requests: HashMap::new(),
            last_request: 0,
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nobody panics with the ledger")
    }

    /// Somebody is about to ask for so many rows more.
    pub fn asks(&self, rows: i64) -> u64 {
        let mut state = self.state();
        state.at_most += rows;
        state.last_request += 1;
        let request = state.last_request;
        state.requests.insert(request, (i64::MIN, i64::MAX));
        state.note();
        request
    }

    /// The request was refused. Panics when it fitted all the time, with all that anybody else can have had.
    #[track_caller]
    pub fn refused(&self, request: u64, rows: i64) {
        let mut state = self.state();
        let (highest, lowest) = state.requests.remove(&request).expect("a request");
        state.at_most -= rows;
        drop(state);
        assert!(highest > lowest, "refused, though there were at most {highest} of {lowest}");
    }

    /// It was admitted, or failed otherwise.
    pub fn answered(&self, request: u64) {
        self.state().requests.remove(&request);
    }

    /// So many rows are gone for certain: what added them was rolled back, or what removed them has committed.
    pub fn gone(&self, rows: i64) {
        let mut state = self.state();
        state.at_most -= rows;
        state.note();
    }

    /// When nothing is under way: the usage.
    pub fn certain(&self) -> i64 {
        self.state().at_most
    }

    pub fn highest_limit(&self) -> i64 {
        self.state().highest_limit
    }

    pub fn limit_changes(&self, limit: i64) {
        let mut state = self.state();
        state.next_limit = Some(limit);
        state.highest_limit = state.highest_limit.max(limit);
        state.note();
    }

    pub fn limit_changed(&self, limit: i64) {
        let mut state = self.state();
        state.limit = limit;
        state.next_limit = None;
    }

    pub fn limit_stays(&self) {
        self.state().next_limit = None;
    }
}
