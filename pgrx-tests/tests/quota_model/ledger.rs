//! What is known for certain of the tenants' usage while others change it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

pub const TENANTS: usize = 2;
pub const RESOURCES: usize = 2;
/// The resource that rows count for, and the one that bytes do.
pub const NAMES: [&str; RESOURCES] = ["items", "storage"];
/// Where there is no limit.
pub const UNLIMITED: i64 = i64::MAX;

/// A number for each tenant and resource.
pub type Amounts = [[i64; RESOURCES]; TENANTS];

fn each() -> impl Iterator<Item = (usize, usize)> {
    (0..TENANTS).flat_map(|tenant| (0..RESOURCES).map(move |resource| (tenant, resource)))
}

fn combine(to: &mut Amounts, other: &Amounts, with: impl Fn(i64, i64) -> i64) {
    for (tenant, resource) in each() {
        to[tenant][resource] = with(to[tenant][resource], other[tenant][resource]);
    }
}

/// What a statement adds and removes. One that fires several triggers does both: an upsert takes what it inserts, and gives back
/// what it makes shorter.
#[derive(Clone, Copy, Debug)]
pub struct Effect {
    pub added: Amounts,
    pub removed: Amounts,
    /// The most that there is more than before while something is added; nothing is where it says `NOTHING`.
    peak: Amounts,
}

const NOTHING: i64 = i64::MIN;

impl Default for Effect {
    fn default() -> Self {
        let (added, removed) = (Amounts::default(), Amounts::default());
        Self { added, removed, peak: [[NOTHING; RESOURCES]; TENANTS] }
    }
}

impl Effect {
    /// A trigger counts this next, which is taken or given back as a whole.
    pub fn count(&mut self, event: &Amounts) {
        combine(&mut self.added, event, |sum, amount| sum + amount.max(0));
        combine(&mut self.removed, event, |sum, amount| sum - amount.min(0));
        for (tenant, resource) in each() {
            let now = self.added[tenant][resource] - self.removed[tenant][resource];
            if event[tenant][resource] > 0 {
                self.peak[tenant][resource] = self.peak[tenant][resource].max(now);
            }
        }
    }

    /// Whether it goes above a limit at any moment, where there is so much with all that it adds.
    fn exceeds(&self, tenant: usize, resource: usize, with_added: i64, limit: i64) -> bool {
        let peak = self.peak[tenant][resource];
        peak != NOTHING && with_added - self.added[tenant][resource] + peak > limit
    }

    pub fn join(&mut self, other: &Self) {
        combine(&mut self.added, &other.added, |sum, amount| sum + amount);
        combine(&mut self.removed, &other.removed, |sum, amount| sum + amount);
    }
}

/// Bounds of what is committed and under way, and of the limits.
///
/// What is added counts for the upper bound from before it is asked for until it is certain that it is gone, and for the lower one
/// once it is committed for certain; what is removed the other way round.
#[derive(Debug)]
pub struct Ledger(Mutex<State>);

#[derive(Debug)]
struct State {
    at_most: Amounts,
    at_least: Amounts,
    limits: Amounts,
    /// Limits that may hold already.
    next_limits: Option<Amounts>,
    /// What was used at the beginning, and the highest limits since: nobody has more.
    ceiling: Amounts,
    requests: HashMap<u64, Request>,
    last_request: u64,
}

/// Something under way, with the bounds of all that there can have been since it began.
#[derive(Debug)]
struct Request {
    effect: Effect,
    /// What its transaction has removed: others can't have that yet, it can.
    freed: Amounts,
    highest: Amounts,
    lowest: Amounts,
    highest_limits: Amounts,
    lowest_limits: Amounts,
}

impl State {
    fn note(&mut self) {
        let next = self.next_limits.unwrap_or(self.limits);
        for request in self.requests.values_mut() {
            combine(&mut request.highest, &self.at_most, i64::max);
            combine(&mut request.lowest, &self.at_least, i64::min);
            for limits in [&self.limits, &next] {
                combine(&mut request.highest_limits, limits, i64::max);
                combine(&mut request.lowest_limits, limits, i64::min);
            }
        }
    }

    fn take_back(&mut self, effect: &Effect) {
        combine(&mut self.at_most, &effect.added, |sum, amount| sum - amount);
        combine(&mut self.at_least, &effect.removed, |sum, amount| sum + amount);
        self.note();
    }

    fn end(&mut self, request: u64) -> Request {
        self.requests.remove(&request).expect("a request")
    }
}

impl Ledger {
    /// While nothing is under way.
    pub fn new(used: Amounts, limits: Amounts) -> Self {
        let mut ceiling = used;
        combine(&mut ceiling, &limits, i64::max);
        Self(Mutex::new(State {
            at_most: used,
            at_least: used,
            limits,
            next_limits: None,
            ceiling,
            requests: HashMap::new(),
            last_request: 0,
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nobody panics with the ledger")
    }

    /// Somebody is about to run a statement, in a transaction that has done something `before`.
    pub fn asks(&self, effect: &Effect, before: &Effect) -> u64 {
        let mut state = self.state();
        combine(&mut state.at_most, &effect.added, |sum, amount| sum + amount);
        combine(&mut state.at_least, &effect.removed, |sum, amount| sum - amount);
        state.last_request += 1;
        let request = Request {
            effect: *effect,
            freed: before.removed,
            highest: [[i64::MIN; RESOURCES]; TENANTS],
            lowest: [[i64::MAX; RESOURCES]; TENANTS],
            highest_limits: [[i64::MIN; RESOURCES]; TENANTS],
            lowest_limits: [[i64::MAX; RESOURCES]; TENANTS],
        };
        let number = state.last_request;
        state.requests.insert(number, request);
        state.note();
        number
    }

    /// The request was refused for a resource. Panics when it fitted all the time, with all that anybody else can have had.
    #[track_caller]
    pub fn refused(&self, request: u64, resource: usize) {
        let mut state = self.state();
        let request = state.end(request);
        state.take_back(&request.effect);
        drop(state);
        let is_right = (0..TENANTS).any(|tenant| {
            let highest = request.highest[tenant][resource] - request.freed[tenant][resource];
            let limit = request.lowest_limits[tenant][resource];
            request.effect.exceeds(tenant, resource, highest, limit)
        });
        assert!(is_right, "refused for {}, though it fitted: {request:?}", NAMES[resource]);
    }

    /// The request was admitted. Panics when it can't have fitted at any time.
    #[track_caller]
    pub fn admitted(&self, request: u64) {
        let request = self.state().end(request);
        let is_right = each().all(|(tenant, resource)| {
            let added = request.effect.added[tenant][resource];
            added == 0 || request.lowest[tenant][resource] + added <= request.highest_limits[tenant][resource]
        });
        assert!(is_right, "admitted, though there was no room: {request:?}");
    }

    /// Neither: its transaction has failed for another reason.
    pub fn failed(&self, request: u64) {
        let mut state = self.state();
        let request = state.end(request);
        state.take_back(&request.effect);
    }

    /// What was admitted is rolled back for certain.
    pub fn rolled_back(&self, effect: &Effect) {
        self.state().take_back(effect);
    }

    /// What was admitted is committed for certain.
    pub fn committed(&self, effect: &Effect) {
        let mut state = self.state();
        combine(&mut state.at_most, &effect.removed, |sum, amount| sum - amount);
        combine(&mut state.at_least, &effect.added, |sum, amount| sum + amount);
        state.note();
    }

    /// Somebody who asked for nothing has seen so much committed in the meantime.
    #[track_caller]
    pub fn seen(&self, request: u64, used: &Amounts) {
        let mut state = self.state();
        let request = state.end(request);
        let ceiling = state.ceiling;
        drop(state);
        for (tenant, resource) in each() {
            let used = used[tenant][resource];
            let (lowest, highest) = (request.lowest[tenant][resource], request.highest[tenant][resource]);
            assert!((lowest..=highest).contains(&used), "{used} {} of {lowest} to {highest}", NAMES[resource]);
            assert!(used <= ceiling[tenant][resource], "{used} {} of {ceiling:?}", NAMES[resource]);
        }
    }

    /// Whether the bounds are one: nothing is under way.
    pub fn is_certain(&self) -> bool {
        let state = self.state();
        state.at_most == state.at_least
    }

    pub fn limits_change(&self, limits: Amounts) {
        let mut state = self.state();
        state.next_limits = Some(limits);
        combine(&mut state.ceiling, &limits, i64::max);
        state.note();
    }

    pub fn limits_changed(&self) {
        let mut state = self.state();
        state.limits = state.next_limits.take().expect("limits that change");
    }

    pub fn limits_stay(&self) {
        self.state().next_limits = None;
    }
}
