//! PostgreSQL's lists.

use pgrx::pg_sys;

/// The elements of a list of pointers.
///
/// # Safety
/// `list` is NULL or a valid list of pointers to `T`, and stays as it is while the iterator lives.
pub unsafe fn elements<T>(list: *mut pg_sys::List) -> impl ExactSizeIterator<Item = *mut T> {
    // SAFETY: by the contract above; a list has as many elements as it says.
    unsafe {
        let length = if list.is_null() { 0 } else { (*list).length as usize };
        (0..length).map(move |index| (*(*list).elements.add(index)).ptr_value.cast())
    }
}

/// The element of a list of pointers that is its only one.
///
/// # Safety
/// As for `elements`.
pub unsafe fn only<T>(list: *mut pg_sys::List) -> Option<*mut T> {
    // SAFETY: passed on to the caller.
    let mut elements = unsafe { elements(list) };
    elements.next().filter(|_| elements.len() == 0)
}

/// The number that is the only one in a list of integers.
///
/// # Safety
/// `list` is NULL or a valid list of integers.
pub unsafe fn only_integer(list: *mut pg_sys::List) -> Option<i32> {
    // SAFETY: by the contract above; a list has as many elements as it says.
    unsafe { (!list.is_null() && (*list).length == 1).then(|| (*(*list).elements).int_value) }
}
