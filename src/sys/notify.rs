//! NOTIFY.

use pgrx::pg_sys;
use std::ffi::{CString, c_char};

/// Tells those who listen on the channel, when the transaction commits. Text that holds a zero byte is not told.
pub fn on_commit(channel: &str, payload: &str) {
    unsafe extern "C-unwind" {
        #[link_name = "Async_Notify"]
        fn async_notify(channel: *const c_char, payload: *const c_char);
    }
    if let (Ok(channel), Ok(payload)) = (CString::new(channel), CString::new(payload)) {
        // SAFETY: both strings outlive the call, which copies them; in a transaction. An error is caught at the boundary.
        unsafe { pg_sys::ffi::pg_guard_ffi_boundary(|| async_notify(channel.as_ptr(), payload.as_ptr())) }
    }
}
