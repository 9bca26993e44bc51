//! Reading catalogs and the extension's own tables by index, the way PostgreSQL reads its catalogs: no plan,
//! no search path, no row security, and always the latest committed state whatever the isolation
//! level. It assigns no transaction id, so it works on a hot standby and in a parallel worker.

use crate::error::Error;
use crate::sys::{clock, hooks};
use pgrx::datum::Interval;
use pgrx::{FromDatum, IntoDatum, pg_sys};
use std::ffi::CStr;
use std::marker::PhantomData;
use uuid::Uuid;

/// The value that an index column must have.
pub enum Key<'a> {
    Uuid(Uuid),
    Text(&'a str),
    Oid(pg_sys::Oid),
    Int4(i32),
    Int8(i64),
    Bool(bool),
    Null,
    /// Any value but null.
    NotNull,
}

// The types of columns that can be read as one of these: where the extension's own tables have others, somebody has
// changed them.
const UUID: &[pg_sys::Oid] = &[pg_sys::UUIDOID];
const TEXT: &[pg_sys::Oid] = &[pg_sys::TEXTOID, pg_sys::VARCHAROID];
const TEXTS: &[pg_sys::Oid] = &[pg_sys::TEXTARRAYOID];
const OID: &[pg_sys::Oid] = &[pg_sys::OIDOID, pg_sys::REGROLEOID, pg_sys::REGCLASSOID, pg_sys::REGNAMESPACEOID];
const INT4: &[pg_sys::Oid] = &[pg_sys::INT4OID];
const INT8: &[pg_sys::Oid] = &[pg_sys::INT8OID];
const TIMESTAMPTZ: &[pg_sys::Oid] = &[pg_sys::TIMESTAMPTZOID];
const NAME: &[pg_sys::Oid] = &[pg_sys::NAMEOID];
const BOOL: &[pg_sys::Oid] = &[pg_sys::BOOLOID];
const JSONB: &[pg_sys::Oid] = &[pg_sys::JSONBOID];

/// A datum as it is.
struct Passed(pg_sys::Datum);

impl FromDatum for Passed {
    unsafe fn from_polymorphic_datum(value: pg_sys::Datum, is_null: bool, _type: pg_sys::Oid) -> Option<Self> {
        (!is_null).then_some(Self(value))
    }
}
const FLOAT4: &[pg_sys::Oid] = &[pg_sys::FLOAT4OID];
const INTERVAL: &[pg_sys::Oid] = &[pg_sys::INTERVALOID];

/// Where a row lies in its table, as long as nobody changes it or writes the table anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub block: u32,
    pub offset: u16,
}

/// One row, valid inside the visitor that gets it. Reading a column that has another type than is asked for, or that was
/// dropped, raises an error.
pub struct Row {
    descriptor: pg_sys::TupleDesc,
    values: Vec<pg_sys::Datum>,
    nulls: Vec<bool>,
    place: Place,
}

/// Raises an error unless column `attribute` (counted from 1) has one of these types.
///
/// # Safety
/// The descriptor is that of a table that is open.
unsafe fn check_type(descriptor: pg_sys::TupleDesc, attribute: usize, types: &[pg_sys::Oid]) {
    // SAFETY: by the contract above; a descriptor has so many attributes.
    let is_one = unsafe {
        (1..=(*descriptor).natts as usize).contains(&attribute) && {
            #[cfg(feature = "pg18")]
            let found = &*pg_sys::TupleDescAttr(descriptor, attribute as i32 - 1);
            #[cfg(not(feature = "pg18"))]
            let found = &(*descriptor).attrs.as_slice((*descriptor).natts as usize)[attribute - 1];
            // That of a dropped one is 0.
            types.contains(&found.atttypid)
        }
    };
    if !is_one {
        hooks::raise(Error::NotInstalled);
    }
}

impl Row {
    /// Reads a row apart.
    ///
    /// # Safety
    /// The tuple is one of the table that the descriptor is of; both stay where they are while the row is used.
    unsafe fn new(descriptor: pg_sys::TupleDesc, tuple: pg_sys::HeapTuple) -> Self {
        // SAFETY: by the contract above; the arrays have as many elements as the table has columns.
        unsafe {
            let columns = (*descriptor).natts as usize;
            let place = (*tuple).t_self;
            let mut row = Self {
                descriptor,
                values: vec![pg_sys::Datum::from(0usize); columns],
                nulls: vec![true; columns],
                place: Place {
                    block: u32::from(place.ip_blkid.bi_hi) << 16 | u32::from(place.ip_blkid.bi_lo),
                    offset: place.ip_posid,
                },
            };
            pg_sys::heap_deform_tuple(tuple, descriptor, row.values.as_mut_ptr(), row.nulls.as_mut_ptr());
            row
        }
    }

    pub fn place(&self) -> Place {
        self.place
    }

    /// The `uuid` in column `attribute` (counted from 1), if not null.
    pub fn uuid(&self, attribute: usize) -> Option<Uuid> {
        let bytes: pgrx::Uuid = self.get(attribute, UUID)?;
        Some(Uuid::from_bytes(*bytes.as_bytes()))
    }

    /// The `text` in column `attribute`, if not null.
    pub fn text(&self, attribute: usize) -> Option<String> {
        self.get(attribute, TEXT)
    }

    /// The elements of the `text[]` in column `attribute` that are not null.
    pub fn texts(&self, attribute: usize) -> Vec<String> {
        let texts: Option<Vec<Option<String>>> = self.get(attribute, TEXTS);
        texts.unwrap_or_default().into_iter().flatten().collect()
    }

    /// The OID (`regrole` and the like too) in column `attribute`, if not null.
    pub fn oid(&self, attribute: usize) -> Option<pg_sys::Oid> {
        self.get(attribute, OID)
    }

    /// The `integer` in column `attribute`, if not null.
    pub fn integer(&self, attribute: usize) -> Option<i32> {
        self.get(attribute, INT4)
    }

    /// The `timestamptz` in column `attribute` in microseconds since 1970, if not null; infinite ones are far away.
    pub fn time(&self, attribute: usize) -> Option<i64> {
        let time: i64 = self.get(attribute, TIMESTAMPTZ)?;
        Some(clock::since_1970(time))
    }

    /// The `bigint` in column `attribute`, if not null.
    pub fn bigint(&self, attribute: usize) -> Option<i64> {
        self.get(attribute, INT8)
    }

    /// The `real` in column `attribute`, if not null.
    pub fn real(&self, attribute: usize) -> Option<f32> {
        self.get(attribute, FLOAT4)
    }

    /// The `interval` in column `attribute` in microseconds, a month being 30 days, if not null.
    pub fn microseconds(&self, attribute: usize) -> Option<i128> {
        let interval: Interval = self.get(attribute, INTERVAL)?;
        Some(interval.as_micros())
    }

    /// The `name` in column `attribute`, if not null.
    pub fn name(&self, attribute: usize) -> Option<String> {
        let name: Option<&CStr> = self.get(attribute, NAME);
        name.map(|name| name.to_string_lossy().into_owned())
    }

    /// The `boolean` in column `attribute`, if not null.
    pub fn boolean(&self, attribute: usize) -> Option<bool> {
        self.get(attribute, BOOL)
    }

    /// The `jsonb` in column `attribute` as JSON text, if not null.
    pub fn json(&self, attribute: usize) -> Option<String> {
        let Passed(value) = self.get(attribute, JSONB)?;
        // SAFETY: a `jsonb` datum, which the function takes whether it is compressed or stored elsewhere; the text is copied.
        let text: Option<&CStr> = unsafe { pgrx::direct_function_call(pg_sys::jsonb_out, &[Some(value)]) };
        text.map(|text| text.to_string_lossy().into_owned())
    }

    /// Whether column `attribute` is null, or missing.
    pub fn is_null(&self, attribute: usize) -> bool {
        attribute.checked_sub(1).and_then(|index| self.nulls.get(index)).is_none_or(|null| *null)
    }

    fn get<T: FromDatum>(&self, attribute: usize, types: &[pg_sys::Oid]) -> Option<T> {
        // SAFETY: the table is open, and the tuple that the datums point into stays pinned, while the row is visited;
        // each caller names the types that can be read as T.
        unsafe {
            check_type(self.descriptor, attribute, types);
            let index = attribute.checked_sub(1)?;
            T::from_datum(*self.values.get(index)?, *self.nulls.get(index)?)
        }
    }
}

/// The OID of a relation in the given schema, if both exist.
pub fn relation_oid(schema: &CStr, relation: &CStr) -> Option<pg_sys::Oid> {
    // SAFETY: syscache look-ups; with `missing_ok` absence is an invalid OID.
    let oid = unsafe {
        let schema = pg_sys::get_namespace_oid(schema.as_ptr(), true);
        if schema == pg_sys::InvalidOid {
            return None;
        }
        pg_sys::get_relname_relid(relation.as_ptr(), schema)
    };
    (oid != pg_sys::InvalidOid).then_some(oid)
}

/// What was committed at one moment, for several scans that have to fit together.
#[derive(Clone, Copy)]
pub struct Moment<'a> {
    snapshot: pg_sys::Snapshot,
    life: PhantomData<&'a ()>,
}

/// Runs `work` on the table as committed by now, and as changed by this transaction. What is committed while it runs is not
/// seen, whatever it takes.
pub fn at_one_moment<T>(table: pg_sys::Oid, work: impl FnOnce(Moment<'_>) -> T) -> T {
    // SAFETY: as `find` does where no snapshot is given: a copy of the catalog snapshot is registered, and can't be used
    // beyond `work`. Should that fail, the transaction's resource owner lets go of it.
    unsafe {
        let snapshot = pg_sys::RegisterSnapshot(pg_sys::GetCatalogSnapshot(table));
        let result = work(Moment { snapshot, life: PhantomData });
        pg_sys::UnregisterSnapshot(snapshot);
        result
    }
}

impl Moment<'_> {
    /// As `find`, at that moment.
    pub fn find(
        self,
        table: pg_sys::Oid,
        index: pg_sys::Oid,
        keys: &[(i16, Key<'_>)],
        visit: impl FnMut(&Row) -> bool,
    ) {
        // SAFETY: registered as long as the moment lasts.
        unsafe { find_in(self.snapshot, table, index, keys, visit) }
    }
}

/// Calls `visit` with each row of `table` whose columns have the given values, until it returns
/// true. `keys` are pairs of attribute number in the table and value, and lead the index; a column of another type than
/// its value's raises an error.
pub fn find(table: pg_sys::Oid, index: pg_sys::Oid, keys: &[(i16, Key<'_>)], visit: impl FnMut(&Row) -> bool) {
    // SAFETY: a NULL snapshot asks for a fresh catalog snapshot.
    unsafe { find_in(std::ptr::null_mut(), table, index, keys, visit) }
}

/// # Safety
/// The snapshot is registered, or NULL.
unsafe fn find_in(
    snapshot: pg_sys::Snapshot,
    table: pg_sys::Oid,
    index: pg_sys::Oid,
    keys: &[(i16, Key<'_>)],
    mut visit: impl FnMut(&Row) -> bool,
) {
    // SAFETY: table and index are known to belong together; the lock is held while
    // the scan runs; the snapshot is as the caller says. Should `visit` fail, the
    // transaction's resource owner closes scan and table.
    unsafe {
        let lock = pg_sys::AccessShareLock as pg_sys::LOCKMODE;
        let relation = pg_sys::table_open(table, lock);
        let descriptor = (*relation).rd_att;
        for (attribute, key) in keys {
            match key {
                Key::Uuid(_) => check_type(descriptor, *attribute as usize, UUID),
                Key::Text(_) => check_type(descriptor, *attribute as usize, TEXT),
                Key::Oid(_) => check_type(descriptor, *attribute as usize, OID),
                Key::Int4(_) => check_type(descriptor, *attribute as usize, INT4),
                Key::Int8(_) => check_type(descriptor, *attribute as usize, INT8),
                Key::Bool(_) => check_type(descriptor, *attribute as usize, BOOL),
                Key::Null | Key::NotNull => {}
            }
        }
        // Any session can have itself begun with ignore_system_indexes. To read a table without index no row is one that
        // is asked whether it has a null.
        let by_index = !pg_sys::IgnoreSystemIndexes && !pg_sys::ReindexIsProcessingIndex(index);
        let is_wanted = |row: &Row| {
            by_index
                || keys.iter().all(|(attribute, key)| match key {
                    Key::Null => row.is_null(*attribute as usize),
                    Key::NotNull => !row.is_null(*attribute as usize),
                    _ => true,
                })
        };
        let mut scan_keys: Vec<pg_sys::ScanKeyData> =
            keys.iter().filter(|(_, key)| by_index || !matches!(key, Key::Null | Key::NotNull)).map(scan_key).collect();
        let scan = pg_sys::systable_beginscan(
            relation,
            index,
            by_index,
            snapshot,
            scan_keys.len() as i32,
            scan_keys.as_mut_ptr(),
        );
        loop {
            let tuple = pg_sys::systable_getnext(scan);
            if tuple.is_null() {
                break;
            }
            let row = Row::new(descriptor, tuple);
            if is_wanted(&row) && visit(&row) {
                break;
            }
        }
        pg_sys::systable_endscan(scan);
        pg_sys::table_close(relation, lock);
    }
}

/// Calls `visit` with the row of `table` that lies at `place`, if it is there, can be seen, and column `attribute` has this
/// id; tells whether it did. Where not, the row may lie elsewhere. An index, of which parts have to be fetched from memory
/// that is cold when there are very many rows, is not looked at.
pub fn find_at(table: pg_sys::Oid, place: Place, attribute: i16, id: Uuid, visit: impl FnOnce(&Row)) -> bool {
    let mut found = false;
    // SAFETY: the lock is held while the row is read, and its buffer stays pinned; only a heap is read as one, and only a
    // block that it has. Should `visit` fail, the transaction's resource owner lets go of buffer, snapshot and table.
    unsafe {
        let lock = pg_sys::AccessShareLock as pg_sys::LOCKMODE;
        let relation = pg_sys::table_open(table, lock);
        let descriptor = (*relation).rd_att;
        check_type(descriptor, attribute as usize, UUID);
        let blocks = || pg_sys::RelationGetNumberOfBlocksInFork(relation, pg_sys::ForkNumber::MAIN_FORKNUM);
        if std::ptr::eq((*relation).rd_tableam, pg_sys::GetHeapamTableAmRoutine()) && place.block < blocks() {
            let snapshot = pg_sys::RegisterSnapshot(pg_sys::GetCatalogSnapshot(table));
            let mut tuple = pg_sys::HeapTupleData::default();
            tuple.t_self.ip_blkid.bi_hi = (place.block >> 16) as u16;
            tuple.t_self.ip_blkid.bi_lo = place.block as u16;
            tuple.t_self.ip_posid = place.offset;
            let mut buffer = pg_sys::InvalidBuffer as pg_sys::Buffer;
            if pg_sys::heap_fetch(relation, snapshot, &mut tuple, &mut buffer, false) {
                let row = Row::new(descriptor, &mut tuple);
                if row.uuid(attribute as usize) == Some(id) {
                    visit(&row);
                    found = true;
                }
                pg_sys::ReleaseBuffer(buffer);
            }
            pg_sys::UnregisterSnapshot(snapshot);
        }
        pg_sys::table_close(relation, lock);
    }
    found
}

/// What a scan compares a column with.
pub(super) fn scan_key((attribute, key): &(i16, Key<'_>)) -> pg_sys::ScanKeyData {
    let equal = pg_sys::BTEqualStrategyNumber as pg_sys::StrategyNumber;
    let mut entry = pg_sys::ScanKeyData::default();
    let (function, value) = match key {
        Key::Uuid(id) => (pg_sys::F_UUID_EQ, pgrx::Uuid::from_bytes(*id.as_bytes()).into_datum()),
        Key::Text(text) => (pg_sys::F_TEXTEQ, text.into_datum()),
        // 0 is a value like others.
        Key::Oid(oid) => (pg_sys::F_OIDEQ, Some(pg_sys::Datum::from(*oid))),
        Key::Int4(number) => (pg_sys::F_INT4EQ, number.into_datum()),
        Key::Int8(number) => (pg_sys::F_INT8EQ, number.into_datum()),
        Key::Bool(truth) => (pg_sys::F_BOOLEQ, truth.into_datum()),
        Key::Null | Key::NotNull => (0, None),
    };
    let searched = if matches!(key, Key::NotNull) { pg_sys::SK_SEARCHNOTNULL } else { pg_sys::SK_SEARCHNULL };
    // SAFETY: `entry` is a valid place to initialise; the datums live in the current memory
    // context, which outlives the scan.
    unsafe {
        match value {
            Some(value) => {
                pg_sys::ScanKeyInit(&mut entry, *attribute, equal, function.into(), value);
            }
            None => pg_sys::ScanKeyEntryInitialize(
                &mut entry,
                (pg_sys::SK_ISNULL | searched) as i32,
                *attribute,
                0,
                pg_sys::InvalidOid,
                pg_sys::InvalidOid,
                pg_sys::InvalidOid,
                pg_sys::Datum::from(0usize),
            ),
        }
    }
    entry
}
