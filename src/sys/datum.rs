//! Values in the form in which PostgreSQL functions return them, built once and handed out by pointer.

use pgrx::datum::DatumWithOid;
use pgrx::{AnyArray, IntoDatum, pg_sys};
use uuid::Uuid;

/// A `uuid` value; its datum is a pointer to the 16 bytes.
#[derive(Debug)]
pub struct UuidImage(Box<[u8; 16]>);

impl UuidImage {
    pub fn new(id: Uuid) -> Self {
        Self(Box::new(*id.as_bytes()))
    }

    /// Valid as long as `self` lives.
    pub fn datum(&self) -> pg_sys::Datum {
        pg_sys::Datum::from(self.0.as_ptr())
    }
}

/// A `text` value with an uncompressed four-byte header.
#[derive(Debug)]
pub struct TextImage(Box<[u32]>);

impl TextImage {
    pub fn new(text: &str) -> Self {
        let size = pg_sys::VARHDRSZ + text.len();
        let mut words = vec![0u32; size.div_ceil(4)].into_boxed_slice();
        let start = words.as_mut_ptr().cast::<u8>();
        // SAFETY: the buffer has at least `size` bytes and the alignment that a varlena header
        // needs; source and target do not overlap.
        unsafe {
            pgrx::set_varsize_4b(start.cast(), size as i32);
            std::ptr::copy_nonoverlapping(text.as_ptr(), start.add(pg_sys::VARHDRSZ), text.len());
        }
        Self(words)
    }

    /// Valid as long as `self` lives.
    pub fn datum(&self) -> pg_sys::Datum {
        pg_sys::Datum::from(self.0.as_ptr())
    }
}

/// A copy of a `uuid` datum in the current memory context.
pub fn copy_uuid(value: pg_sys::Datum) -> pg_sys::Datum {
    // SAFETY: the datum is that of a `UuidImage` that is still there: a pointer to 16 bytes.
    unsafe { copy(value, 16) }
}

/// A copy of a `text` datum in the current memory context.
pub fn copy_text(value: pg_sys::Datum) -> pg_sys::Datum {
    // SAFETY: the datum is that of a `TextImage` that is still there: a pointer to a varlena.
    unsafe { copy(value, pgrx::varsize_any(value.cast_mut_ptr())) }
}

/// A copy of a varlena in the current memory context.
///
/// # Safety
/// The datum is a pointer to one, with all of its bytes.
pub unsafe fn copy_varlena(value: pg_sys::Datum) -> pg_sys::Datum {
    // SAFETY: by the contract above.
    unsafe { copy(value, pgrx::varsize_any(value.cast_mut_ptr())) }
}

/// # Safety
/// `value` points to `size` bytes.
unsafe fn copy(value: pg_sys::Datum, size: usize) -> pg_sys::Datum {
    // SAFETY: by the contract above; palloc gives `size` bytes, or raises an error.
    unsafe {
        let target = pg_sys::palloc(size).cast::<u8>();
        std::ptr::copy_nonoverlapping(value.cast_mut_ptr::<u8>(), target, size);
        pg_sys::Datum::from(target)
    }
}

/// A datum that is passed on as it is.
struct Passed(pg_sys::Datum);

impl IntoDatum for Passed {
    fn into_datum(self) -> Option<pg_sys::Datum> {
        Some(self.0)
    }

    fn type_oid() -> pg_sys::Oid {
        pg_sys::InvalidOid
    }
}

/// A datum as the argument of a query.
///
/// # Safety
/// It is no NULL, of that type, and lives as long as what is returned.
pub unsafe fn argument<'a>(value: pg_sys::Datum, type_oid: pg_sys::Oid) -> DatumWithOid<'a> {
    // SAFETY: by the contract above.
    unsafe { DatumWithOid::new(Passed(value), type_oid) }
}

/// How many dimensions an array has; 0 when it is empty.
pub fn dimensions(array: &AnyArray) -> i32 {
    // SAFETY: the datum is that of an array, and not NULL; where it has to be unpacked, the copy is in the current memory context.
    unsafe {
        let array = pg_sys::pg_detoast_datum(array.datum().cast_mut_ptr());
        (*array.cast::<pg_sys::ArrayType>()).ndim
    }
}
