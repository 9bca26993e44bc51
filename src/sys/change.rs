//! What a statement changed, as its triggers are told: the rows before and after, in the transition tables'
//! tuplestores.

use crate::error::Result;
use crate::sys::image::{self, Columns, Row};
use pgrx::pg_sys;

/// What a statement did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    Insert,
    Update,
    Delete,
    Truncate,
}

/// A trigger that is running, after a statement.
#[derive(Debug, Clone, Copy)]
pub struct Change(*const pg_sys::TriggerData);

impl Change {
    pub fn command(self) -> Command {
        // SAFETY: valid as long as the trigger runs.
        match unsafe { (*self.0).tg_event } & pg_sys::TRIGGER_EVENT_OPMASK {
            pg_sys::TRIGGER_EVENT_INSERT => Command::Insert,
            pg_sys::TRIGGER_EVENT_DELETE => Command::Delete,
            pg_sys::TRIGGER_EVENT_UPDATE => Command::Update,
            _ => Command::Truncate,
        }
    }

    /// The table that the statement named, maybe a parent of those that hold the rows.
    pub fn table(self) -> pg_sys::Oid {
        // SAFETY: as above.
        unsafe { (*(*self.0).tg_relation).rd_id }
    }

    /// Whether the table is a partition.
    pub fn is_partition(self) -> bool {
        // SAFETY: as above; an open relation has its pg_class row.
        unsafe { (*(*(*self.0).tg_relation).rd_rel).relispartition }
    }

    /// The columns of the table.
    pub fn columns(self) -> Columns {
        // SAFETY: the relation is open and locked as long as the trigger runs.
        unsafe { image::columns((*self.0).tg_relation) }
    }

    /// The names of the columns by which a row is known: of the primary key, or else of the replica identity.
    pub fn key_columns(self) -> Vec<String> {
        // SAFETY: as above. The index's row is released after it was read, and holds as many keys as it says.
        unsafe {
            let relation = (*self.0).tg_relation;
            #[cfg(not(feature = "pg18"))]
            let primary = pg_sys::RelationGetPrimaryKeyIndex(relation);
            #[cfg(feature = "pg18")]
            let primary = pg_sys::RelationGetPrimaryKeyIndex(relation, false);
            let index = if primary == pg_sys::InvalidOid { pg_sys::RelationGetReplicaIndex(relation) } else { primary };
            if index == pg_sys::InvalidOid {
                return Vec::new();
            }
            image::key_columns(relation, index)
        }
    }

    /// The rows as they were, where there are any.
    pub fn old_rows(self) -> Option<Rows> {
        // SAFETY: as for the relation.
        unsafe { Rows::of((*self.0).tg_oldtable, (*self.0).tg_relation) }
    }

    /// The rows as they are, where there are any.
    pub fn new_rows(self) -> Option<Rows> {
        // SAFETY: as above.
        unsafe { Rows::of((*self.0).tg_newtable, (*self.0).tg_relation) }
    }
}

/// The rows of a transition table, in the order in which they were changed.
#[derive(Debug)]
pub struct Rows {
    store: *mut pg_sys::Tuplestorestate,
    /// Ours; others read the same store.
    pointer: i32,
    slot: *mut pg_sys::TupleTableSlot,
}

impl Rows {
    /// # Safety
    /// The store is NULL or holds rows of the relation, and both outlive what is returned.
    unsafe fn of(store: *mut pg_sys::Tuplestorestate, relation: pg_sys::Relation) -> Option<Self> {
        if store.is_null() {
            return None;
        }
        // SAFETY: by the contract above; the slot is in the memory of the trigger's call.
        unsafe {
            let pointer = pg_sys::tuplestore_alloc_read_pointer(store, pg_sys::EXEC_FLAG_REWIND as i32);
            pg_sys::tuplestore_select_read_pointer(store, pointer);
            pg_sys::tuplestore_rescan(store);
            let slot = pg_sys::MakeSingleTupleTableSlot((*relation).rd_att, &raw const pg_sys::TTSOpsMinimalTuple);
            Some(Self { store, pointer, slot })
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        // SAFETY: the store is valid as long as the trigger runs.
        usize::try_from(unsafe { pg_sys::tuplestore_tuple_count(self.store) }).unwrap_or(0)
    }

    /// The next row.
    pub fn next(&mut self) -> Option<Row<'_>> {
        // SAFETY: as above. The slot holds the row until the next one is read, which takes `&mut self`; a slot whose
        // attributes are all fetched has that many values and nulls.
        unsafe {
            pg_sys::tuplestore_select_read_pointer(self.store, self.pointer);
            if !pg_sys::tuplestore_gettupleslot(self.store, true, false, self.slot) {
                return None;
            }
            pg_sys::slot_getallattrs(self.slot);
            let count = (*self.slot).tts_nvalid as usize;
            Some(Row {
                values: std::slice::from_raw_parts((*self.slot).tts_values, count),
                nulls: std::slice::from_raw_parts((*self.slot).tts_isnull, count),
            })
        }
    }

    /// Gives back what reading took; not needed after an error.
    pub fn close(self) {
        // SAFETY: the slot is ours, and no row of it is borrowed any more.
        unsafe { pg_sys::ExecDropSingleTupleTableSlot(self.slot) }
    }
}

/// Exports `$symbol` as a version-1 C function that serves as a trigger after statements: it calls `$act` with what
/// was changed.
#[macro_export]
macro_rules! native_change_trigger {
    ($(#[$doc:meta])* $symbol:ident, $finfo:ident, $act:expr) => {
        $crate::sys::fmgr::version_1! {
            $(#[$doc])*
            $symbol, $finfo, |fcinfo| {
                let act: fn($crate::sys::change::Change) -> $crate::error::Result<()> = $act;
                // SAFETY: the function manager is the caller, and nothing here needs dropping.
                unsafe { $crate::sys::change::acted(fcinfo, act) };
                ::pgrx::pg_sys::Datum::null()
            }
        }
    };
}

/// Runs what a trigger does; its error becomes a PostgreSQL error. Does nothing when it is no trigger that was
/// called after a statement.
///
/// # Safety
/// Only from a function that the function manager called with this record, with nothing to drop.
pub unsafe fn acted(fcinfo: pg_sys::FunctionCallInfo, act: fn(Change) -> Result<()>) {
    const TIMING: u32 = pg_sys::TRIGGER_EVENT_TIMINGMASK | pg_sys::TRIGGER_EVENT_ROW;
    // SAFETY: the caller keeps to the guard's own rule; the context is a node, and read as what its tag says.
    unsafe {
        pg_sys::panic::pgrx_extern_c_guard(|| {
            let context = (*fcinfo).context;
            if context.is_null() || (*context).type_ != pg_sys::NodeTag::T_TriggerData {
                return;
            }
            let data = context.cast::<pg_sys::TriggerData>();
            if (*data).tg_event & TIMING == pg_sys::TRIGGER_EVENT_AFTER
                && let Err(error) = act(Change(data))
            {
                super::hooks::raise(error);
            }
        });
    }
}
