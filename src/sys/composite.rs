//! Rows as values, carried from query to query without being written out and read again: that would call what the
//! makers of their types wrote.

use pgrx::datum::DatumWithOid;
use pgrx::{FromDatum, IntoDatum, pg_sys};

/// A row of a table, apart from PostgreSQL's memory.
#[derive(Debug, Clone)]
pub struct Composite {
    image: Box<[u64]>,
    row_type: pg_sys::Oid,
}

impl Composite {
    /// As the argument of a query.
    pub fn as_argument(&self) -> DatumWithOid<'_> {
        // SAFETY: the datum is of that type, and is copied.
        unsafe { DatumWithOid::new(self.clone(), self.row_type) }
    }
}

impl FromDatum for Composite {
    unsafe fn from_polymorphic_datum(value: pg_sys::Datum, is_null: bool, row_type: pg_sys::Oid) -> Option<Self> {
        if is_null {
            return None;
        }
        // SAFETY: the caller passes a row of that type, a varlena in which nothing points elsewhere. It is copied whole,
        // into a buffer that is large enough and aligned as PostgreSQL aligns it.
        unsafe {
            let varlena = pg_sys::pg_detoast_datum(value.cast_mut_ptr());
            let size = pgrx::varsize_4b(varlena);
            let mut image = vec![0u64; size.div_ceil(8)].into_boxed_slice();
            std::ptr::copy_nonoverlapping(varlena.cast::<u8>(), image.as_mut_ptr().cast::<u8>(), size);
            Some(Self { image, row_type })
        }
    }
}

impl IntoDatum for Composite {
    fn into_datum(self) -> Option<pg_sys::Datum> {
        let size = size_of_val(&*self.image);
        // SAFETY: palloc gives as many bytes, or raises an error.
        unsafe {
            let target = pg_sys::palloc(size).cast::<u8>();
            std::ptr::copy_nonoverlapping(self.image.as_ptr().cast::<u8>(), target, size);
            Some(pg_sys::Datum::from(target))
        }
    }

    fn type_oid() -> pg_sys::Oid {
        pg_sys::RECORDOID
    }

    fn is_compatible_with(other: pg_sys::Oid) -> bool {
        // SAFETY: a system cache look-up.
        unsafe { pg_sys::type_is_rowtype(other) }
    }
}
