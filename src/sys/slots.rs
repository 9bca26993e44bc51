//! Rows of numbers that many sessions change at once: `tenancy.quota_slots`, read and written as PostgreSQL does its
//! catalogs, without plan, executor or row security.
//!
//! What is read is the latest committed state, or the transaction's own, whatever the isolation level: a count is
//! no matter of the snapshot that a transaction looks at its data with.

use crate::sys::scan::{self, Key as Column};
use crate::sys::slot::Meter;
pub use crate::sys::slot::Slot;
use crate::sys::weight::Moment;
use pgrx::{IntoDatum, pg_sys};
use std::cell::RefCell;
use std::collections::HashMap;
use std::ptr;
use uuid::Uuid;

// Attribute numbers of the table, fixed by its DDL.
const TENANT: i16 = 1;
const NUMBER: i16 = 2;
const USED: usize = 3;
const TAKEN: usize = 4;
const HOUR: usize = 5;
const USED_BEFORE: usize = 6;
const TAKEN_BEFORE: usize = 7;
const RESOURCE: i16 = 8;
const WARNED: usize = 9;
const SHARE: usize = 10;
const COLUMNS: usize = 10;

/// Where `used` and the meter, five numbers of 8 bytes, lie in a row's data: behind `tenant_id` and `slot`.
const USED_OFFSET: usize = 16 + 8;

const MICROSECONDS_PER_HOUR: i64 = 3_600_000_000;

/// The table and its primary key.
#[derive(Debug, Clone, Copy)]
pub struct Home {
    pub table: pg_sys::Oid,
    pub index: pg_sys::Oid,
}

/// How much of a page must be free, lest it is tidied up: every so many versions, and before there is no room for the next.
const ROOM: u16 = pg_sys::BLCKSZ as u16 / 5;

/// How much of a page is free at least where a slot moves to, as the table's fillfactor asks for.
const SPARSE: u16 = pg_sys::BLCKSZ as u16 / 5 * 4;

/// Room for a version of a slot.
const VERSION: u16 = 128;

/// In a table of so many pages a slot looks for another one that it may move to, so often.
const FEW_PAGES: u32 = 8;
const TRIES: usize = 4;

/// Tenants and resources of which a session remembers where the slot is that it last used.
const REMEMBERED: usize = 1024;

thread_local! {
    /// The slot that the session last changed, by its number, and where it has put it.
    static LAST: RefCell<HashMap<Key, (i64, pg_sys::ItemPointerData)>> = RefCell::default();
}

/// Whose slots, and of what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    pub tenant: Uuid,
    pub resource: i32,
}

/// How the slots are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// Each as it is when its turn comes. One that moves to another page meanwhile may be missed, or come twice.
    Passing,
    /// All as they are at one moment.
    AtOnce,
}

/// What became of an attempt to change or lock a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// Another transaction has it.
    Busy,
    /// It is no longer as it was read.
    Changed,
}

/// The open table.
pub struct Slots {
    relation: pg_sys::Relation,
    home: Home,
    /// When the hour began that it is.
    hour: i64,
}

/// Opens the table for `work`.
pub fn with<T>(home: Home, work: impl FnOnce(&Slots) -> T) -> T {
    // SAFETY: the table is an ordinary one. Should an error be raised meanwhile, the resource owner closes it. The lock
    // is kept until the transaction ends, as for any statement that writes.
    // `update` relies on there being an active snapshot.
    unsafe {
        let is_without_snapshot = !pg_sys::ActiveSnapshotSet();
        if is_without_snapshot {
            pg_sys::PushActiveSnapshot(pg_sys::GetLatestSnapshot());
        }
        let relation = pg_sys::table_open(home.table, pg_sys::RowExclusiveLock as pg_sys::LOCKMODE);
        let result = work(&Slots { relation, home, hour: this_hour() });
        pg_sys::table_close(relation, pg_sys::NoLock as pg_sys::LOCKMODE);
        if is_without_snapshot {
            pg_sys::PopActiveSnapshot();
        }
        result
    }
}

impl Slots {
    /// The slot under the key that the session last changed, if it is still there.
    pub fn last_used(&self, key: &Key) -> Option<Slot> {
        let (number, place) = LAST.with_borrow(|last| last.get(key).copied())?;
        self.at(key, number, place).or_else(|| self.find(key, Some(number), Seen::Passing).pop())
    }

    /// The slot of that number where the session has put it, unless it has been changed since.
    fn at(&self, key: &Key, number: i64, place: pg_sys::ItemPointerData) -> Option<Slot> {
        let mut tuple = pg_sys::HeapTupleData { t_self: place, ..Default::default() };
        let mut buffer = pg_sys::InvalidBuffer as pg_sys::Buffer;
        // SAFETY: the relation is open, and the block is looked for where it can be: the table may have become shorter.
        // What is there now may be anything of this table, so it is looked at. The buffer stays pinned while it is
        // read, and the page is not tidied up before.
        unsafe {
            let own = pg_sys::GetCurrentTransactionIdIfAny();
            let blocks = pg_sys::RelationGetNumberOfBlocksInFork(self.relation, pg_sys::ForkNumber::MAIN_FORKNUM);
            if block_of(&place) >= blocks {
                return None;
            }
            let snapshot = &raw mut pg_sys::SnapshotSelfData;
            if !pg_sys::heap_fetch(self.relation, snapshot, &mut tuple, &mut buffer, false) {
                return None;
            }
            let (owner, slot) = self.decode(&mut tuple, own);
            // Nobody else does that for who comes here without an index.
            if room_on(buffer) < ROOM {
                pg_sys::heap_page_prune_opt(self.relation, buffer);
            }
            pg_sys::ReleaseBuffer(buffer);
            (owner == *key && slot.number == number).then_some(slot)
        }
    }

    /// The slots under the key, in the order of their numbers.
    pub fn read(&self, key: &Key, seen: Seen) -> Vec<Slot> {
        self.find(key, None, seen)
    }

    fn find(&self, key: &Key, number: Option<i64>, seen: Seen) -> Vec<Slot> {
        let mut columns = vec![(TENANT, Column::Uuid(key.tenant)), (RESOURCE, Column::Int4(key.resource))];
        columns.extend(number.map(|number| (NUMBER, Column::Int8(number))));
        let mut keys: Vec<pg_sys::ScanKeyData> = columns.iter().map(scan::scan_key).collect();
        let mut slots = Vec::new();
        // SAFETY: the relation is open, and the index is its primary key. A registered snapshot is unregistered again;
        // should an error be raised, the resource owner does that.
        unsafe {
            let snapshot = match seen {
                Seen::Passing => &raw mut pg_sys::SnapshotSelfData,
                Seen::AtOnce => pg_sys::RegisterSnapshot(pg_sys::GetLatestSnapshot()),
            };
            let own = pg_sys::GetCurrentTransactionIdIfAny();
            let scan = pg_sys::systable_beginscan(
                self.relation,
                self.home.index,
                true,
                snapshot,
                keys.len() as i32,
                keys.as_mut_ptr(),
            );
            loop {
                let tuple = pg_sys::systable_getnext(scan);
                if tuple.is_null() {
                    break;
                }
                slots.push(self.decode(tuple, own).1);
            }
            pg_sys::systable_endscan(scan);
            if seen == Seen::AtOnce {
                pg_sys::UnregisterSnapshot(snapshot);
            }
        }
        slots
    }

    /// # Safety
    /// `tuple` is a valid row of the table.
    unsafe fn decode(&self, tuple: pg_sys::HeapTuple, own: pg_sys::TransactionId) -> (Key, Slot) {
        let mut values = [pg_sys::Datum::null(); COLUMNS];
        let mut nulls = [true; COLUMNS];
        // SAFETY: by the contract above; the table has that many columns, of fixed length.
        unsafe {
            pg_sys::heap_deform_tuple(tuple, (*self.relation).rd_att, values.as_mut_ptr(), nulls.as_mut_ptr());
            let header = (*tuple).t_data;
            let untouched = u32::from((*header).t_infomask) & pg_sys::HEAP_XMAX_INVALID != 0;
            let number = |column: usize| values[column - 1].value() as i64;
            let meter = Meter {
                taken: number(TAKEN),
                hour: number(HOUR),
                used_before: number(USED_BEFORE),
                taken_before: number(TAKEN_BEFORE),
            };
            let slot = Slot {
                number: number(NUMBER as usize),
                used: number(USED),
                meter,
                warned: values[WARNED - 1].value() as u8 != 0,
                share: (!nulls[SHARE - 1]).then(|| values[SHARE - 1].value() as i64),
                place: (*tuple).t_self,
                is_held: !untouched
                    && u32::from((*header).t_infomask) & pg_sys::HEAP_XMAX_IS_MULTI == 0
                    && pg_sys::TransactionIdIsCurrentTransactionId((*header).t_choice.t_heap.t_xmax),
                is_own: untouched && own != pg_sys::InvalidTransactionId && (*header).t_choice.t_heap.t_xmin == own,
            };
            let tenant = Uuid::from_bytes(*values[TENANT as usize - 1].cast_mut_ptr::<[u8; 16]>());
            let key = Key { tenant, resource: values[RESOURCE as usize - 1].value() as i32 };
            (key, slot.in_hour(self.hour))
        }
    }

    /// Changes a slot to what `to` says, without waiting for anybody.
    pub fn update(&self, key: &Key, slot: &Slot, to: &Slot) -> Outcome {
        self.replace(key, slot, to, slot.is_held)
    }

    /// The same for one that the transaction has locked since it was read.
    pub fn update_held(&self, key: &Key, slot: &Slot, to: &Slot) -> Outcome {
        self.replace(key, slot, to, true)
    }

    /// A lock of one's own is waited for as well, in form only.
    fn replace(&self, key: &Key, slot: &Slot, to: &Slot, wait: bool) -> Outcome {
        if slot.is_own && slot.share == to.share && slot.warned == to.warned {
            self.overwrite(slot, to);
            note(key, slot.number, slot.place);
            return Outcome::Done;
        }
        let mut place = slot.place;
        // SAFETY: the new version has the table's columns. The old one is still in its place: it was the latest when it
        // was read, so whoever has replaced it since is in progress for, or later than, the active snapshot, which
        // keeps it from being removed. The index gets an entry where the new version is on another page.
        unsafe {
            self.make_room(&place);
            let tuple = self.form(key, to);
            let mut failure = pg_sys::TM_FailureData::default();
            let mut lock_mode = pg_sys::LockTupleMode::LockTupleNoKeyExclusive;
            #[cfg(not(feature = "pg15"))]
            let mut update_indexes = pg_sys::TU_UpdateIndexes::TU_None;
            let result = pg_sys::heap_update(
                self.relation,
                &mut place,
                tuple,
                pg_sys::GetCurrentCommandId(true),
                ptr::null_mut(),
                wait,
                &mut failure,
                &mut lock_mode,
                #[cfg(not(feature = "pg15"))]
                &mut update_indexes,
            );
            let outcome = outcome_of(result);
            if outcome == Outcome::Done {
                if u32::from((*(*tuple).t_data).t_infomask2) & pg_sys::HEAP_ONLY_TUPLE == 0 {
                    self.enter(key, to, &mut (*tuple).t_self);
                }
                note(key, to.number, (*tuple).t_self);
                pg_sys::CommandCounterIncrement();
            }
            pg_sys::pfree(tuple.cast());
            outcome
        }
    }

    /// Where a page has no room for another version, has the next one go to a page that others have left and that holds
    /// nothing but versions that nobody sees any more, if one is found. Only VACUUM would tell of these otherwise, and
    /// versions come faster than it does.
    ///
    /// # Safety
    /// The place is that of a slot.
    unsafe fn make_room(&self, place: &pg_sys::ItemPointerData) {
        // SAFETY: by the contract above the place exists; the others are within the table. Each buffer is pinned while it
        // is looked at. The block that is noted is a hint for this relation, and checked by who follows it.
        unsafe {
            let buffer = pg_sys::ReadBuffer(self.relation, block_of(place));
            let room = room_on(buffer);
            pg_sys::ReleaseBuffer(buffer);
            if room >= VERSION {
                return;
            }
            let blocks = pg_sys::RelationGetNumberOfBlocksInFork(self.relation, pg_sys::ForkNumber::MAIN_FORKNUM);
            for _ in 0..if blocks > FEW_PAGES { TRIES } else { 0 } {
                let block = (draw_number() % i64::from(blocks)) as u32;
                let buffer = pg_sys::ReadBuffer(self.relation, block);
                if room_on(buffer) < SPARSE {
                    pg_sys::heap_page_prune_opt(self.relation, buffer);
                }
                let is_sparse = room_on(buffer) >= SPARSE;
                pg_sys::ReleaseBuffer(buffer);
                let storage = (*self.relation).rd_smgr;
                if is_sparse && !storage.is_null() {
                    (*storage).smgr_targblock = block;
                    return;
                }
            }
        }
    }

    /// Puts other numbers into a version that the running (sub)transaction made itself: nobody else sees that yet, and
    /// it goes with it when that is rolled back. A transaction of very many statements would leave as many versions
    /// behind otherwise, none of which could be removed before it ends.
    fn overwrite(&self, slot: &Slot, to: &Slot) {
        let place = slot.place;
        let Meter { taken, hour, used_before, taken_before } = to.meter;
        // SAFETY: the version is in its place (see `update`), on a page of the usual layout, and its columns before
        // `used` are of fixed length and not null. Readers that can't see the version don't look at what it holds. The
        // lock keeps the page, and the log gets what is changed.
        unsafe {
            let buffer = pg_sys::ReadBuffer(self.relation, block_of(&place));
            pg_sys::LockBuffer(buffer, pg_sys::BUFFER_LOCK_EXCLUSIVE as i32);
            let log = pg_sys::GenericXLogStart(self.relation);
            let page = pg_sys::GenericXLogRegisterBuffer(log, buffer, 0).cast::<u8>();
            let items = (&raw const (*page.cast::<pg_sys::PageHeaderData>()).pd_linp).cast::<pg_sys::ItemIdData>();
            let item = ptr::read_unaligned(items.add(usize::from(place.ip_posid) - 1));
            let header = page.add(item.lp_off() as usize);
            let start = usize::from((*header.cast::<pg_sys::HeapTupleHeaderData>()).t_hoff);
            ptr::write_unaligned(
                header.add(start + USED_OFFSET).cast::<[i64; 5]>(),
                [to.used, taken, hour, used_before, taken_before],
            );
            pg_sys::GenericXLogFinish(log);
            pg_sys::UnlockReleaseBuffer(buffer);
        }
    }

    /// Keeps a slot as it was read, for the transaction.
    pub fn lock(&self, slot: &Slot, wait: bool) -> Outcome {
        let mut tuple = pg_sys::HeapTupleData { t_self: slot.place, ..Default::default() };
        let mut failure = pg_sys::TM_FailureData::default();
        let mut buffer = pg_sys::InvalidBuffer as pg_sys::Buffer;
        let policy = if wait { pg_sys::LockWaitPolicy::LockWaitBlock } else { pg_sys::LockWaitPolicy::LockWaitSkip };
        // SAFETY: the version is in its place, see `update`; the buffer that comes back pinned is released.
        unsafe {
            let result = pg_sys::heap_lock_tuple(
                self.relation,
                &mut tuple,
                pg_sys::GetCurrentCommandId(true),
                pg_sys::LockTupleMode::LockTupleNoKeyExclusive,
                policy,
                false,
                &mut buffer,
                &mut failure,
            );
            if buffer != pg_sys::InvalidBuffer as pg_sys::Buffer {
                pg_sys::ReleaseBuffer(buffer);
            }
            outcome_of(result)
        }
    }

    /// Makes a slot. Its number must be nobody else's.
    pub fn insert(&self, key: &Key, slot: &Slot) {
        let slot = &Slot { meter: Meter { hour: self.hour, ..slot.meter }, ..*slot };
        // SAFETY: the row has the table's columns.
        unsafe {
            let tuple = self.form(key, slot);
            pg_sys::CatalogTupleInsert(self.relation, tuple);
            note(key, slot.number, (*tuple).t_self);
            pg_sys::CommandCounterIncrement();
            pg_sys::pfree(tuple.cast());
        }
    }

    /// Removes a slot that the transaction has locked.
    pub fn delete(&self, slot: &Slot) {
        let mut place = slot.place;
        // SAFETY: the version is in its place, see `update`.
        unsafe {
            pg_sys::CatalogTupleDelete(self.relation, &mut place);
            pg_sys::CommandCounterIncrement();
        }
    }

    /// # Safety
    /// The caller frees the tuple.
    unsafe fn form(&self, key: &Key, slot: &Slot) -> pg_sys::HeapTuple {
        let (mut values, mut nulls) = columns_of(key, slot);
        // SAFETY: values and nulls have one entry per column, of its type.
        unsafe { pg_sys::heap_form_tuple((*self.relation).rd_att, values.as_mut_ptr(), nulls.as_mut_ptr()) }
    }

    /// Enters a version into the table's index, or indexes, while one is being rebuilt.
    ///
    /// # Safety
    /// `place` is that of a version of the slot that was just made.
    unsafe fn enter(&self, key: &Key, slot: &Slot, place: pg_sys::ItemPointer) {
        let (columns, empty) = columns_of(key, slot);
        // SAFETY: the indexes are the table's own, on some of its columns, and are closed again, by the resource owner
        // if an error is raised. The former version counts as deleted, so that the key is not taken.
        unsafe {
            let lock = pg_sys::RowExclusiveLock as pg_sys::LOCKMODE;
            let indexes = pg_sys::RelationGetIndexList(self.relation);
            let count = if indexes.is_null() { 0 } else { (*indexes).length as usize };
            for place_in_list in 0..count {
                let index = pg_sys::index_open((*(*indexes).elements.add(place_in_list)).oid_value, lock);
                let info = pg_sys::BuildIndexInfo(index);
                if (*info).ii_ReadyForInserts {
                    let mut values = [pg_sys::Datum::null(); COLUMNS];
                    let mut nulls = [true; COLUMNS];
                    for (entry, attribute) in (*info).ii_IndexAttrNumbers.iter().take(COLUMNS).enumerate() {
                        if let Some(column) = usize::try_from(*attribute).ok().and_then(|number| number.checked_sub(1))
                        {
                            (values[entry], nulls[entry]) = (columns[column], empty[column]);
                        }
                    }
                    let unique = match (*(*index).rd_index).indisunique {
                        true => pg_sys::IndexUniqueCheck::UNIQUE_CHECK_YES,
                        false => pg_sys::IndexUniqueCheck::UNIQUE_CHECK_NO,
                    };
                    pg_sys::index_insert(
                        index,
                        values.as_mut_ptr(),
                        nulls.as_mut_ptr(),
                        place,
                        self.relation,
                        unique,
                        true,
                        info,
                    );
                }
                pg_sys::pfree(info.cast());
                pg_sys::index_close(index, lock);
            }
            pg_sys::list_free(indexes);
        }
    }
}

/// Notes where the session has put a slot.
fn note(key: &Key, number: i64, place: pg_sys::ItemPointerData) {
    LAST.with_borrow_mut(|last| {
        if last.len() >= REMEMBERED && !last.contains_key(key) {
            last.clear();
        }
        last.insert(*key, (number, place));
    });
}

/// How many bytes of a page are free.
///
/// # Safety
/// The buffer is pinned, and holds a page of the usual layout.
unsafe fn room_on(buffer: pg_sys::Buffer) -> u16 {
    // SAFETY: by the contract above. Without a lock the numbers may be old, and no more than that.
    unsafe {
        let header = pg_sys::BufferGetPage(buffer).cast::<pg_sys::PageHeaderData>();
        (*header).pd_upper.saturating_sub((*header).pd_lower)
    }
}

fn block_of(place: &pg_sys::ItemPointerData) -> u32 {
    u32::from(place.ip_blkid.bi_hi) << 16 | u32::from(place.ip_blkid.bi_lo)
}

/// A slot's columns, and which of them are null.
fn columns_of(key: &Key, slot: &Slot) -> ([pg_sys::Datum; COLUMNS], [bool; COLUMNS]) {
    let tenant = pgrx::Uuid::from_bytes(*key.tenant.as_bytes());
    let values = [
        tenant.into_datum().unwrap_or(pg_sys::Datum::null()),
        pg_sys::Datum::from(slot.number),
        pg_sys::Datum::from(slot.used),
        pg_sys::Datum::from(slot.meter.taken),
        pg_sys::Datum::from(slot.meter.hour),
        pg_sys::Datum::from(slot.meter.used_before),
        pg_sys::Datum::from(slot.meter.taken_before),
        pg_sys::Datum::from(key.resource),
        pg_sys::Datum::from(slot.warned),
        pg_sys::Datum::from(slot.share.unwrap_or(0)),
    ];
    let mut nulls = [false; COLUMNS];
    nulls[SHARE - 1] = slot.share.is_none();
    (values, nulls)
}

/// How much each tenant uses of a resource, in one state of the database.
pub fn totals(home: Home, resource: i32, moment: Moment) -> HashMap<Uuid, i64> {
    let mut totals = HashMap::new();
    with(home, |slots| {
        let mut keys = [scan::scan_key(&(RESOURCE, Column::Int4(resource)))];
        // SAFETY: the relation is open, and the moment is a registered snapshot. The tenant's bytes lie in the tuple,
        // which is pinned.
        unsafe {
            let scan =
                pg_sys::systable_beginscan(slots.relation, pg_sys::InvalidOid, false, moment.0, 1, keys.as_mut_ptr());
            loop {
                let tuple = pg_sys::systable_getnext(scan);
                if tuple.is_null() {
                    break;
                }
                let (key, slot) = slots.decode(tuple, pg_sys::InvalidTransactionId);
                *totals.entry(key.tenant).or_insert(0) += slot.used;
            }
            pg_sys::systable_endscan(scan);
        }
    });
    totals
}

/// When the hour began that it is.
fn this_hour() -> i64 {
    // SAFETY: reads the clock.
    let now = unsafe { pg_sys::GetCurrentTimestamp() };
    now - now.rem_euclid(MICROSECONDS_PER_HOUR)
}

fn outcome_of(result: pg_sys::TM_Result::Type) -> Outcome {
    match result {
        pg_sys::TM_Result::TM_Ok => Outcome::Done,
        pg_sys::TM_Result::TM_BeingModified | pg_sys::TM_Result::TM_WouldBlock => Outcome::Busy,
        _ => Outcome::Changed,
    }
}

/// A number for another slot, which nobody else draws.
pub fn draw_number() -> i64 {
    // SAFETY: the generator is this backend's own.
    let drawn = unsafe { pg_sys::pg_prng_uint64(&raw mut pg_sys::pg_global_prng_state) };
    ((drawn >> 1) as i64).max(1)
}

/// Which of so many slots to look at first: one session's first is seldom another's.
pub fn first_choice(count: usize) -> usize {
    // SAFETY: reads a variable of this process.
    unsafe { pg_sys::MyProcPid as usize % count.max(1) }
}
