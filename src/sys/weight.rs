//! Whose a row is, and how much it weighs.
//!
//! A row weighs 24 bytes, and for each column that is not null the width of its type, or, where values differ in
//! length, the length of the value without its header, uncompressed. So it weighs the same in memory and on disk,
//! compressed, moved out of line or not, in a partition with other columns' order, and before and after VACUUM FULL.

use crate::sys::types::{self, Base};
use pgrx::{FromDatum, PgTupleDesc, pg_sys};
use std::ffi::CStr;

/// The row's header.
const ROW: i64 = 24;

/// What a tenant column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner<'a> {
    Nobody,
    Id([u8; 16]),
    Key(&'a str),
    Number(i64),
}

#[derive(Debug, Clone, Copy)]
struct Column {
    index: usize,
    /// `pg_attribute.attlen`.
    length: i16,
}

/// How rows of one descriptor are read.
pub struct Scale {
    tenant: usize,
    base: Base,
    /// Columns that are weighed; none where only rows are counted.
    columns: Vec<Column>,
    weighs: bool,
}

impl Scale {
    /// `attribute` is the tenant column's number. `None` where there is no such column of a suitable type.
    ///
    /// # Safety
    /// `descriptor` is a valid tuple descriptor.
    pub(super) unsafe fn new(descriptor: pg_sys::TupleDesc, attribute: i16, weighs: bool) -> Option<Self> {
        // SAFETY: by the contract above; it outlives this look at it.
        let descriptor = unsafe { PgTupleDesc::from_pg_unchecked(descriptor) };
        let tenant = usize::try_from(attribute).ok()?.checked_sub(1)?;
        let base = types::base(descriptor.get(tenant)?.atttypid);
        let columns = descriptor.iter().enumerate().filter(|(_, column)| weighs && is_stored(column));
        let columns = columns.map(|(index, column)| Column { index, length: column.attlen }).collect();
        (base != Base::Other).then_some(Self { tenant, base, columns, weighs })
    }

    /// How many columns of a row must be there.
    pub(super) fn width(&self) -> usize {
        self.columns.iter().map(|column| column.index).max().unwrap_or(0).max(self.tenant) + 1
    }

    /// The row's owner, and its weight, if that is asked for.
    ///
    /// # Safety
    /// Values and nulls are those of a row of the descriptor, and have at least `width` entries.
    pub(super) unsafe fn read<'a>(&self, values: &'a [pg_sys::Datum], nulls: &[bool]) -> (Owner<'a>, i64) {
        let (tenant, null) = (values[self.tenant], nulls[self.tenant]);
        // SAFETY: by the contract above the datum is of the type that the base says.
        let owner = unsafe {
            match self.base {
                _ if null => Owner::Nobody,
                Base::Uuid => Owner::Id(*tenant.cast_mut_ptr::<[u8; 16]>()),
                Base::Text => <&str>::from_datum(tenant, false).map_or(Owner::Nobody, Owner::Key),
                Base::Integer(pg_sys::INT2OID) => Owner::Number(i64::from(tenant.value() as i16)),
                Base::Integer(pg_sys::INT4OID) => Owner::Number(i64::from(tenant.value() as i32)),
                Base::Integer(_) => Owner::Number(tenant.value() as i64),
                Base::Other => Owner::Nobody,
            }
        };
        if !self.weighs {
            return (owner, 0);
        }
        let weigh = |column: &Column| {
            // SAFETY: as above.
            if nulls[column.index] { 0 } else { unsafe { weight(values[column.index], column.length) } }
        };
        (owner, ROW + self.columns.iter().map(weigh).sum::<i64>())
    }
}

/// A virtual column is computed when it is read.
fn is_stored(column: &pg_sys::FormData_pg_attribute) -> bool {
    !column.attisdropped && column.attgenerated as u8 != b'v'
}

/// # Safety
/// `value` is a value, not null, of a type of that length.
unsafe fn weight(value: pg_sys::Datum, length: i16) -> i64 {
    // SAFETY: by the contract above. The size of a value that is compressed or out of line is read from its header.
    unsafe {
        match length {
            -1 => pg_sys::toast_raw_datum_size(value) as i64 - pg_sys::VARHDRSZ as i64,
            -2 => CStr::from_ptr(value.cast_mut_ptr()).count_bytes() as i64,
            length => i64::from(length),
        }
    }
}

/// The number of a table's column of that name.
pub fn attribute(table: pg_sys::Oid, column: &str) -> Option<i16> {
    let column = std::ffi::CString::new(column).ok()?;
    // SAFETY: a syscache look-up, which gives 0 for what is not there.
    let number = unsafe { pg_sys::get_attnum(table, column.as_ptr()) };
    (number > 0).then_some(number)
}

/// A state of the database, kept until the transaction ends or `release` is called.
#[derive(Debug, Clone, Copy)]
pub struct Moment(pub(super) pg_sys::Snapshot);

impl Moment {
    /// All that is committed by now, and what the transaction has done.
    pub fn now() -> Self {
        // SAFETY: in a transaction. What the running command has done counts, too.
        unsafe {
            pg_sys::CommandCounterIncrement();
            Self(pg_sys::RegisterSnapshot(pg_sys::GetLatestSnapshot()))
        }
    }

    /// To be called once.
    pub fn release(self) {
        // SAFETY: it was registered, and by the contract above still is.
        unsafe { pg_sys::UnregisterSnapshot(self.0) }
    }
}

/// Calls `visit` with owner and weight of every row in the table itself, without its children. Returns false where the
/// column is not there, or the table is not kept as PostgreSQL's own are. The caller holds a lock on it.
pub fn of_rows(
    table: pg_sys::Oid,
    column: &str,
    weighs: bool,
    moment: Moment,
    mut visit: impl FnMut(Owner<'_>, i64),
) -> bool {
    let Some(attribute) = attribute(table, column) else { return false };
    // SAFETY: the table is locked by the caller, and opened and closed here; should an error be raised, the resource
    // owner does the latter. The values point into a tuple that stays pinned until the next one is asked for.
    unsafe {
        let lock = pg_sys::AccessShareLock as pg_sys::LOCKMODE;
        let relation = pg_sys::table_open(table, lock);
        if (*(*relation).rd_rel).relkind as u8 != pg_sys::RELKIND_RELATION {
            let holds_nothing = (*(*relation).rd_rel).relkind as u8 == pg_sys::RELKIND_PARTITIONED_TABLE;
            pg_sys::table_close(relation, lock);
            return holds_nothing;
        }
        let descriptor = (*relation).rd_att;
        let is_heap = (*(*relation).rd_rel).relam == pg_sys::HEAP_TABLE_AM_OID;
        let scale = Scale::new(descriptor, attribute, weighs).filter(|_| is_heap);
        if let Some(scale) = &scale {
            let columns = (*descriptor).natts as usize;
            let (mut values, mut nulls) = (vec![pg_sys::Datum::null(); columns], vec![true; columns]);
            let scan =
                pg_sys::systable_beginscan(relation, pg_sys::InvalidOid, false, moment.0, 0, std::ptr::null_mut());
            loop {
                let tuple = pg_sys::systable_getnext(scan);
                if tuple.is_null() {
                    break;
                }
                pg_sys::heap_deform_tuple(tuple, descriptor, values.as_mut_ptr(), nulls.as_mut_ptr());
                let (owner, weight) = scale.read(&values, &nulls);
                visit(owner, weight);
            }
            pg_sys::systable_endscan(scan);
        }
        pg_sys::table_close(relation, lock);
        scale.is_some()
    }
}
