//! Rows as `jsonb`, as `to_jsonb(row)` makes them, column by column. Plain values are written straight; all others
//! go through PostgreSQL's own function.

use crate::sys::jsonb::{self, Template, Value};
use crate::sys::memory::Memory;
use crate::sys::types;
use pgrx::pg_sys;
use std::ffi::{CStr, c_char, c_int};

/// How a column's values become JSON.
#[derive(Debug, Clone, Copy)]
enum How {
    Bool,
    Int2,
    Int4,
    Int8,
    Numeric,
    Text,
    Name,
    Uuid,
    /// `date`, `timestamp` and `timestamptz`, by OID.
    DateTime(pg_sys::Oid),
    Jsonb,
    /// By `to_jsonb()`, prepared for the column's type.
    Other(*mut pg_sys::FmgrInfo),
}

/// A column of a table that is there and holds something.
#[derive(Debug)]
pub struct Column {
    pub name: String,
    /// Counted from 0, dropped ones included.
    index: usize,
    how: How,
    by_value: bool,
    length: i16,
    pub type_oid: pg_sys::Oid,
}

/// The columns of a table, in its order, as they were when this was made.
#[derive(Debug)]
pub struct Columns {
    pub list: Vec<Column>,
    // What `How::Other` points into.
    _memory: Memory,
}

/// One row, valid until the next one is read.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    pub(super) values: &'a [pg_sys::Datum],
    pub(super) nulls: &'a [bool],
}

impl Row<'_> {
    fn get(&self, column: &Column) -> Option<pg_sys::Datum> {
        (!*self.nulls.get(column.index)?).then(|| self.values[column.index])
    }

    /// The value of a `uuid` column.
    pub fn uuid(&self, column: &Column) -> Option<uuid::Uuid> {
        // SAFETY: a value of type uuid is a pointer to 16 bytes.
        self.get(column).map(|datum| uuid::Uuid::from_bytes(unsafe { *datum.cast_mut_ptr::<[u8; 16]>() }))
    }

    /// The value of a `text` or `varchar` column.
    pub fn text(&self, column: &Column) -> Option<String> {
        // SAFETY: a value of such a type is a varlena.
        self.get(column).map(|datum| unsafe { String::from_utf8_lossy(Bytes::of(datum).as_slice()).into_owned() })
    }

    /// The value of an integer column.
    pub fn number(&self, column: &Column) -> Option<i64> {
        let datum = self.get(column)?;
        Some(match column.how {
            How::Int2 => i64::from(datum.value() as i16),
            How::Int4 => i64::from(datum.value() as i32),
            _ => datum.value() as i64,
        })
    }
}

/// The columns of a relation that is open and locked.
///
/// # Safety
/// `relation` is valid.
pub unsafe fn columns(relation: pg_sys::Relation) -> Columns {
    let memory = Memory::for_session(c"pg_tenancy columns");
    let mut list = Vec::new();
    // SAFETY: by the contract above; a descriptor has as many attributes as it says.
    unsafe {
        let descriptor = (*relation).rd_att;
        for index in 0..(*descriptor).natts as usize {
            let attribute = &*attribute(descriptor, index);
            // What is computed when it is read is stored nowhere.
            if attribute.attisdropped || attribute.attgenerated as u8 == b'v' {
                continue;
            }
            let how = match types::under_domains(attribute.atttypid) {
                pg_sys::BOOLOID => How::Bool,
                pg_sys::INT2OID => How::Int2,
                pg_sys::INT4OID => How::Int4,
                pg_sys::INT8OID => How::Int8,
                pg_sys::NUMERICOID => How::Numeric,
                pg_sys::TEXTOID | pg_sys::VARCHAROID | pg_sys::BPCHAROID => How::Text,
                pg_sys::NAMEOID => How::Name,
                pg_sys::UUIDOID => How::Uuid,
                base @ (pg_sys::DATEOID | pg_sys::TIMESTAMPOID | pg_sys::TIMESTAMPTZOID) => How::DateTime(base),
                pg_sys::JSONBOID => How::Jsonb,
                _ => How::Other(to_jsonb(attribute, &memory)),
            };
            list.push(Column {
                name: CStr::from_ptr(attribute.attname.data.as_ptr()).to_string_lossy().into_owned(),
                index,
                how,
                by_value: attribute.attbyval,
                length: attribute.attlen,
                type_oid: attribute.atttypid,
            });
        }
    }
    Columns { list, _memory: memory }
}

/// # Safety
/// The descriptor is valid, and has that many attributes.
unsafe fn attribute(descriptor: pg_sys::TupleDesc, index: usize) -> *const pg_sys::FormData_pg_attribute {
    // SAFETY: by the contract above.
    unsafe {
        #[cfg(not(feature = "pg18"))]
        return (*descriptor).attrs.as_ptr().add(index);
        #[cfg(feature = "pg18")]
        return pg_sys::TupleDescAttr(descriptor, index as c_int);
    }
}

/// `to_jsonb()` as if it were called with an argument of the attribute's type.
///
/// # Safety
/// Within a transaction.
unsafe fn to_jsonb(attribute: &pg_sys::FormData_pg_attribute, memory: &Memory) -> *mut pg_sys::FmgrInfo {
    memory.within(|| {
        // SAFETY: everything is allocated in `memory`, which outlives what is returned; the nodes are what
        // PostgreSQL asks a polymorphic function's argument type of.
        unsafe {
            let function = pg_sys::palloc0(size_of::<pg_sys::FmgrInfo>()).cast::<pg_sys::FmgrInfo>();
            pg_sys::fmgr_info_cxt(pg_sys::F_TO_JSONB.into(), function, pg_sys::CurrentMemoryContext);
            let argument = pg_sys::makeConst(
                attribute.atttypid,
                -1,
                attribute.attcollation,
                attribute.attlen.into(),
                pg_sys::Datum::null(),
                true,
                attribute.attbyval,
            );
            (*function).fn_expr = pg_sys::makeFuncExpr(
                pg_sys::F_TO_JSONB.into(),
                pg_sys::JSONBOID,
                pg_sys::lappend(std::ptr::null_mut(), argument.cast()),
                pg_sys::InvalidOid,
                pg_sys::InvalidOid,
                pg_sys::CoercionForm::COERCE_EXPLICIT_CALL,
            )
            .cast();
            function
        }
    })
}

/// Some columns of a table, as the keys of an object.
#[derive(Debug)]
pub struct Shape {
    /// Places in the list of columns, in the order of the keys.
    places: Vec<usize>,
    template: Template,
}

impl Shape {
    /// Of the columns at these places.
    pub fn new(columns: &Columns, mut places: Vec<usize>) -> Self {
        places.sort_by(|one, other| jsonb::in_order(&columns.list[*one].name, &columns.list[*other].name));
        let names: Vec<&str> = places.iter().map(|place| columns.list[*place].name.as_str()).collect();
        let template = Template::new(&names);
        Self { places, template }
    }

    /// Appends the row as an object. Returns false for one that is too large. What is allocated on the way is left
    /// in the current memory context.
    pub fn write(&self, columns: &Columns, row: Row<'_>, out: &mut Vec<u8>) -> bool {
        self.push_all(columns, row, &mut self.template.begin(out), |_| {})
    }

    /// As `write`. Where columns hold JSON's null, which looks like NULL, the object has a key more, the empty string,
    /// with their names: no column has that name.
    pub fn write_exactly(&self, columns: &Columns, row: Row<'_>, out: &mut Vec<u8>) -> bool {
        let (start, mut nulls) = (out.len(), Vec::new());
        let fits = self.push_all(columns, row, &mut self.template.begin(out), |name| nulls.push(name));
        if nulls.is_empty() || !fits {
            return fits;
        }
        out.truncate(start);
        let names = self.places.iter().map(|place| columns.list[*place].name.as_str());
        let keys: Vec<&str> = std::iter::once("").chain(names).collect();
        let template = Template::new(&keys);
        let mut object = template.begin(out);
        object.push(Value::Container(&jsonb::strings(&nulls)));
        self.push_all(columns, row, &mut object, |_| {})
    }

    /// Tells which columns hold JSON's null.
    fn push_all<'a>(
        &self,
        columns: &'a Columns,
        row: Row<'_>,
        object: &mut jsonb::Writer<'_>,
        mut is_null: impl FnMut(&'a str),
    ) -> bool {
        for place in &self.places {
            let column = &columns.list[*place];
            match row.get(column) {
                None => object.push(Value::Null),
                Some(datum) => {
                    // SAFETY: the row is of the table that the columns are of.
                    unsafe { push(object, column, datum) }
                    if object.was_null() {
                        is_null(&column.name);
                    }
                }
            }
        }
        object.fits()
    }
}

/// # Safety
/// `datum` is a value of the column.
unsafe fn push(object: &mut jsonb::Writer<'_>, column: &Column, datum: pg_sys::Datum) {
    // SAFETY: by the contract above, and the types' representations; what the functions return is in the current
    // memory context.
    unsafe {
        let number = match column.how {
            How::Bool => return object.push(Value::Bool(datum.value() as u8 != 0)),
            How::Int2 => i64::from(datum.value() as i16),
            How::Int4 => i64::from(datum.value() as i32),
            How::Int8 => datum.value() as i64,
            How::Numeric => {
                let numeric = pg_sys::pg_detoast_datum(datum.cast_mut_ptr());
                return object.push(if is_special(numeric) {
                    Value::String(special(numeric).to_bytes())
                } else {
                    Value::Numeric(whole(numeric))
                });
            }
            How::Text => return object.push(Value::String(Bytes::of(datum).as_slice())),
            How::Name => return object.push(Value::String(CStr::from_ptr(datum.cast_mut_ptr::<c_char>()).to_bytes())),
            How::Uuid => {
                let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
                let id = uuid::Uuid::from_bytes(*datum.cast_mut_ptr::<[u8; 16]>());
                return object.push(Value::String(id.hyphenated().encode_lower(&mut text).as_bytes()));
            }
            How::DateTime(base) => {
                let mut text = [0 as c_char; pg_sys::MAXDATELEN as usize + 1];
                pg_sys::JsonEncodeDateTime(text.as_mut_ptr(), datum, base, std::ptr::null());
                return object.push(Value::String(CStr::from_ptr(text.as_ptr()).to_bytes()));
            }
            How::Jsonb => {
                let jsonb = pg_sys::pg_detoast_datum(datum.cast_mut_ptr());
                return object.push(jsonb::value(&whole(jsonb)[pg_sys::VARHDRSZ..]));
            }
            How::Other(function) => {
                let made = pg_sys::FunctionCall1Coll(function, pg_sys::InvalidOid, datum);
                let jsonb = pg_sys::pg_detoast_datum(made.cast_mut_ptr());
                return object.push(jsonb::value(&whole(jsonb)[pg_sys::VARHDRSZ..]));
            }
        };
        object.push(Value::Numeric(whole(pg_sys::int64_to_numeric(number).cast())));
    }
}

/// A varlena with a four-byte header, header included.
///
/// # Safety
/// It is one, and stays as long as what is returned.
unsafe fn whole<'a>(value: *const pg_sys::varlena) -> &'a [u8] {
    // SAFETY: by the contract above.
    unsafe { std::slice::from_raw_parts(value.cast(), pgrx::varsize_4b(value)) }
}

/// Whether a number is infinite or not a number: it has no digits, but two bits of its header set.
///
/// # Safety
/// As for `whole`, of a numeric.
unsafe fn is_special(numeric: *const pg_sys::varlena) -> bool {
    // SAFETY: by the contract above; every numeric has a header of two bytes.
    unsafe {
        whole(numeric).get(4..6).is_some_and(|header| u16::from_ne_bytes([header[0], header[1]]) & 0xc000 == 0xc000)
    }
}

/// # Safety
/// As for `is_special`.
unsafe fn special<'a>(numeric: *mut pg_sys::varlena) -> &'a CStr {
    // SAFETY: the function takes a numeric and returns a palloc'd string.
    unsafe {
        let text = pg_sys::OidOutputFunctionCall(pg_sys::F_NUMERIC_OUT.into(), pg_sys::Datum::from(numeric));
        CStr::from_ptr(text)
    }
}

/// The content of a varlena, wherever it lies.
struct Bytes(*mut pg_sys::varlena);

impl Bytes {
    /// # Safety
    /// `datum` is a varlena.
    unsafe fn of(datum: pg_sys::Datum) -> Self {
        let value = datum.cast_mut_ptr::<pg_sys::varlena>();
        // SAFETY: by the contract above.
        unsafe {
            let plain = pgrx::varatt_is_4b_u(value) || pgrx::varatt_is_1b(value) && !pgrx::varatt_is_1b_e(value);
            Self(if plain { value } else { pg_sys::pg_detoast_datum_packed(value) })
        }
    }

    fn as_slice(&self) -> &[u8] {
        // SAFETY: a varlena that is neither compressed nor elsewhere; it lives as long as the row.
        unsafe { std::slice::from_raw_parts(pgrx::vardata_any(self.0).cast(), pgrx::varsize_any_exhdr(self.0)) }
    }
}

/// Whether two rows differ in a column, to the last bit of what is stored.
pub fn differs(column: &Column, one: Row<'_>, other: Row<'_>) -> bool {
    let (one, other) = match (one.get(column), other.get(column)) {
        (None, None) => return false,
        (Some(one), Some(other)) => (one, other),
        _ => return true,
    };
    if column.by_value {
        return one.value() != other.value();
    }
    // SAFETY: both are values of the column, of its representation.
    unsafe {
        let bytes = |datum: pg_sys::Datum, length: usize| {
            std::slice::from_raw_parts(datum.cast_mut_ptr::<u8>().cast_const(), length)
        };
        match column.length {
            -1 => {
                let length = |datum: pg_sys::Datum| pgrx::varsize_any(datum.cast_mut_ptr());
                bytes(one, length(one)) != bytes(other, length(other))
                    && Bytes::of(one).as_slice() != Bytes::of(other).as_slice()
            }
            -2 => CStr::from_ptr(one.cast_mut_ptr::<c_char>()) != CStr::from_ptr(other.cast_mut_ptr::<c_char>()),
            length => bytes(one, length as usize) != bytes(other, length as usize),
        }
    }
}

unsafe extern "C" {
    #[link_name = "bytea_output"]
    static mut BYTEA_OUTPUT: c_int;
}

/// Settings of the session that change how values are written, so that they could not be read back exactly, are
/// set aside until this is dropped. Dates in JSON don't depend on them.
pub struct ExactOutput([c_int; 4]);

impl ExactOutput {
    #[must_use]
    pub fn begin() -> Self {
        // SAFETY: variables of this backend.
        unsafe {
            let before = [pg_sys::extra_float_digits, pg_sys::IntervalStyle, pg_sys::DateStyle, BYTEA_OUTPUT];
            // The shortest that reads back exactly; INTSTYLE_POSTGRES, USE_ISO_DATES, BYTEA_OUTPUT_HEX.
            pg_sys::extra_float_digits = 1;
            pg_sys::IntervalStyle = 0;
            pg_sys::DateStyle = 1;
            BYTEA_OUTPUT = 1;
            Self(before)
        }
    }
}

impl Drop for ExactOutput {
    fn drop(&mut self) {
        // SAFETY: gives back what was read.
        unsafe {
            [pg_sys::extra_float_digits, pg_sys::IntervalStyle, pg_sys::DateStyle, BYTEA_OUTPUT] = self.0;
        }
    }
}

/// The names of the columns that an index is over.
///
/// # Safety
/// The relation is open, and the index is one of its.
pub unsafe fn key_columns(relation: pg_sys::Relation, index: pg_sys::Oid) -> Vec<String> {
    // SAFETY: by the contract above; the index is open while its row is read, which has as many keys as it says.
    unsafe {
        let lock = pg_sys::AccessShareLock as pg_sys::LOCKMODE;
        let opened = pg_sys::index_open(index, lock);
        let form = (*opened).rd_index;
        let keys = std::slice::from_raw_parts((*form).indkey.values.as_ptr(), (*form).indnkeyatts as usize);
        let names = keys
            .iter()
            .filter_map(|number| usize::try_from(*number - 1).ok())
            .map(|place| {
                let name = (*attribute((*relation).rd_att, place)).attname.data.as_ptr();
                CStr::from_ptr(name).to_string_lossy().into_owned()
            })
            .collect();
        pg_sys::index_close(opened, lock);
        names
    }
}
