//! Arrays in the form in which PostgreSQL functions return them, built once and handed out by pointer.

use super::datum;
use pgrx::pg_sys;
use uuid::Uuid;

/// Bytes before the elements of an array of one dimension without NULLs.
const HEADER: usize = 24;

/// An array of one dimension without NULLs; empty it has no dimension, as PostgreSQL has it.
#[derive(Debug, PartialEq, Eq)]
pub struct ArrayImage(Box<[u64]>);

impl ArrayImage {
    pub fn of_uuids(ids: &[Uuid]) -> Self {
        Self::new(pg_sys::UUIDOID, ids.len(), &ids.iter().flat_map(|id| *id.as_bytes()).collect::<Vec<u8>>())
    }

    pub fn of_texts<'a>(texts: impl ExactSizeIterator<Item = &'a str>) -> Self {
        let count = texts.len();
        let mut elements = Vec::new();
        for text in texts {
            // Each is a varlena with a four-byte header, and begins at a multiple of four.
            elements.resize(elements.len().next_multiple_of(4), 0);
            let start = elements.len();
            let size = pg_sys::VARHDRSZ + text.len();
            elements.resize(start + pg_sys::VARHDRSZ, 0);
            // SAFETY: the header's four bytes are there; nothing else is written.
            unsafe { pgrx::set_varsize_4b(elements.as_mut_ptr().add(start).cast(), size as i32) };
            elements.extend_from_slice(text.as_bytes());
        }
        Self::new(pg_sys::TEXTOID, count, &elements)
    }

    pub fn of_numbers(numbers: &[i64]) -> Self {
        let elements: Vec<u8> = numbers.iter().flat_map(|number| number.to_ne_bytes()).collect();
        Self::new(pg_sys::INT8OID, numbers.len(), &elements)
    }

    fn new(element_type: pg_sys::Oid, count: usize, elements: &[u8]) -> Self {
        let header = if count == 0 { size_of::<pg_sys::ArrayType>() } else { HEADER };
        let size = header + elements.len();
        let mut words = vec![0u64; size.div_ceil(8)].into_boxed_slice();
        let start = words.as_mut_ptr().cast::<u8>();
        // SAFETY: the buffer has at least `size` bytes and the alignment that an array needs. After the array's own
        // fields come the length of its one dimension and the number of its first element, where it has one.
        unsafe {
            let array = start.cast::<pg_sys::ArrayType>();
            pgrx::set_varsize_4b(array.cast(), size as i32);
            (*array).ndim = i32::from(count > 0);
            (*array).dataoffset = 0;
            (*array).elemtype = element_type;
            if count > 0 {
                let dimension = start.add(size_of::<pg_sys::ArrayType>()).cast::<i32>();
                dimension.write(count as i32);
                dimension.add(1).write(1);
            }
            std::ptr::copy_nonoverlapping(elements.as_ptr(), start.add(header), elements.len());
        }
        Self(words)
    }

    /// The elements of an array of uuids.
    pub fn uuids(&self) -> impl Iterator<Item = &[u8]> {
        self.elements().chunks_exact(size_of::<Uuid>()).take(self.count())
    }

    /// The elements of an array of texts.
    pub fn texts(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.elements();
        (0..self.count()).map_while(move |_| {
            let header = rest.first_chunk::<{ pg_sys::VARHDRSZ }>()?;
            // SAFETY: reads the four bytes of a varlena's header, which `of_texts` has written.
            let size = unsafe { pgrx::varsize_4b(header.as_ptr().cast()) };
            let text = rest.get(pg_sys::VARHDRSZ..size)?;
            rest = rest.get(size.next_multiple_of(4)..).unwrap_or_default();
            Some(text)
        })
    }

    /// What follows the header, up to the end of the last word.
    fn elements(&self) -> &[u8] {
        // SAFETY: the words are there as long as `self`, and each of their bytes is written.
        let bytes = unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast::<u8>(), size_of_val(&*self.0)) };
        bytes.get(HEADER..).unwrap_or_default()
    }

    fn count(&self) -> usize {
        // SAFETY: the words begin with an array's own fields, and have HEADER bytes where it has a dimension, whose length
        // is the first of what follows them.
        unsafe {
            let array = self.0.as_ptr().cast::<pg_sys::ArrayType>();
            if (*array).ndim == 0 { 0 } else { *array.add(1).cast::<i32>() as usize }
        }
    }

    /// Valid as long as `self` lives.
    pub fn datum(&self) -> pg_sys::Datum {
        pg_sys::Datum::from(self.0.as_ptr())
    }
}

/// A copy of such an array in the current memory context.
pub fn copy(value: pg_sys::Datum) -> pg_sys::Datum {
    // SAFETY: the datum is that of an `ArrayImage` that is still there: a pointer to a varlena.
    unsafe { datum::copy_varlena(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(array: &ArrayImage) -> Vec<u8> {
        array.0.iter().flat_map(|word| word.to_ne_bytes()).collect()
    }

    #[test]
    fn elements_follow_the_header_each_at_its_place() {
        let ids = [Uuid::from_u128(1), Uuid::from_u128(2)];
        let array = bytes(&ArrayImage::of_uuids(&ids));
        assert_eq!(array.len(), HEADER + 32);
        assert_eq!(array[HEADER..HEADER + 16], *ids[0].as_bytes());
        let array = bytes(&ArrayImage::of_texts(["a", "bcde"].into_iter()));
        assert_eq!((array[HEADER + 4], &array[HEADER + 12..HEADER + 16]), (b'a', &b"bcde"[..]));
        let array = bytes(&ArrayImage::of_numbers(&[7, -1]));
        assert_eq!(array[HEADER + 8..], (-1i64).to_ne_bytes());
    }

    #[test]
    fn elements_are_read_as_they_were_written() {
        let ids = [Uuid::from_u128(1), Uuid::from_u128(2)];
        assert_eq!(ArrayImage::of_uuids(&ids).uuids().collect::<Vec<_>>(), ids.each_ref().map(|id| &id.as_bytes()[..]));
        for texts in [&["a", "bcde", "", "fg"][..], &["xyz"], &[]] {
            let array = ArrayImage::of_texts(texts.iter().copied());
            assert_eq!(array.texts().collect::<Vec<_>>(), texts.iter().map(|text| text.as_bytes()).collect::<Vec<_>>());
        }
        assert_eq!(ArrayImage::of_uuids(&[]).uuids().count(), 0);
    }

    #[test]
    fn an_empty_array_has_no_dimension() {
        assert_eq!(bytes(&ArrayImage::of_numbers(&[]))[4..8], [0; 4]);
    }
}
