//! What tenants have spent of their rates, in memory that all sessions share.

use crate::sys::Oid;
use crate::sys::backend::BackendCell;
use crate::sys::session;
use crate::sys::shared::{self, Memory, Region};
use crate::sys::slots::Key;
use crate::sys::table::{self, Hint, Shared, Usage, Words};

/// What there is to know of a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct State {
    /// What is spent and not back yet, in parts of which a unit of the resource has `per`.
    pub spent: u128,
    pub per: u64,
    /// When that was so.
    pub at: u64,
    /// When all of it will be back.
    pub full_at: u64,
    /// When a warning was given.
    pub warned_at: u64,
}

impl table::State for State {
    fn words(&self) -> Words {
        let Self { spent, per, at, full_at, warned_at } = *self;
        [(spent >> 64) as u64, spent as u64, per, at, full_at, warned_at, 0, 0, 0, 0]
    }

    fn of(words: Words) -> Self {
        let [high, low, per, at, full_at, warned_at, ..] = words;
        Self { spent: u128::from(high) << 64 | u128::from(low), per, at, full_at, warned_at }
    }

    /// As long as not everything is back that was spent.
    fn matters(&self, now: u64) -> bool {
        self.full_at > now
    }
}

static TABLE: BackendCell<Option<Shared>> = BackendCell::new(None);
static CAPACITY: BackendCell<usize> = BackendCell::new(0);
static LAST: Hint = Hint::none();

/// Asks for room for so many entries. To be called once, while the library loads.
pub fn init(capacity: usize) {
    CAPACITY.set(capacity);
    shared::reserve(Region { name: c"pg_tenancy rates", size, locks: 1, attach });
}

fn size() -> usize {
    table::size(CAPACITY.get())
}

fn attach(memory: &Memory) {
    TABLE.set(Shared::at(memory, CAPACITY.get()));
}

/// Whether there is such memory.
pub fn exist() -> bool {
    TABLE.get().is_some()
}

/// The state for a tenant of this database, if there is one. `of` is the table that numbers the resources.
pub fn read(of: Oid, key: &Key) -> Option<State> {
    TABLE.get()?.read(&words(of, key))
}

/// Changes the state for a tenant of this database, made if there is none. `change` must be short and can't fail; nobody
/// else sees the state meanwhile. `None` where there is no memory.
pub fn update<T>(of: Oid, key: &Key, now: u64, change: impl FnOnce(&mut State) -> T) -> Option<T> {
    TABLE.get()?.update(&LAST, &words(of, key), now, change)
}

/// How the table is used; what is spent is looked at as it will be then.
pub fn usage(now: u64) -> Option<Usage> {
    TABLE.get().map(|table| table.usage::<State>(now))
}

fn words(of: Oid, key: &Key) -> table::Key {
    let (high, low) = key.tenant.as_u64_pair();
    [u64::from(session::database().to_u32()) << 32 | u64::from(key.resource as u32), of.to_u32().into(), high, low]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::table::State as _;

    #[test]
    fn a_state_is_kept_as_it_is() {
        let state = State { spent: u128::MAX - 5, per: 2, at: 3, full_at: u64::MAX, warned_at: 4 };
        assert_eq!(State::of(state.words()), state);
    }
}
