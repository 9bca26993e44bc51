//! Active tenants in memory that all sessions share: what one session has read of the registry, the next
//! one need not. Only a preloaded library has such memory.
//!
//! An entry counts only while the registry is as it was when the entry was made. Whoever is about to change
//! the registry says so before the change can be seen (`change_begins`) and after it can (at the end of the
//! transaction); in between nobody uses the directory, and what was in it is void afterwards. It is a
//! set of fixed size in which new entries take the place of old ones. Readers never wait: each slot is a sequence lock
//! (H.-J. Boehm, "Can seqlocks get along with programming language memory models?", MSPC 2012).

use crate::sys::backend::BackendCell;
use crate::sys::scan::Place;
use crate::sys::shared::{self, Memory, Region};
use crate::sys::{session, xact};
use pgrx::pg_sys;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering, fence};

/// The longest key that has room in a slot, in bytes.
const MAX_KEY: usize = 40;

/// Words of a slot: generation, registry, id (two), where the row lies and the key's length, the key.
const WORDS: usize = 5 + MAX_KEY / 8;

/// Slots in which a name may lie.
const WINDOW: usize = 8;

#[repr(C, align(64))]
struct Header {
    /// What entries must bear to count.
    generation: AtomicU64,
    /// Transactions that are changing the registry.
    changing: AtomicU64,
}

#[repr(C)]
struct Slot {
    /// Odd while it is being written.
    sequence: AtomicU64,
    words: [AtomicU64; WORDS],
}

type Words = [u64; WORDS];

#[derive(Clone, Copy)]
struct Directory {
    header: &'static Header,
    slots: &'static [Slot],
}

/// Which registry a tenant belongs to: its database and its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Home {
    pub database: pg_sys::Oid,
    pub table: pg_sys::Oid,
}

/// A tenant as it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Name<'a> {
    Id(&'a [u8; 16]),
    Key(&'a str),
}

/// An active tenant that may be acted for in any region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub id: [u8; 16],
    pub key: String,
    pub place: Place,
}

/// Leave to enter what is read of the registry from here on.
#[derive(Debug, Clone, Copy)]
pub struct Ticket(u64);

static DIRECTORY: BackendCell<Option<Directory>> = BackendCell::new(None);
static SLOTS: BackendCell<usize> = BackendCell::new(0);
/// Whether this transaction has said that it changes the registry.
static CHANGING: BackendCell<bool> = BackendCell::new(false);

/// Whether this process is about to end.
static EXITING: BackendCell<bool> = BackendCell::new(false);

/// Asks for room for so many tenants. To be called once, while the library loads; without effect later.
pub fn init(tenants: usize) {
    if tenants == 0 {
        return;
    }
    SLOTS.set(tenants.next_power_of_two().max(WINDOW));
    if shared::reserve(Region { name: c"pg_tenancy directory", size, locks: 0, attach }) {
        xact::on_every_end(change_ends);
    }
}

fn size() -> usize {
    size_of::<Header>() + SLOTS.get() * size_of::<Slot>()
}

fn attach(memory: &Memory) {
    // SAFETY: the memory has the size that was asked for, is aligned to a cache line, and is as good as zero, see
    // `shared`: atomics of any value are valid. Should it not be zero, the generation, which is drawn anew each time,
    // voids what is in it.
    unsafe {
        let header = &*memory.start.cast::<Header>();
        if memory.is_new {
            let mut generation = 0u64;
            pg_sys::pg_strong_random((&raw mut generation).cast(), size_of::<u64>());
            header.generation.store(generation, Ordering::SeqCst);
            header.changing.store(0, Ordering::SeqCst);
        }
        let slots = std::slice::from_raw_parts(memory.start.cast::<Header>().add(1).cast::<Slot>(), SLOTS.get());
        DIRECTORY.set(Some(Directory { header, slots }));
    }
}

/// This transaction is about to change the registry, or to make a change visible.
pub fn change_begins() {
    if let Some(directory) = DIRECTORY.get()
        && !CHANGING.replace(true)
    {
        directory.header.changing.fetch_add(1, Ordering::SeqCst);
    }
}

/// The transaction has ended, and what it changed can be seen, or will never be. A prepared one changes
/// nothing yet: who commits it calls `change_begins`. The worker of a subscription commits prepared
/// transactions and tells nobody, so nobody uses the directory while there is one.
#[cfg_attr(target_os = "linux", unsafe(link_section = ".text.hot"))]
fn change_ends() {
    if !EXITING.get() && session::applies_subscription() {
        change_until_exit();
        return;
    }
    end_change();
}

fn end_change() {
    if let Some(directory) = DIRECTORY.get()
        && CHANGING.replace(false)
    {
        directory.header.generation.fetch_add(1, Ordering::SeqCst);
        directory.header.changing.fetch_sub(1, Ordering::SeqCst);
    }
}

/// From here on until this process ends the registry counts as being changed.
fn change_until_exit() {
    static REGISTERED: BackendCell<bool> = BackendCell::new(false);
    unsafe extern "C-unwind" fn at_exit(_code: i32, _arg: pg_sys::Datum) {
        // The open transaction is aborted after this.
        EXITING.set(true);
        end_change();
    }
    change_begins();
    if !REGISTERED.replace(true) {
        // SAFETY: the callback has the signature that PostgreSQL asks for, and the library stays loaded.
        unsafe { pg_sys::before_shmem_exit(Some(at_exit), pg_sys::Datum::from(0usize)) }
    }
}

/// What is known of a tenant, as last committed.
pub fn find(home: Home, name: Name<'_>) -> Option<Entry> {
    let directory = DIRECTORY.get()?;
    let (entry, generation) = directory.around(home, name).find_map(|slot| decode(&read(slot)?, home, name))?;
    // Asked after reading: had the registry changed before, it would show here.
    (ticket()?.0 == generation).then_some(entry)
}

/// To be asked for before the registry is read. `None` where nothing may be entered: without shared
/// memory, on a standby (which hears of no change), while the registry is being changed, and in a
/// transaction that has written, since it may have read what it has not committed. What is read of catalogs
/// and the like from here on is no older than the ticket.
pub fn ticket_to_enter() -> Option<Ticket> {
    // SAFETY: reads the transaction's state, and a flag of shared memory.
    let may = unsafe {
        DIRECTORY.get().is_some()
            && pg_sys::GetTopTransactionIdIfAny() == pg_sys::InvalidTransactionId
            && !pg_sys::RecoveryInProgress()
    };
    let ticket = if may { ticket() } else { None };
    if ticket.is_some() {
        // SAFETY: the next catalog scan takes a new snapshot; what it has now may be older than the last
        // change, whose announcement may still be on its way.
        unsafe { pg_sys::InvalidateCatalogSnapshot() }
    }
    ticket
}

fn ticket() -> Option<Ticket> {
    let header = DIRECTORY.get()?.header;
    let generation = header.generation.load(Ordering::SeqCst);
    (header.changing.load(Ordering::SeqCst) == 0).then_some(Ticket(generation))
}

/// Enters an active tenant of no region that was read after the ticket was given. Does nothing when the
/// ticket has expired, or the key is long.
pub fn enter(ticket_given: Ticket, home: Home, name: Name<'_>, tenant: &Entry) {
    let Some(directory) = DIRECTORY.get() else { return };
    let Some(words) = encode(ticket_given.0, home, tenant) else { return };
    if ticket().is_none_or(|now| now.0 != ticket_given.0) {
        return;
    }
    let mut around = directory.around(home, name);
    let is_void = |slot: &&Slot| slot.words[0].load(Ordering::Relaxed) != ticket_given.0;
    let slot = around.clone().find(is_void).or_else(|| around.nth(tenant.id[0] as usize % WINDOW));
    if let Some(slot) = slot {
        write(slot, &words);
    }
}

impl Directory {
    /// The slots in which the name may lie.
    fn around(self, home: Home, name: Name<'_>) -> impl Iterator<Item = &'static Slot> + Clone {
        let mut hasher = DefaultHasher::new();
        (home, name).hash(&mut hasher);
        let first = hasher.finish() as usize;
        (0..WINDOW).map(move |step| &self.slots[(first.wrapping_add(step)) & (self.slots.len() - 1)])
    }
}

fn read(slot: &Slot) -> Option<Words> {
    let before = slot.sequence.load(Ordering::Acquire);
    if !before.is_multiple_of(2) {
        return None;
    }
    let words = std::array::from_fn(|index| slot.words[index].load(Ordering::Relaxed));
    fence(Ordering::Acquire);
    (slot.sequence.load(Ordering::Relaxed) == before).then_some(words)
}

/// Another session that is writing to the slot has the right of way.
fn write(slot: &Slot, words: &Words) {
    let before = slot.sequence.load(Ordering::Relaxed);
    let taken = before.is_multiple_of(2)
        && slot.sequence.compare_exchange(before, before + 1, Ordering::AcqRel, Ordering::Relaxed).is_ok();
    if taken {
        fence(Ordering::Release);
        for (word, value) in slot.words.iter().zip(words) {
            word.store(*value, Ordering::Relaxed);
        }
        slot.sequence.store(before.wrapping_add(2), Ordering::Release);
    }
}

fn home_word(home: Home) -> u64 {
    u64::from(home.database.to_u32()) << 32 | u64::from(home.table.to_u32())
}

fn encode(generation: u64, home: Home, Entry { id, key, place }: &Entry) -> Option<Words> {
    if key.len() > MAX_KEY {
        return None;
    }
    let mut words = [0; WORDS];
    words[0] = generation;
    words[1] = home_word(home);
    let mut padded = [0; MAX_KEY];
    padded[..key.len()].copy_from_slice(key.as_bytes());
    for (word, bytes) in words[2..4].iter_mut().zip(id.chunks_exact(8)) {
        *word = word_of(bytes);
    }
    words[4] = u64::from(place.block) << 32 | u64::from(place.offset) << 16 | key.len() as u64;
    for (word, bytes) in words[5..].iter_mut().zip(padded.chunks_exact(8)) {
        *word = word_of(bytes);
    }
    Some(words)
}

/// Of at most eight bytes.
fn word_of(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

/// The entry and its generation, if it is the one that is asked for.
fn decode(words: &Words, home: Home, name: Name<'_>) -> Option<(Entry, u64)> {
    if words[1] != home_word(home) {
        return None;
    }
    let mut id = [0; 16];
    for (bytes, word) in id.chunks_exact_mut(8).zip(&words[2..4]) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    let mut padded = [0; MAX_KEY];
    for (bytes, word) in padded.chunks_exact_mut(8).zip(&words[5..]) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    let key = std::str::from_utf8(padded.get(..words[4] as usize & 0xFFFF)?).ok()?;
    let place = Place { block: (words[4] >> 32) as u32, offset: (words[4] >> 16) as u16 };
    let is_asked_for = match name {
        Name::Id(asked) => *asked == id,
        Name::Key(asked) => asked == key,
    };
    is_asked_for.then(|| (Entry { id, key: key.to_owned(), place }, words[0]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOME: Home = Home { database: pg_sys::Oid::from_u32(5), table: pg_sys::Oid::from_u32(16400) };

    fn slot() -> Slot {
        Slot { sequence: AtomicU64::new(0), words: std::array::from_fn(|_| AtomicU64::new(0)) }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_by_id_and_by_key(
            id: [u8; 16], key in "\\PC{1,12}", generation: u64, block: u32, offset: u16,
        ) {
            let slot = slot();
            let entry = Entry { id, key: key.clone(), place: Place { block, offset } };
            if let Some(words) = encode(generation, HOME, &entry) {
                write(&slot, &words);
                let expected = Some((entry, generation));
                let words = read(&slot).unwrap();
                prop_assert_eq!(decode(&words, HOME, Name::Key(&key)), expected.clone());
                prop_assert_eq!(decode(&words, HOME, Name::Id(&id)), expected);
                prop_assert_eq!(decode(&words, HOME, Name::Key(&format!("{key}x"))), None);
                prop_assert_eq!(decode(&words, Home { database: 6.into(), ..HOME }, Name::Id(&id)), None);
            }
        }
    }

    #[test]
    fn an_empty_slot_is_nobody() {
        let words = read(&slot()).unwrap();
        assert_eq!(decode(&words, HOME, Name::Id(&[0; 16])), None);
        assert_eq!(decode(&words, HOME, Name::Key("")), None);
    }

    #[test]
    fn a_long_key_is_left_out() {
        let entry = |length| Entry { id: [0; 16], key: "k".repeat(length), place: Place { block: 0, offset: 1 } };
        assert!(encode(1, HOME, &entry(MAX_KEY)).is_some());
        assert!(encode(1, HOME, &entry(MAX_KEY + 1)).is_none());
    }

    #[test]
    fn a_slot_that_is_being_written_is_neither_read_nor_written() {
        let slot = slot();
        slot.sequence.store(1, Ordering::SeqCst);
        assert_eq!(read(&slot), None);
        write(&slot, &[7; WORDS]);
        assert_eq!(slot.words[0].load(Ordering::SeqCst), 0);
    }

    /// Readers and writers at once: no reader sees half of one entry and half of another.
    #[test]
    fn entries_are_whole() {
        let slot = slot();
        std::thread::scope(|scope| {
            for value in 1..=2u64 {
                let slot = &slot;
                scope.spawn(move || (0..20_000).for_each(|_| write(slot, &[value; WORDS])));
            }
            for _ in 0..20_000 {
                if let Some(words) = read(&slot) {
                    assert!(words.iter().all(|word| *word == words[0]), "{words:?}");
                }
            }
        });
    }
}
