//! Values in the form in which PostgreSQL functions return them, built once and handed out by pointer.

use pgrx::pg_sys;
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
