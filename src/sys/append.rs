//! Appending many rows at once to a table that is partitioned by time: no plan, no privileges asked, the rows of one
//! moment and transaction straight into the partition of that moment.

use crate::error::{Error, Result};
use crate::sys::memory::Memory;
use pgrx::{IntoDatum, pg_sys};
use std::ffi::c_int;

/// So many rows are written together.
const BATCH: usize = 500;
/// Or fewer, when they are this large, in bytes.
const BATCH_BYTES: usize = 256 * 1024;
/// From so many rows on, pages are filled one after the other without asking others for room.
const BULK: usize = 1000;
/// Values of a batch are allocated together, in pieces of so many bytes.
const PIECE: usize = 32 * 1024;

unsafe extern "C-unwind" {
    // Declared here, past pgrx's guard, because they are called for each row. This one can't raise an error.
    #[link_name = "ExecStoreVirtualTuple"]
    fn store_virtual_tuple(slot: *mut pg_sys::TupleTableSlot) -> *mut pg_sys::TupleTableSlot;
    // These can, and are called within a guard that stands for all rows of a batch.
    #[link_name = "FormIndexDatum"]
    fn form_index_datum(
        info: *mut pg_sys::IndexInfo,
        slot: *mut pg_sys::TupleTableSlot,
        executor: *mut pg_sys::EState,
        values: *mut pg_sys::Datum,
        nulls: *mut bool,
    );
    #[link_name = "index_insert"]
    fn index_insert(
        index: pg_sys::Relation,
        values: *mut pg_sys::Datum,
        nulls: *mut bool,
        tid: pg_sys::ItemPointer,
        table: pg_sys::Relation,
        unique: pg_sys::IndexUniqueCheck::Type,
        unchanged: bool,
        info: *mut pg_sys::IndexInfo,
    ) -> bool;
}

/// A value to be written, in the form of its column's type. Valid as long as the writer that made it.
#[derive(Debug, Clone, Copy)]
pub struct Value(Option<pg_sys::Datum>);

impl Value {
    pub const NULL: Self = Self(None);
}

/// Writes rows of one moment and transaction.
pub struct Writer {
    parent: pg_sys::Relation,
    relation: pg_sys::Relation,
    result: *mut pg_sys::ResultRelInfo,
    executor: *mut pg_sys::EState,
    bulk: pg_sys::BulkInsertState,
    slots: Vec<*mut pg_sys::TupleTableSlot>,
    filled: usize,
    bytes: usize,
    /// Where the next value of the batch goes, and how much room there is.
    free: *mut u8,
    room: usize,
    /// What lasts as long as the writer, and as long as a batch.
    lasting: Memory,
    batch: Memory,
}

impl Writer {
    /// Opens the partition for that time. `expected` is how many rows will come.
    ///
    /// # Errors
    /// When there is no partition for it.
    pub fn open(table: pg_sys::Oid, time: i64, expected: usize) -> Result<Self> {
        let lock = pg_sys::RowExclusiveLock as pg_sys::LOCKMODE;
        let lasting = Memory::for_session(c"pg_tenancy append");
        // SAFETY: both relations are locked until the transaction ends, and open until `finish`, or until an error
        // has the resource owner close them. The executor's state has a context of its own.
        unsafe {
            let parent = pg_sys::table_open(table, lock);
            let partition = partition_for(parent, time).ok_or(Error::NotInstalled)?;
            let relation = pg_sys::table_open(partition, lock);
            let executor = pg_sys::CreateExecutorState();
            let result = lasting.within(|| pg_sys::palloc0(size_of::<pg_sys::ResultRelInfo>())).cast();
            let previous = pg_sys::MemoryContextSwitchTo((*executor).es_query_cxt);
            pg_sys::InitResultRelInfo(result, relation, 0, std::ptr::null_mut(), 0);
            pg_sys::ExecOpenIndices(result, false);
            pg_sys::MemoryContextSwitchTo(previous);
            let bulk = if expected < BULK { std::ptr::null_mut() } else { bulk_insert_state() };
            Ok(Self {
                parent,
                relation,
                result,
                executor,
                bulk,
                slots: Vec::with_capacity(expected.min(BATCH)),
                filled: 0,
                bytes: 0,
                free: std::ptr::null_mut(),
                room: 0,
                lasting,
                batch: Memory::for_session(c"pg_tenancy batch"),
            })
        }
    }

    /// A value that many rows share.
    pub fn lasting(&self, value: impl IntoDatum) -> Value {
        Value(self.lasting.within(|| value.into_datum()))
    }

    /// As `lasting`, of what is made in the current memory context.
    pub fn lasting_made(&self, make: impl FnOnce() -> Option<pg_sys::Datum>) -> Value {
        Value(self.lasting.within(make))
    }

    /// An array of names that many rows share.
    pub fn names(&self, names: &[&str]) -> Value {
        const SIZE: usize = pg_sys::NAMEDATALEN as usize;
        let images: Vec<[u8; SIZE]> = names
            .iter()
            .map(|name| {
                let mut image = [0; SIZE];
                let length = name.len().min(SIZE - 1);
                image[..length].copy_from_slice(&name.as_bytes()[..length]);
                image
            })
            .collect();
        let mut datums: Vec<pg_sys::Datum> = images.iter().map(|image| pg_sys::Datum::from(image.as_ptr())).collect();
        // SAFETY: names are images of that size without alignment; the call copies them.
        let array = self.lasting.within(|| unsafe {
            pg_sys::construct_array(
                datums.as_mut_ptr(),
                datums.len() as c_int,
                pg_sys::NAMEOID,
                SIZE as c_int,
                false,
                b'c' as _,
            )
        });
        Value(Some(pg_sys::Datum::from(array)))
    }

    /// A value of a row: a number.
    pub fn number(number: i64) -> Value {
        Value(number.into_datum())
    }

    /// A value of the next row: a `uuid`.
    pub fn uuid(&mut self, id: Option<uuid::Uuid>) -> Value {
        Value(id.map(|id| {
            let bytes = id.as_bytes();
            let target = self.allocate(bytes.len());
            // SAFETY: there is that much room.
            unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), target, bytes.len()) };
            pg_sys::Datum::from(target)
        }))
    }

    /// A value of the next row: a `jsonb`, given by what is in its root container.
    pub fn jsonb(&mut self, root: &[u8]) -> Value {
        let size = pg_sys::VARHDRSZ + root.len();
        let target = self.allocate(size);
        // SAFETY: there is that much room.
        unsafe {
            pgrx::set_varsize_4b(target.cast(), size as i32);
            std::ptr::copy_nonoverlapping(root.as_ptr(), target.add(pg_sys::VARHDRSZ), root.len());
        }
        Value(Some(pg_sys::Datum::from(target)))
    }

    /// Room for a value of the batch.
    fn allocate(&mut self, size: usize) -> *mut u8 {
        self.bytes += size;
        let size = size.next_multiple_of(align_of::<u64>());
        // SAFETY: palloc gives that many bytes, or raises an error.
        let palloc = |size| unsafe { self.batch.within(|| pg_sys::palloc(size)).cast::<u8>() };
        if size > PIECE / 4 {
            return palloc(size);
        }
        if self.room < size {
            (self.free, self.room) = (palloc(PIECE), PIECE);
        }
        let target = self.free;
        // SAFETY: there is that much room.
        self.free = unsafe { target.add(size) };
        self.room -= size;
        target
    }

    /// Adds a row. It has a value for each of the table's columns.
    pub fn add<const COLUMNS: usize>(&mut self, row: [Value; COLUMNS]) {
        // SAFETY: slots have as many values as the table has columns; a table of another shape is none of ours.
        unsafe {
            if self.filled == self.slots.len() {
                let descriptor = (*self.relation).rd_att;
                let slot = self
                    .lasting
                    .within(|| pg_sys::MakeSingleTupleTableSlot(descriptor, &raw const pg_sys::TTSOpsHeapTuple));
                self.slots.push(slot);
            }
            let slot = self.slots[self.filled];
            let columns = (*(*slot).tts_tupleDescriptor).natts as usize;
            pg_sys::ExecClearTuple(slot);
            for place in 0..columns {
                let value = row.get(place).and_then(|value| value.0);
                *(*slot).tts_isnull.add(place) = value.is_none();
                *(*slot).tts_values.add(place) = value.unwrap_or(pg_sys::Datum::null());
            }
            store_virtual_tuple(slot);
        }
        self.filled += 1;
        if self.filled == BATCH || self.bytes >= BATCH_BYTES {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if self.filled == 0 {
            return;
        }
        let slots = self.slots.as_mut_ptr();
        // SAFETY: the slots are filled with rows of the relation, whose values are still there. Writing them may leave
        // something in the current context, which goes with the batch. Index entries need the rows' places, which
        // writing sets.
        self.batch.within(|| unsafe {
            let command = pg_sys::GetCurrentCommandId(true);
            let count = self.filled as c_int;
            pg_sys::heap_multi_insert(self.relation, slots, count, command, 0, self.bulk);
            let indexes = 0..(*self.result).ri_NumIndices as usize;
            if indexes.clone().all(|place| is_plain(*(*self.result).ri_IndexRelationInfo.add(place))) {
                indexes.for_each(|place| self.insert_index_entries(place));
            } else {
                self.insert_odd_index_entries();
            }
            for slot in &self.slots[..self.filled] {
                pg_sys::ExecClearTuple(*slot);
            }
        });
        self.batch.reset();
        (self.filled, self.bytes, self.room) = (0, 0, 0);
    }

    /// Makes the batch's entries in one of the indexes.
    ///
    /// # Safety
    /// The batch has been written, so that its rows have places, and the index is one of those that are open.
    unsafe fn insert_index_entries(&self, place: usize) {
        // SAFETY: by the contract above; the arrays are as long as an index can have columns, and what is made on the
        // way goes with the batch.
        unsafe {
            let index = *(*self.result).ri_IndexRelationDescs.add(place);
            let info = *(*self.result).ri_IndexRelationInfo.add(place);
            let ranged = (*(*index).rd_rel).relam == pg_sys::BRIN_AM_OID;
            let mut values = [pg_sys::Datum::null(); pg_sys::INDEX_MAX_KEYS as usize];
            let mut nulls = [false; pg_sys::INDEX_MAX_KEYS as usize];
            let (values, nulls) = (values.as_mut_ptr(), nulls.as_mut_ptr());
            let unique = pg_sys::IndexUniqueCheck::UNIQUE_CHECK_NO;
            let (slots, relation, executor) = (&self.slots[..self.filled], self.relation, self.executor);
            // An error leaves the closure by a jump: nothing in it needs dropping.
            pg_sys::ffi::pg_guard_ffi_boundary(|| {
                let mut block = None;
                for slot in slots {
                    let tid = &raw mut (**slot).tts_tid;
                    // Rows of one moment and transaction are the same to an index of ranges of blocks.
                    let here = ((*tid).ip_blkid.bi_hi, (*tid).ip_blkid.bi_lo);
                    if ranged && block.replace(here) == Some(here) {
                        continue;
                    }
                    form_index_datum(info, *slot, executor, values, nulls);
                    index_insert(index, values, nulls, tid, relation, unique, false, info);
                }
            });
        }
    }

    /// Makes the batch's entries in all indexes as the executor does, whatever these are.
    ///
    /// # Safety
    /// The batch has been written, so that its rows have places.
    unsafe fn insert_odd_index_entries(&self) {
        let nothing = std::ptr::null_mut();
        // SAFETY: by the contract above; the context for expressions is the executor's own.
        unsafe {
            for slot in &self.slots[..self.filled] {
                #[cfg(feature = "pg15")]
                pg_sys::ExecInsertIndexTuples(
                    self.result,
                    *slot,
                    self.executor,
                    false,
                    false,
                    nothing,
                    std::ptr::null_mut(),
                );
                #[cfg(not(feature = "pg15"))]
                pg_sys::ExecInsertIndexTuples(
                    self.result,
                    *slot,
                    self.executor,
                    false,
                    false,
                    nothing,
                    std::ptr::null_mut(),
                    false,
                );
                let expressions = (*self.executor).es_per_tuple_exprcontext;
                if !expressions.is_null() {
                    pg_sys::MemoryContextReset((*expressions).ecxt_per_tuple_memory);
                }
            }
        }
    }

    /// Writes what is left.
    pub fn finish(mut self) {
        self.flush();
        // SAFETY: everything was opened by `open`; locks stay until the transaction ends.
        unsafe {
            for slot in &self.slots {
                pg_sys::ExecDropSingleTupleTableSlot(*slot);
            }
            if !self.bulk.is_null() {
                pg_sys::FreeBulkInsertState(self.bulk);
            }
            pg_sys::ExecCloseIndices(self.result);
            pg_sys::FreeExecutorState(self.executor);
            pg_sys::table_close(self.relation, pg_sys::NoLock as pg_sys::LOCKMODE);
            pg_sys::table_close(self.parent, pg_sys::NoLock as pg_sys::LOCKMODE);
        }
    }
}

/// A state for filling page after page, in the memory that all pages share: the small ring of buffers that PostgreSQL
/// uses for COPY would be written out over and over, by who has to wait for it.
///
/// # Safety
/// Within a transaction.
unsafe fn bulk_insert_state() -> pg_sys::BulkInsertState {
    // SAFETY: the strategy is the first thing in the state (`access/hio.h`), and may be absent.
    unsafe {
        let state = pg_sys::GetBulkInsertState();
        let strategy = state.cast::<pg_sys::BufferAccessStrategy>();
        pg_sys::FreeAccessStrategy(*strategy);
        *strategy = std::ptr::null_mut();
        state
    }
}

/// Whether an index takes every row as it is: it is not unique, not partial, not over expressions, and ready.
///
/// # Safety
/// `info` is an index's.
unsafe fn is_plain(info: *const pg_sys::IndexInfo) -> bool {
    // SAFETY: by the contract above.
    let info = unsafe { &*info };
    info.ii_Expressions.is_null()
        && info.ii_Predicate.is_null()
        && info.ii_ExclusionOps.is_null()
        && !info.ii_Unique
        && info.ii_ReadyForInserts
}

/// The partition of a table that is partitioned by ranges of one `timestamptz`, or the default one.
///
/// # Safety
/// The relation is open and locked.
unsafe fn partition_for(parent: pg_sys::Relation, time: i64) -> Option<pg_sys::Oid> {
    // SAFETY: by the contract above. The descriptor lives as long as the relation is open; it has bounds when it has
    // partitions, and for ranges one index more than bounds.
    unsafe {
        let partitions = pg_sys::RelationGetPartitionDesc(parent, true);
        if partitions.is_null() || (*partitions).nparts == 0 {
            return None;
        }
        let bounds = &*(*partitions).boundinfo;
        let reached = (0..bounds.ndatums as usize)
            .take_while(|bound| match *(*bounds.kind.add(*bound)) {
                pg_sys::PartitionRangeDatumKind::PARTITION_RANGE_DATUM_MINVALUE => true,
                pg_sys::PartitionRangeDatumKind::PARTITION_RANGE_DATUM_VALUE => {
                    (*(*bounds.datums.add(*bound))).value() as i64 <= time
                }
                _ => false,
            })
            .count();
        let place = match *bounds.indexes.add(reached) {
            place if place < 0 => bounds.default_index,
            place => place,
        };
        usize::try_from(place).ok().map(|place| *(*partitions).oids.add(place))
    }
}

/// The next number of a sequence, whoever asks.
pub fn next_number(sequence: pg_sys::Oid) -> i64 {
    unsafe extern "C-unwind" {
        fn nextval_internal(sequence: pg_sys::Oid, check_permissions: bool) -> i64;
    }
    // SAFETY: the sequence exists; an error is caught at the boundary.
    unsafe { pg_sys::ffi::pg_guard_ffi_boundary(|| nextval_internal(sequence, false)) }
}

/// The time now, as PostgreSQL stores it.
pub fn now() -> i64 {
    // SAFETY: asks the clock.
    unsafe { pg_sys::GetCurrentTimestamp() }
}

/// The number of the transaction that counts in the end, and one is given if there is none.
pub fn transaction_number() -> u64 {
    // SAFETY: in a transaction that may write.
    unsafe { pg_sys::GetTopFullTransactionId().value }
}
