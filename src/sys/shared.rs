//! Memory that all sessions share, and locks on it. It can be asked for only while the library is preloaded.

use crate::sys::backend::BackendCell;
use pgrx::pg_sys;
use std::ffi::{CStr, c_int};

/// A piece of shared memory that is wanted.
#[derive(Clone, Copy)]
pub struct Region {
    pub name: &'static CStr,
    /// How many bytes; asked for once the server knows how many sessions there may be.
    pub size: fn() -> usize,
    pub locks: u16,
    /// Is given the memory, in the server's first process: the others inherit what is made of it.
    pub attach: fn(&Memory),
}

/// Memory of the size that was asked for, aligned to a cache line, which stays as long as the process lives. It is fresh
/// memory of the operating system's, zero.
pub struct Memory {
    pub start: *mut u8,
    /// Nobody has seen it before.
    pub is_new: bool,
    first_lock: *mut pg_sys::LWLockPadded,
    locks: u16,
}

impl Memory {
    /// One of the locks that were asked for.
    pub fn lock(&self, number: u16) -> Option<Lock> {
        // SAFETY: PostgreSQL keeps so many locks there, one after the other.
        (number < self.locks).then(|| Lock(unsafe { &raw mut (*self.first_lock.add(number.into())).lock }))
    }
}

/// A lightweight lock: held for a moment, while nothing can fail.
#[derive(Clone, Copy)]
pub struct Lock(*mut pg_sys::LWLock);

/// PostgreSQL's own functions, past pgrx's guard: they run at each statement of a tenant. What they could raise is that a
/// session holds two hundred locks; here it holds one.
mod raw {
    use super::*;
    unsafe extern "C-unwind" {
        #[link_name = "LWLockAcquire"]
        pub fn acquire(lock: *mut pg_sys::LWLock, mode: pg_sys::LWLockMode::Type) -> bool;
        #[link_name = "LWLockRelease"]
        pub fn release(lock: *mut pg_sys::LWLock);
    }
}

/// A lock that is held until this is dropped.
#[must_use]
pub struct Held(*mut pg_sys::LWLock);

impl Lock {
    /// Others may hold it in the same way.
    pub fn share(self) -> Held {
        self.take(pg_sys::LWLockMode::LW_SHARED)
    }

    /// Nobody else holds it.
    pub fn hold(self) -> Held {
        self.take(pg_sys::LWLockMode::LW_EXCLUSIVE)
    }

    fn take(self, mode: pg_sys::LWLockMode::Type) -> Held {
        // SAFETY: a lock of the server's; no session takes one of ours while it holds another.
        unsafe { raw::acquire(self.0, mode) };
        Held(self.0)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // SAFETY: it is held.
        unsafe { raw::release(self.0) }
    }
}

/// As many as there are users of shared memory.
const MAX_REGIONS: usize = 8;

static REGIONS: BackendCell<[Option<Region>; MAX_REGIONS]> = BackendCell::new([None; MAX_REGIONS]);
static PREVIOUS: BackendCell<(pg_sys::shmem_request_hook_type, pg_sys::shmem_startup_hook_type)> =
    BackendCell::new((None, None));

/// Asks for memory. Returns false, and does nothing, unless the library is being preloaded.
pub fn reserve(region: Region) -> bool {
    // SAFETY: reads a flag of this process; the hook variables are only set while libraries are preloaded.
    unsafe {
        if !pg_sys::process_shared_preload_libraries_in_progress {
            return false;
        }
        let mut regions = REGIONS.get();
        let Some(place) = regions.iter().position(Option::is_none) else { return false };
        if place == 0 {
            PREVIOUS.set((pg_sys::shmem_request_hook, pg_sys::shmem_startup_hook));
            pg_sys::shmem_request_hook = Some(request);
            pg_sys::shmem_startup_hook = Some(startup);
        }
        regions[place] = Some(region);
        REGIONS.set(regions);
    }
    true
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn request() {
    // SAFETY: PostgreSQL calls this when memory and locks may be asked for.
    unsafe {
        if let Some(previous) = PREVIOUS.get().0 {
            previous();
        }
        for region in REGIONS.get().iter().flatten() {
            pg_sys::RequestAddinShmemSpace((region.size)());
            if region.locks > 0 {
                pg_sys::RequestNamedLWLockTranche(region.name.as_ptr(), c_int::from(region.locks));
            }
        }
    }
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn startup() {
    // SAFETY: PostgreSQL calls this in the postmaster, before there is another process; those inherit the mapping.
    unsafe {
        if let Some(previous) = PREVIOUS.get().1 {
            previous();
        }
        for region in REGIONS.get().iter().flatten() {
            let mut found = false;
            let start = pg_sys::ShmemInitStruct(region.name.as_ptr(), (region.size)(), &mut found);
            let first_lock = match region.locks {
                0 => std::ptr::null_mut(),
                _ => pg_sys::GetNamedLWLockTranche(region.name.as_ptr()),
            };
            (region.attach)(&Memory { start: start.cast(), is_new: !found, first_lock, locks: region.locks });
        }
    }
}

/// How many sessions and other processes there may be.
pub fn max_processes() -> usize {
    // SAFETY: a variable of the server's, set before memory is asked for.
    usize::try_from(unsafe { pg_sys::MaxBackends }).unwrap_or(0)
}

/// This process's place among them, which passes to another one when it has ended.
pub fn own_place() -> Option<usize> {
    // SAFETY: variables of this process; a process that may use shared memory has a place.
    #[cfg(any(feature = "pg15", feature = "pg16"))]
    let place = unsafe { if pg_sys::MyProc.is_null() { -1 } else { (*pg_sys::MyProc).pgprocno } };
    // SAFETY: as above.
    #[cfg(not(any(feature = "pg15", feature = "pg16")))]
    let place = unsafe { pg_sys::MyProcNumber };
    usize::try_from(place).ok()
}
