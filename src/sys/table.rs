//! A table of fixed size in memory that all sessions share: from a tenant, and what is known of him, to a state that the
//! caller knows how to read.
//!
//! Who looks up an entry shares the table's lock, and holds the entry's own for the few instructions of a change; only who
//! enters a new one holds the table. When it is full, an entry makes room that says nothing any more, or else the one that
//! was used least recently.

use crate::sys::backend::BackendCell;
use crate::sys::shared::{Lock, Memory};
use std::collections::BinaryHeap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const KEY_WORDS: usize = 4;

/// What an entry is of; the first word is never 0.
pub type Key = [u64; KEY_WORDS];

const STATE_WORDS: usize = 10;

/// How a state lies in memory; one that is all 0 says nothing.
pub type Words = [u64; STATE_WORDS];

/// What is kept of a tenant.
pub trait State: Copy {
    fn words(&self) -> Words;
    fn of(words: Words) -> Self;
    /// Whether something is lost when it goes.
    fn matters(&self, now: u64) -> bool;
}

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
    /// Of these, those that still matter.
    pub needed: u64,
    /// Entries that made room for others.
    pub evicted: u64,
    /// Of these, those that still mattered.
    pub lost: u64,
}

#[repr(C, align(64))]
struct Header {
    /// Entries that have been given out, those that were given back included.
    reached: AtomicU32,
    used: AtomicU32,
    /// The first of those that were given back.
    free: AtomicU32,
    victims: AtomicU32,
    evicted: AtomicU64,
    lost: AtomicU64,
    /// An entry, and when it had been used last: since then it may have been used again.
    victim: [(AtomicU32, AtomicU64); VICTIMS],
}

#[repr(C, align(64))]
struct Entry {
    /// 1 while somebody reads or changes the state.
    busy: AtomicU32,
    /// The next entry in the same bucket, or among those that were given back.
    next: AtomicU32,
    /// All 0 in one that was given back.
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

/// A table, and the lock on it.
#[derive(Clone, Copy)]
pub struct Shared {
    lock: Lock,
    table: Table<'static>,
}

/// An entry that was found before, to be looked at first.
pub struct Hint(BackendCell<u32>);

impl Hint {
    pub const fn none() -> Self {
        Self(BackendCell::new(NONE))
    }
}

/// How many bytes so many entries take. The buckets come last, so that all is aligned.
pub fn size(capacity: usize) -> usize {
    size_of::<Header>() + capacity * (size_of::<Entry>() + size_of::<AtomicU32>())
}

impl Shared {
    /// An empty table in memory of the size for so many entries.
    pub fn at(memory: &Memory, capacity: usize) -> Option<Self> {
        let lock = memory.lock(0)?;
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
        Some(Self { lock, table })
    }

    /// The state, if there is one.
    pub fn read<S: State>(&self, key: &Key) -> Option<S> {
        let _held = self.lock.share();
        let entry = self.table.find(key)?;
        let _taken = entry.take();
        Some(entry.state())
    }

    /// Changes the state, which is all 0 where there is none. `change` must be short and can't fail; nobody else sees the
    /// state meanwhile.
    pub fn update<S: State, T>(&self, hint: &Hint, key: &Key, now: u64, change: impl FnOnce(&mut S) -> T) -> Option<T> {
        {
            let _held = self.lock.share();
            let hinted = self.table.entries.get(hint.0.get() as usize).filter(|entry| entry.key() == *key);
            if let Some(entry) = hinted.or_else(|| self.table.find(key)) {
                hint.0.set(self.table.number(entry));
                return Some(entry.change(now, change));
            }
        }
        let _held = self.lock.hold();
        let entry = self.table.find(key).or_else(|| self.table.insert::<S>(key, now))?;
        hint.0.set(self.table.number(entry));
        Some(entry.change(now, change))
    }

    /// Shows every state that is there. `visit` must be short and can't fail.
    pub fn for_each<S: State>(&self, mut visit: impl FnMut(Key, S)) {
        let _held = self.lock.share();
        for entry in self.table.in_use() {
            let state = {
                let _taken = entry.take();
                entry.state()
            };
            visit(entry.key(), state);
        }
    }

    /// Gives entries back.
    pub fn clear(&self, which: impl Fn(&Key) -> bool) {
        let _held = self.lock.hold();
        self.table.give_back(which);
    }

    /// How many entries there are.
    pub fn used(&self) -> usize {
        let _held = self.lock.share();
        self.table.header.used.load(Ordering::Relaxed) as usize
    }

    /// How the table is used.
    pub fn usage<S: State>(&self, now: u64) -> Usage {
        let _held = self.lock.share();
        let header = self.table.header;
        let matters = |entry: &&Entry| {
            let _taken = entry.take();
            entry.matters::<S>(now)
        };
        Usage {
            slots: self.table.entries.len() as u64,
            used: header.used.load(Ordering::Relaxed).into(),
            needed: self.table.in_use().filter(matters).count() as u64,
            evicted: header.evicted.load(Ordering::Relaxed),
            lost: header.lost.load(Ordering::Relaxed),
        }
    }
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
        eprintln!("pg_tenancy: an entry of a tenant is stuck");
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

    fn change<S: State, T>(&self, now: u64, change: impl FnOnce(&mut S) -> T) -> T {
        let _taken = self.take();
        self.used_at.fetch_max(now, Ordering::Relaxed);
        let mut state = self.state();
        let result = change(&mut state);
        self.put(&state.words());
        result
    }

    fn state<S: State>(&self) -> S {
        S::of(self.state.each_ref().map(|word| word.load(Ordering::Relaxed)))
    }

    fn put(&self, words: &Words) {
        for (place, word) in self.state.iter().zip(words) {
            place.store(*word, Ordering::Relaxed);
        }
    }

    fn key(&self) -> Key {
        self.key.each_ref().map(|word| word.load(Ordering::Relaxed))
    }

    fn matters<S: State>(&self, now: u64) -> bool {
        self.state::<S>().matters(now)
    }
}

impl<'a> Table<'a> {
    fn clear(&self) {
        let header = self.header;
        header.reached.store(0, Ordering::Relaxed);
        header.used.store(0, Ordering::Relaxed);
        header.free.store(NONE, Ordering::Relaxed);
        header.victims.store(0, Ordering::Relaxed);
        header.evicted.store(0, Ordering::Relaxed);
        header.lost.store(0, Ordering::Relaxed);
        self.buckets.iter().for_each(|bucket| bucket.store(NONE, Ordering::Relaxed));
        self.entries.iter().for_each(|entry| entry.busy.store(0, Ordering::Relaxed));
    }

    fn bucket(&self, key: &Key) -> Option<&'a AtomicU32> {
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

    fn find(&self, key: &Key) -> Option<&'a Entry> {
        self.chain(self.bucket(key)?).map(|(_, entry)| entry).find(|entry| entry.key() == *key)
    }

    fn number(&self, entry: &Entry) -> u32 {
        let place = (std::ptr::from_ref(entry) as usize).wrapping_sub(self.entries.as_ptr() as usize);
        (place / size_of::<Entry>()) as u32
    }

    fn in_use(&self) -> impl Iterator<Item = &'a Entry> {
        let given_out = self.entries.iter().take(self.header.reached.load(Ordering::Relaxed) as usize);
        given_out.filter(|entry| entry.key() != [0; KEY_WORDS])
    }

    /// Empties entries, and takes them for others before any makes room. Under the lock alone.
    fn give_back(&self, which: impl Fn(&Key) -> bool) {
        let header = self.header;
        for entry in self.in_use().filter(|entry| which(&entry.key())) {
            self.unlink(entry);
            let _taken = entry.take();
            entry.put(&[0; STATE_WORDS]);
            entry.key.iter().for_each(|word| word.store(0, Ordering::Relaxed));
            entry.next.store(header.free.swap(self.number(entry), Ordering::Relaxed), Ordering::Relaxed);
            header.used.fetch_sub(1, Ordering::Relaxed);
        }
        // Some of those that were found to make room may be among them.
        header.victims.store(0, Ordering::Relaxed);
    }

    /// Takes an entry out of its bucket. Under the lock alone.
    fn unlink(&self, entry: &Entry) -> Option<()> {
        let (link, _) = self.chain(self.bucket(&entry.key())?).find(|(_, found)| std::ptr::eq(*found, entry))?;
        link.store(entry.next.load(Ordering::Relaxed), Ordering::Relaxed);
        Some(())
    }

    /// An entry that nobody has, if there is one. Under the lock alone.
    fn vacant(&self) -> Option<u32> {
        let header = self.header;
        let given_back = header.free.load(Ordering::Relaxed);
        let number = if let Some(entry) = self.entries.get(given_back as usize) {
            header.free.store(entry.next.load(Ordering::Relaxed), Ordering::Relaxed);
            given_back
        } else {
            let reached = header.reached.load(Ordering::Relaxed);
            self.entries.get(reached as usize)?;
            header.reached.store(reached + 1, Ordering::Relaxed);
            reached
        };
        header.used.fetch_add(1, Ordering::Relaxed);
        Some(number)
    }

    /// Enters a key that isn't there. Under the lock alone.
    fn insert<S: State>(&self, key: &Key, now: u64) -> Option<&'a Entry> {
        let number = self.vacant().or_else(|| self.evict::<S>(now))?;
        let entry = self.entries.get(number as usize)?;
        for (place, word) in entry.key.iter().zip(key) {
            place.store(*word, Ordering::Relaxed);
        }
        entry.put(&[0; STATE_WORDS]);
        entry.used_at.store(now, Ordering::Relaxed);
        let bucket = self.bucket(key)?;
        entry.next.store(bucket.load(Ordering::Relaxed), Ordering::Relaxed);
        bucket.store(number, Ordering::Relaxed);
        Some(entry)
    }

    /// Takes an entry out, to make room. Under the lock alone.
    fn evict<S: State>(&self, now: u64) -> Option<u32> {
        let number = self.next_victim().or_else(|| {
            self.find_victims::<S>(now);
            self.next_victim()
        })?;
        let entry = self.entries.get(number as usize)?;
        self.unlink(entry)?;
        self.header.evicted.fetch_add(1, Ordering::Relaxed);
        if entry.matters::<S>(now) {
            self.header.lost.fetch_add(1, Ordering::Relaxed);
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
    fn find_victims<S: State>(&self, now: u64) {
        let wanted = VICTIMS.min(self.entries.len() / 4 + 1);
        let mut first = BinaryHeap::with_capacity(wanted + 1);
        for (number, entry) in (0u32..).zip(self.entries) {
            first.push((entry.matters::<S>(now), entry.used_at.load(Ordering::Relaxed), number));
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

    /// Something that says nothing any more after a while.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    struct Spent {
        amount: u64,
        until: u64,
    }

    impl State for Spent {
        fn words(&self) -> Words {
            [self.amount, self.until, 0, 0, 0, 0, 0, 0, 0, !self.amount]
        }
        fn of(words: Words) -> Self {
            Self { amount: words[0], until: words[1] }
        }
        fn matters(&self, now: u64) -> bool {
            self.until > now
        }
    }

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
                reached: AtomicU32::new(0),
                used: AtomicU32::new(0),
                free: AtomicU32::new(0),
                victims: AtomicU32::new(0),
                evicted: AtomicU64::new(0),
                lost: AtomicU64::new(0),
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

    fn key(number: u64) -> Key {
        [5, 0, 0, number]
    }

    fn use_one(table: Table<'_>, number: u64, now: u64, amount: u64, until: u64) {
        let entry = table.find(&key(number)).or_else(|| table.insert::<Spent>(&key(number), now)).unwrap();
        entry.change(now, |state| *state = Spent { amount, until });
    }

    proptest! {
        /// As a list that is sorted anew each time has it. One in ten gives some entries back.
        #[test]
        fn the_least_recently_used_makes_room(capacity in 1usize..12, uses in prop::collection::vec((0u64..20, 0u64..10), 1..200)) {
            let owned = Owned::new(capacity);
            let table = owned.table();
            let (mut model, mut evicted) = (BTreeMap::<u64, u64>::new(), 0);
            for (now, (number, lot)) in (1u64..).zip(uses) {
                if lot == 0 {
                    table.give_back(|key| key[3] % 3 == number % 3);
                    model.retain(|key, _| key % 3 != number % 3);
                }
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
                prop_assert_eq!(table.header.used.load(Ordering::Relaxed) as usize, model.len());
                prop_assert_eq!(table.in_use().count(), model.len());
            }
            prop_assert_eq!(table.header.evicted.load(Ordering::Relaxed), evicted);
            prop_assert_eq!(table.header.lost.load(Ordering::Relaxed), evicted);
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
        assert_eq!(table.header.lost.load(Ordering::Relaxed), 0);
        assert_eq!(table.find(&key(4)).unwrap().state::<Spent>().amount, 5);
    }

    #[test]
    fn an_entry_is_known_by_its_number() {
        let owned = Owned::new(3);
        let table = owned.table();
        for number in 0..3 {
            use_one(table, number, 1, 1, 1);
            assert_eq!(table.number(table.find(&key(number)).unwrap()), number as u32);
        }
        assert_eq!(table.in_use().count(), 3);
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
                        table.find(&key(1)).unwrap().change(2, |state: &mut Spent| state.amount += 1);
                    }
                });
            }
        });
        assert_eq!(owned.table().find(&key(1)).unwrap().state::<Spent>().amount, 40_000);
    }
}
