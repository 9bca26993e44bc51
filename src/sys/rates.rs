//! What tenants have spent of their rates, in memory that all sessions share: a table of fixed size, from tenant and
//! resource to a state that the caller knows how to read.
//!
//! Who looks up an entry shares the table's lock, and holds the entry's own for the few instructions of a change; only who
//! enters a new one holds the table. When it is full, an entry makes room that says nothing any more, as everything is
//! back that was spent, or else the one that was used least recently.

use crate::sys::Oid;
use crate::sys::backend::BackendCell;
use crate::sys::session;
use crate::sys::shared::{self, Lock, Memory, Region};
use crate::sys::slots::Key;
use std::collections::BinaryHeap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

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

const STATE_WORDS: usize = 6;
const KEY_WORDS: usize = 4;

type KeyWords = [u64; KEY_WORDS];

/// Entries that are found at once to make room for others, so that not each time all are looked at.
const VICTIMS: usize = 64;

/// How long an entry may be held before it is taken for lost.
const PATIENCE: Duration = Duration::from_secs(120);

/// No entry.
const NONE: u32 = u32::MAX;

/// How the table is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    pub slots: u64,
    pub used: u64,
    /// Entries that made room for others.
    pub evicted: u64,
    /// Of these, those that still had something spent.
    pub evicted_spent: u64,
}

#[repr(C, align(64))]
struct Header {
    used: AtomicU32,
    victims: AtomicU32,
    evicted: AtomicU64,
    evicted_spent: AtomicU64,
    /// An entry, and when it had been used last: since then it may have been used again.
    victim: [(AtomicU32, AtomicU64); VICTIMS],
}

#[repr(C, align(64))]
struct Entry {
    /// 1 while somebody reads or changes the state.
    busy: AtomicU32,
    /// The next entry in the same bucket.
    next: AtomicU32,
    key: [AtomicU64; KEY_WORDS],
    used_at: AtomicU64,
    state: [AtomicU64; STATE_WORDS],
}

#[derive(Clone, Copy)]
struct Table<'a> {
    header: &'a Header,
    /// As many as there are entries; the first entry of each.
    buckets: &'a [AtomicU32],
    entries: &'a [Entry],
}

static TABLE: BackendCell<Option<(Lock, Table<'static>)>> = BackendCell::new(None);
static CAPACITY: BackendCell<usize> = BackendCell::new(0);

/// Asks for room for so many entries. To be called once, while the library loads.
pub fn init(capacity: usize) {
    CAPACITY.set(capacity);
    shared::reserve(Region { name: c"pg_tenancy rates", size, locks: 1, attach });
}

/// The buckets come last, so that all is aligned.
fn size() -> usize {
    size_of::<Header>() + CAPACITY.get() * (size_of::<Entry>() + size_of::<AtomicU32>())
}

fn attach(memory: &Memory) {
    let Some(lock) = memory.lock(0) else { return };
    let capacity = CAPACITY.get();
    // SAFETY: the memory has the size that was asked for and is zero: atomics of any value are valid.
    let table = unsafe {
        let header = &*memory.start.cast::<Header>();
        let entries = memory.start.cast::<Header>().add(1).cast::<Entry>();
        let buckets = entries.add(capacity).cast::<AtomicU32>();
        Table {
            header,
            buckets: std::slice::from_raw_parts(buckets, capacity),
            entries: std::slice::from_raw_parts(entries, capacity),
        }
    };
    table.clear();
    TABLE.set(Some((lock, table)));
}

/// Whether there is such memory.
pub fn exist() -> bool {
    TABLE.get().is_some()
}

/// The state for a tenant of this database, if there is one. `of` is the table that numbers the resources.
pub fn read(of: Oid, key: &Key) -> Option<State> {
    let (lock, table) = TABLE.get()?;
    let _held = lock.share();
    let entry = table.find(&words(of, key))?;
    let _taken = entry.take();
    Some(entry.state())
}

/// Changes the state for a tenant of this database, made if there is none. `change` must be short and can't fail; nobody
/// else sees the state meanwhile. `None` where there is no memory.
pub fn update<T>(of: Oid, key: &Key, now: u64, change: impl FnOnce(&mut State) -> T) -> Option<T> {
    let (lock, table) = TABLE.get()?;
    let words = words(of, key);
    {
        let _held = lock.share();
        if let Some(entry) = table.find(&words) {
            return Some(entry.change(now, change));
        }
    }
    let _held = lock.hold();
    let entry = table.find(&words).or_else(|| table.insert(&words, now))?;
    Some(entry.change(now, change))
}

/// How the table is used.
pub fn usage() -> Option<Usage> {
    let (lock, table) = TABLE.get()?;
    let _held = lock.share();
    Some(Usage {
        slots: table.entries.len() as u64,
        used: table.header.used.load(Ordering::Relaxed).into(),
        evicted: table.header.evicted.load(Ordering::Relaxed),
        evicted_spent: table.header.evicted_spent.load(Ordering::Relaxed),
    })
}

fn words(of: Oid, key: &Key) -> KeyWords {
    let (high, low) = key.tenant.as_u64_pair();
    [u64::from(session::database().to_u32()) << 32 | u64::from(key.resource as u32), of.to_u32().into(), high, low]
}

/// An entry's own lock, given back on drop. It is held for some nanoseconds; who is interrupted by the operating system
/// meanwhile keeps the others waiting, so these give way after a while.
struct Taken<'a>(&'a AtomicU32);

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.0.store(0, Ordering::Release);
    }
}

/// Who holds an entry has gone without giving it back. Then this process ends as by PANIC, and so the server begins anew, as
/// PostgreSQL has it for its own spin locks. Its standard error is the server's log.
fn give_up_after(since: Instant) {
    if since.elapsed() > PATIENCE {
        eprintln!("pg_tenancy: an entry of a tenant's rate is stuck");
        std::process::abort();
    }
}

impl Entry {
    fn take(&self) -> Taken<'_> {
        let (mut turns, mut since) = (0u32, None);
        while self.busy.compare_exchange_weak(0, 1, Ordering::Acquire, Ordering::Relaxed).is_err() {
            turns = turns.wrapping_add(1);
            if turns.is_multiple_of(128) {
                std::thread::yield_now();
                give_up_after(*since.get_or_insert_with(Instant::now));
            } else {
                std::hint::spin_loop();
            }
        }
        Taken(&self.busy)
    }

    fn change<T>(&self, now: u64, change: impl FnOnce(&mut State) -> T) -> T {
        let _taken = self.take();
        self.used_at.fetch_max(now, Ordering::Relaxed);
        let mut state = self.state();
        let result = change(&mut state);
        self.put(&state);
        result
    }

    fn state(&self) -> State {
        let word = |number: usize| self.state[number].load(Ordering::Relaxed);
        State {
            spent: u128::from(word(0)) << 64 | u128::from(word(1)),
            per: word(2),
            at: word(3),
            full_at: word(4),
            warned_at: word(5),
        }
    }

    fn put(&self, state: &State) {
        let words =
            [(state.spent >> 64) as u64, state.spent as u64, state.per, state.at, state.full_at, state.warned_at];
        for (place, word) in self.state.iter().zip(words) {
            place.store(word, Ordering::Relaxed);
        }
    }

    fn key(&self) -> KeyWords {
        self.key.each_ref().map(|word| word.load(Ordering::Relaxed))
    }

    fn is_spent(&self, now: u64) -> bool {
        self.state().full_at > now
    }
}

impl<'a> Table<'a> {
    fn clear(&self) {
        let header = self.header;
        header.used.store(0, Ordering::Relaxed);
        header.victims.store(0, Ordering::Relaxed);
        header.evicted.store(0, Ordering::Relaxed);
        header.evicted_spent.store(0, Ordering::Relaxed);
        self.buckets.iter().for_each(|bucket| bucket.store(NONE, Ordering::Relaxed));
        self.entries.iter().for_each(|entry| entry.busy.store(0, Ordering::Relaxed));
    }

    fn bucket(&self, key: &KeyWords) -> Option<&'a AtomicU32> {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let count = self.buckets.len() as u64;
        self.buckets.get(hasher.finish().checked_rem(count)? as usize)
    }

    /// The places from `first` on, along the bucket.
    fn chain(&self, first: &'a AtomicU32) -> impl Iterator<Item = (&'a AtomicU32, &'a Entry)> {
        let entries = self.entries;
        let mut link = first;
        std::iter::from_fn(move || {
            let entry = entries.get(link.load(Ordering::Relaxed) as usize)?;
            let found = (link, entry);
            link = &entry.next;
            Some(found)
        })
    }

    fn find(&self, key: &KeyWords) -> Option<&'a Entry> {
        self.chain(self.bucket(key)?).map(|(_, entry)| entry).find(|entry| entry.key() == *key)
    }

    /// Enters a key that isn't there. Under the lock alone.
    fn insert(&self, key: &KeyWords, now: u64) -> Option<&'a Entry> {
        let used = self.header.used.load(Ordering::Relaxed);
        let number = if (used as usize) < self.entries.len() {
            self.header.used.store(used + 1, Ordering::Relaxed);
            used
        } else {
            self.evict(now)?
        };
        let entry = self.entries.get(number as usize)?;
        for (place, word) in entry.key.iter().zip(key) {
            place.store(*word, Ordering::Relaxed);
        }
        entry.put(&State::default());
        entry.used_at.store(now, Ordering::Relaxed);
        let bucket = self.bucket(key)?;
        entry.next.store(bucket.load(Ordering::Relaxed), Ordering::Relaxed);
        bucket.store(number, Ordering::Relaxed);
        Some(entry)
    }

    /// Takes an entry out, to make room. Under the lock alone.
    fn evict(&self, now: u64) -> Option<u32> {
        let number = self.next_victim().or_else(|| {
            self.find_victims(now);
            self.next_victim()
        })?;
        let entry = self.entries.get(number as usize)?;
        let (link, _) = self.chain(self.bucket(&entry.key())?).find(|(_, found)| std::ptr::eq(*found, entry))?;
        link.store(entry.next.load(Ordering::Relaxed), Ordering::Relaxed);
        self.header.evicted.fetch_add(1, Ordering::Relaxed);
        if entry.is_spent(now) {
            self.header.evicted_spent.fetch_add(1, Ordering::Relaxed);
        }
        Some(number)
    }

    /// Those that were found before and have not been used since are older than all that have.
    fn next_victim(&self) -> Option<u32> {
        let header = self.header;
        loop {
            let left = header.victims.load(Ordering::Relaxed).checked_sub(1)?;
            header.victims.store(left, Ordering::Relaxed);
            let (number, used_at) = header.victim.get(left as usize)?;
            let number = number.load(Ordering::Relaxed);
            let entry = self.entries.get(number as usize)?;
            if entry.used_at.load(Ordering::Relaxed) == used_at.load(Ordering::Relaxed) {
                return Some(number);
            }
        }
    }

    /// Finds entries to make room: first those that say nothing any more, then the others, the least recently used of
    /// each first.
    fn find_victims(&self, now: u64) {
        let wanted = VICTIMS.min(self.entries.len() / 4 + 1);
        let mut first = BinaryHeap::with_capacity(wanted + 1);
        for (number, entry) in (0u32..).zip(self.entries) {
            first.push((entry.is_spent(now), entry.used_at.load(Ordering::Relaxed), number));
            if first.len() > wanted {
                first.pop();
            }
        }
        // The last is taken first.
        for (place, (_, used_at, number)) in self.header.victim.iter().zip(first.into_sorted_vec().iter().rev()) {
            place.0.store(*number, Ordering::Relaxed);
            place.1.store(*used_at, Ordering::Relaxed);
        }
        self.header.victims.store(wanted as u32, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// Memory for a table, as PostgreSQL gives it.
    struct Owned {
        header: Box<Header>,
        buckets: Vec<AtomicU32>,
        entries: Vec<Entry>,
    }

    impl Owned {
        fn new(capacity: usize) -> Self {
            let entry = || Entry {
                busy: AtomicU32::new(0),
                next: AtomicU32::new(0),
                key: Default::default(),
                used_at: AtomicU64::new(0),
                state: Default::default(),
            };
            let header = Header {
                used: AtomicU32::new(0),
                victims: AtomicU32::new(0),
                evicted: AtomicU64::new(0),
                evicted_spent: AtomicU64::new(0),
                victim: std::array::from_fn(|_| Default::default()),
            };
            let owned = Self {
                header: Box::new(header),
                buckets: (0..capacity).map(|_| AtomicU32::new(0)).collect(),
                entries: (0..capacity).map(|_| entry()).collect(),
            };
            owned.table().clear();
            owned
        }

        fn table(&self) -> Table<'_> {
            Table { header: &self.header, buckets: &self.buckets, entries: &self.entries }
        }
    }

    fn key(number: u64) -> KeyWords {
        [5, 0, 0, number]
    }

    fn use_one(table: Table<'_>, number: u64, now: u64, spent: u128, full_at: u64) {
        let entry = table.find(&key(number)).or_else(|| table.insert(&key(number), now)).unwrap();
        entry.change(now, |state| *state = State { spent, full_at, ..State::default() });
    }

    proptest! {
        /// As a list that is sorted anew each time has it.
        #[test]
        fn the_least_recently_used_makes_room(capacity in 1usize..12, uses in prop::collection::vec(0u64..20, 1..200)) {
            let owned = Owned::new(capacity);
            let table = owned.table();
            let (mut model, mut evicted) = (BTreeMap::<u64, u64>::new(), 0);
            for (now, number) in (1u64..).zip(uses) {
                if !model.contains_key(&number) && model.len() == capacity {
                    let oldest = *model.iter().min_by_key(|(_, used_at)| **used_at).unwrap().0;
                    model.remove(&oldest);
                    evicted += 1;
                }
                model.insert(number, now);
                use_one(table, number, now, 7, u64::MAX);
                for other in 0..20 {
                    prop_assert_eq!(table.find(&key(other)).is_some(), model.contains_key(&other), "{} at {}", other, now);
                }
            }
            prop_assert_eq!(table.header.evicted.load(Ordering::Relaxed), evicted);
            prop_assert_eq!(table.header.evicted_spent.load(Ordering::Relaxed), evicted);
        }
    }

    #[test]
    fn what_says_nothing_any_more_makes_room_first() {
        let owned = Owned::new(3);
        let table = owned.table();
        use_one(table, 1, 10, 5, 1000);
        use_one(table, 2, 20, 5, 50);
        use_one(table, 3, 30, 5, 1000);
        use_one(table, 4, 60, 5, 1000);
        assert!(table.find(&key(1)).is_some() && table.find(&key(2)).is_none());
        assert_eq!(table.header.evicted_spent.load(Ordering::Relaxed), 0);
        assert_eq!(table.find(&key(4)).unwrap().state().spent, 5);
    }

    #[test]
    fn a_state_is_kept_as_it_is() {
        let owned = Owned::new(1);
        use_one(owned.table(), 1, 1, 0, 0);
        let state = State { spent: u128::MAX - 5, per: 2, at: 3, full_at: u64::MAX, warned_at: 4 };
        let entry = owned.table().find(&key(1)).unwrap();
        entry.put(&state);
        assert_eq!(entry.state(), state);
    }

    #[test]
    fn changes_at_once_are_all_there() {
        let owned = Owned::new(1);
        use_one(owned.table(), 1, 1, 0, 0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let table = owned.table();
                scope.spawn(move || {
                    for _ in 0..10_000 {
                        table.find(&key(1)).unwrap().change(2, |state| state.spent += u128::from(u64::MAX));
                    }
                });
            }
        });
        let state = owned.table().find(&key(1)).unwrap().state();
        assert_eq!(state.spent, 40_000 * u128::from(u64::MAX));
    }
}
