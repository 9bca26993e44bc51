//! State that belongs to one backend and is read on the hot path.

use pgrx::pg_sys;
use std::cell::UnsafeCell;
use std::ffi::c_long;
use std::time::Duration;

/// A `Copy` value in a static, without the price of thread-local storage.
pub struct BackendCell<T: Copy>(UnsafeCell<T>);

// SAFETY: a PostgreSQL backend runs its SQL on one thread, and pgrx refuses to call into PostgreSQL
// from any other; nothing in this crate starts threads. No reference to the inside ever gets out.
unsafe impl<T: Copy> Sync for BackendCell<T> {}

impl<T: Copy> BackendCell<T> {
    pub const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    #[inline(always)]
    pub fn get(&self) -> T {
        // SAFETY: single-threaded (see above), and a copy is taken, so no alias outlives this line.
        unsafe { *self.0.get() }
    }

    /// Where the value is, for C to read until it is set again.
    pub fn as_ptr(&self) -> *const T {
        self.0.get()
    }

    /// Sets a value and returns the one before.
    #[inline(always)]
    pub fn replace(&self, value: T) -> T {
        let before = self.get();
        self.set(value);
        before
    }

    #[inline(always)]
    pub fn set(&self, value: T) {
        // SAFETY: as for `get`; no reference into the cell exists anywhere.
        unsafe { *self.0.get() = value }
    }
}

impl BackendCell<bool> {
    /// Raises the flag until what is returned is dropped, in whatever way; then it is as it was.
    pub fn raised(&self) -> Raised<'_> {
        Raised { flag: self, before: self.replace(true) }
    }
}

/// A flag that is up while this lives.
#[must_use]
pub struct Raised<'a> {
    flag: &'a BackendCell<bool>,
    before: bool,
}

impl Drop for Raised<'_> {
    fn drop(&mut self) {
        self.flag.set(self.before);
    }
}

/// Lets the statement be cancelled here.
pub fn check_for_interrupts() {
    pgrx::check_for_interrupts!();
}

/// Waits, and lets the statement be cancelled meanwhile.
pub fn pause(time: Duration) {
    wait(time);
    pgrx::check_for_interrupts!();
}

/// Waits; who cancels is heard afterwards. For short times.
pub fn wait(time: Duration) {
    let events = pg_sys::WL_LATCH_SET | pg_sys::WL_TIMEOUT | pg_sys::WL_EXIT_ON_PM_DEATH;
    // SAFETY: waits for this process's own latch and resets it, as loops in PostgreSQL do; who set it for another
    // reason looks at his own condition again, since every wait begins so.
    unsafe {
        pg_sys::WaitLatch(pg_sys::MyLatch, events as i32, time.as_millis() as c_long, pg_sys::PG_WAIT_EXTENSION);
        pg_sys::ResetLatch(pg_sys::MyLatch);
    }
}

/// Keeps Rust backtraces out of the DETAIL that clients see, whatever environment the server was
/// started in. To be called before anything can panic.
pub fn withhold_backtraces() {
    // SAFETY: the process has one thread, so nobody reads the environment meanwhile.
    unsafe { std::env::set_var("RUST_LIB_BACKTRACE", "0") }
}
