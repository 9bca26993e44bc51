//! What a trigger is told of: its table, its event, and the rows that a statement has written.

use crate::error::Result;
use crate::sys::fmgr;
use crate::sys::inserting;
use crate::sys::weight::{Owner, Scale};
use pgrx::{FromDatum, pg_sys};
use std::ffi::CStr;
use std::marker::PhantomData;
use uuid::Uuid;

/// Rows from which on the plan is asked before all of them are read.
const WORTH_A_LOOK: i64 = 64;

/// What set a trigger off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    Insert,
    Update,
    Delete,
    Truncate,
}

/// Before or after the change, of rows that have both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Old,
    New,
}

/// A trigger that fires.
#[derive(Clone, Copy)]
pub struct Fired<'a> {
    data: *mut pg_sys::TriggerData,
    call: PhantomData<&'a ()>,
}

impl Fired<'_> {
    /// The trigger's table.
    pub fn table(&self) -> pg_sys::Oid {
        // SAFETY: the trigger manager passes valid data, which live as long as the call.
        unsafe { (*(*self.data).tg_relation).rd_id }
    }

    /// The trigger's own name.
    pub fn name(&self) -> &CStr {
        // SAFETY: as above; a trigger's name is a C string.
        unsafe { CStr::from_ptr((*(*self.data).tg_trigger).tgname) }
    }

    pub fn event(&self) -> Event {
        // SAFETY: as above.
        match unsafe { (*self.data).tg_event } & pg_sys::TRIGGER_EVENT_OPMASK {
            pg_sys::TRIGGER_EVENT_INSERT => Event::Insert,
            pg_sys::TRIGGER_EVENT_DELETE => Event::Delete,
            pg_sys::TRIGGER_EVENT_UPDATE => Event::Update,
            _ => Event::Truncate,
        }
    }

    /// Calls `visit` with owner and weight of every row that the statement wrote. `attribute` is the tenant column's
    /// number. Returns false where the trigger is not told of them, or the column is of another type.
    pub fn rows(&self, side: Side, attribute: i16, weighs: bool, mut visit: impl FnMut(Owner<'_>, i64)) -> bool {
        self.each_row(side, attribute, weighs, |owner, weight| {
            visit(owner, weight);
            true
        })
    }

    /// How many rows the statement has inserted, where all of them are certain to be of one tenant, and the owner of one, for
    /// `visit`: without reading the others, which may have been written to disk. Returns false where that is not certain.
    pub fn rows_of_one_tenant(&self, attribute: i16, mut visit: impl FnMut(Owner<'_>, i64)) -> bool {
        // SAFETY: as for `each_row`.
        let count = unsafe {
            let store = (*self.data).tg_newtable;
            if store.is_null() { 0 } else { pg_sys::tuplestore_tuple_count(store) }
        };
        count >= WORTH_A_LOOK
            && inserting::is_of_one_tenant(self.table(), attribute)
            && self.each_row(Side::New, attribute, false, |owner, _| {
                visit(owner, count);
                false
            })
    }

    /// As `rows`, as long as `visit` returns true.
    fn each_row(
        &self,
        side: Side,
        attribute: i16,
        weighs: bool,
        mut visit: impl FnMut(Owner<'_>, i64) -> bool,
    ) -> bool {
        // Called for every row: one boundary for all of them, since each costs as much as half of what is done here.
        unsafe extern "C-unwind" {
            fn tuplestore_gettupleslot(
                store: *mut pg_sys::Tuplestorestate,
                forward: bool,
                copy: bool,
                slot: *mut pg_sys::TupleTableSlot,
            ) -> bool;
            fn slot_getsomeattrs_int(slot: *mut pg_sys::TupleTableSlot, attnum: std::ffi::c_int);
        }
        // SAFETY: the store belongs to the statement, is kept until its triggers have run, and can be rewound. Whoever
        // reads it selects his own place in it first. The slot has the descriptor under which the rows were
        // put in, that of the trigger's table, and gives each row until it gets the next. An error leaves the boundary
        // by a jump that passes nothing but references: what they refer to lives outside of it.
        unsafe {
            let store = match side {
                Side::Old => (*self.data).tg_oldtable,
                Side::New => (*self.data).tg_newtable,
            };
            let descriptor = (*(*self.data).tg_relation).rd_att;
            let Some(scale) = Scale::new(descriptor, attribute, weighs).filter(|_| !store.is_null()) else {
                return false;
            };
            let slot = pg_sys::MakeSingleTupleTableSlot(descriptor, &raw const pg_sys::TTSOpsMinimalTuple);
            pg_sys::tuplestore_select_read_pointer(store, 0);
            pg_sys::tuplestore_rescan(store);
            let width = scale.width();
            pg_sys::ffi::pg_guard_ffi_boundary(|| {
                while tuplestore_gettupleslot(store, true, false, slot) {
                    slot_getsomeattrs_int(slot, width as i32);
                    let values = std::slice::from_raw_parts((*slot).tts_values, width);
                    let nulls = std::slice::from_raw_parts((*slot).tts_isnull, width);
                    let (owner, weight) = scale.read(values, nulls);
                    if !visit(owner, weight) {
                        break;
                    }
                }
            });
            pg_sys::ExecDropSingleTupleTableSlot(slot);
            true
        }
    }

    /// How many rows the statement wrote; 0 where the trigger is not told of them.
    pub fn count(&self, side: Side) -> i64 {
        // SAFETY: the store belongs to the statement, and is kept until its triggers have run.
        unsafe {
            let store = match side {
                Side::Old => (*self.data).tg_oldtable,
                Side::New => (*self.data).tg_newtable,
            };
            if store.is_null() { 0 } else { pg_sys::tuplestore_tuple_count(store) }
        }
    }

    /// The row that a row trigger fires for.
    pub fn row(&self, side: Side) -> Option<Row<'_>> {
        // SAFETY: as above; the tuple that an event doesn't have is NULL.
        let tuple = unsafe {
            match (self.event(), side) {
                (Event::Insert, Side::Old) | (Event::Delete, Side::New) => return None,
                (Event::Update, Side::New) => (*self.data).tg_newtuple,
                _ => (*self.data).tg_trigtuple,
            }
        };
        (!tuple.is_null()).then_some(Row { fired: self, tuple })
    }
}

/// A row of one of the extension's own tables.
pub struct Row<'a> {
    fired: &'a Fired<'a>,
    tuple: pg_sys::HeapTuple,
}

impl Row<'_> {
    /// The `uuid` in a column, by its number.
    pub fn uuid(&self, attribute: i16) -> Option<Uuid> {
        let bytes: pgrx::Uuid = self.get(attribute)?;
        Some(Uuid::from_bytes(*bytes.as_bytes()))
    }

    /// Whether a column is of that type.
    pub fn is_uuid(&self, attribute: i16) -> bool {
        // SAFETY: the trigger manager passes a valid relation.
        unsafe {
            pg_sys::SPI_gettypeid((*(*self.fired.data).tg_relation).rd_att, i32::from(attribute)) == pg_sys::UUIDOID
        }
    }

    pub fn is_null(&self, attribute: i16) -> bool {
        // SAFETY: the tuple is one of the trigger's table; columns that were added after it was written are looked up there.
        unsafe { pg_sys::heap_attisnull(self.tuple, i32::from(attribute), (*(*self.fired.data).tg_relation).rd_att) }
    }

    /// The `integer` in a column.
    pub fn integer(&self, attribute: i16) -> Option<i32> {
        self.get(attribute)
    }

    /// The `text` in a column.
    pub fn text(&self, attribute: i16) -> Option<String> {
        self.get(attribute)
    }

    fn get<T: FromDatum>(&self, attribute: i16) -> Option<T> {
        let mut null = true;
        // SAFETY: the tuple is one of the trigger's table, and each caller asks for the type that the extension's own
        // DDL gave the column.
        unsafe {
            let descriptor = (*(*self.fired.data).tg_relation).rd_att;
            let value = pg_sys::heap_getattr(self.tuple, i32::from(attribute), descriptor, &mut null);
            T::from_datum(value, null)
        }
    }
}

/// Exports `$symbol` as a version-1 C function that serves as a trigger: it calls `$act` with what has happened, and
/// returns no row.
#[macro_export]
macro_rules! native_row_trigger {
    ($(#[$doc:meta])* $symbol:ident, $finfo:ident, $act:path) => {
        $crate::sys::fmgr::version_1! {
            $(#[$doc])*
            $symbol, $finfo, |fcinfo| {
                // SAFETY: the function manager is the caller, and nothing here needs dropping.
                unsafe { $crate::sys::transition::fired(fcinfo, $act) };
                ::pgrx::pg_sys::Datum::null()
            }
        }
    };
}

/// Runs what a trigger does; its error becomes a PostgreSQL error. Called by anybody but the trigger manager it does
/// nothing.
///
/// # Safety
/// As for `fmgr::acted`.
pub unsafe fn fired(fcinfo: pg_sys::FunctionCallInfo, act: fn(Fired<'_>) -> Result<()>) {
    // SAFETY: the caller keeps to the guard's own rule; the context is a node, and read as what its tag says.
    unsafe {
        fmgr::guarded(|| {
            let context = (*fcinfo).context;
            if context.is_null() || (*context).type_ != pg_sys::NodeTag::T_TriggerData {
                return Ok(());
            }
            act(Fired { data: context.cast(), call: PhantomData })
        });
    }
}
