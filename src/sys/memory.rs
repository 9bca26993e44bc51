//! Memory contexts: what is allocated together and freed at once.

use pgrx::pg_sys;
use std::ffi::CStr;

/// A context of our own, freed with all that is in it when this is dropped.
#[derive(Debug)]
pub struct Memory(pg_sys::MemoryContext);

impl Memory {
    /// One that lasts as long as this does.
    pub fn for_session(name: &'static CStr) -> Self {
        // SAFETY: the top context lives as long as the process.
        unsafe { Self::under(pg_sys::TopMemoryContext, name) }
    }

    /// # Safety
    /// `parent` outlives what is returned.
    unsafe fn under(parent: pg_sys::MemoryContext, name: &'static CStr) -> Self {
        // SAFETY: by the contract above; the name is a constant.
        Self(unsafe {
            pg_sys::AllocSetContextCreateInternal(
                parent,
                name.as_ptr(),
                pg_sys::ALLOCSET_SMALL_MINSIZE as usize,
                pg_sys::ALLOCSET_SMALL_INITSIZE as usize,
                pg_sys::ALLOCSET_DEFAULT_MAXSIZE as usize,
            )
        })
    }

    /// Runs `work` with this as the current context.
    pub fn within<T>(&self, work: impl FnOnce() -> T) -> T {
        struct Restore(pg_sys::MemoryContext);
        impl Drop for Restore {
            fn drop(&mut self) {
                // SAFETY: the context was current before.
                unsafe { pg_sys::CurrentMemoryContext = self.0 }
            }
        }
        // SAFETY: the context is valid as long as this lives.
        let _before = unsafe { Restore(pg_sys::MemoryContextSwitchTo(self.0)) };
        work()
    }

    /// Frees what is in it.
    pub fn reset(&self) {
        // SAFETY: the context is valid, and nobody keeps what is in it: each user copies what he hands out.
        unsafe { pg_sys::MemoryContextReset(self.0) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: a child of the top context, which no end of a transaction frees; it is not the current one, since
        // `within` puts that back.
        unsafe { pg_sys::MemoryContextDelete(self.0) }
    }
}
