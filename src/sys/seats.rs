//! Which tenant each session counts for, in memory that all sessions share: one seat for each process that there may be.

use crate::sys::backend::BackendCell;
use crate::sys::session;
use crate::sys::shared::{self, Lock, Memory, Region};
use pgrx::pg_sys;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use uuid::Uuid;

/// Whose a seat is, and what its session counts for. Read and written under the lock, hence in no order of their own.
#[repr(C)]
struct Seat {
    /// 0 while it counts for nobody.
    database: AtomicU32,
    tenant: [AtomicU64; 2],
}

#[derive(Clone, Copy)]
struct Room {
    lock: Lock,
    seats: &'static [Seat],
}

static ROOM: BackendCell<Option<Room>> = BackendCell::new(None);

/// Asks for memory. To be called once, while the library loads.
pub fn init() {
    shared::reserve(Region { name: c"pg_tenancy sessions", size, locks: 1, attach });
}

fn size() -> usize {
    shared::max_processes() * size_of::<Seat>()
}

fn attach(memory: &Memory) {
    let Some(lock) = memory.lock(0) else { return };
    // SAFETY: the memory has the size that was asked for and is zero: atomics of any value are valid.
    let seats = unsafe { std::slice::from_raw_parts(memory.start.cast::<Seat>(), shared::max_processes()) };
    // After a crash everybody is gone.
    seats.iter().for_each(Seat::clear);
    ROOM.set(Some(Room { lock, seats }));
}

impl Seat {
    fn clear(&self) {
        self.database.store(0, Ordering::Relaxed);
    }

    fn is_of(&self, database: u32, tenant: [u64; 2]) -> bool {
        self.database.load(Ordering::Relaxed) == database
            && self.tenant.each_ref().map(|word| word.load(Ordering::Relaxed)) == tenant
    }
}

fn count(seats: &[Seat], database: u32, tenant: [u64; 2]) -> i64 {
    seats.iter().filter(|seat| seat.is_of(database, tenant)).count() as i64
}

fn words(tenant: Uuid) -> [u64; 2] {
    let (high, low) = tenant.as_u64_pair();
    [high, low]
}

/// How many sessions count for a tenant of this database.
pub fn taken(tenant: Uuid) -> Option<i64> {
    let room = ROOM.get()?;
    let _held = room.lock.share();
    Some(count(room.seats, session::database().to_u32(), words(tenant)))
}

/// What came of asking for a seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The session counts for the tenant, as one of so many.
    Taken(i64),
    /// So many do, and there are no more.
    Full(i64),
    /// There are no seats.
    NoSeats,
}

/// Has this session count for a tenant of this database, and for none else, unless as many do as there may be.
pub fn take(tenant: Uuid, max: Option<i64>) -> Outcome {
    let Some(room) = ROOM.get() else { return Outcome::NoSeats };
    let Some(own) = shared::own_place().and_then(|place| room.seats.get(place)) else { return Outcome::NoSeats };
    leave_at_exit();
    let (database, tenant) = (session::database().to_u32(), words(tenant));
    let _held = room.lock.hold();
    let others = count(room.seats, database, tenant);
    if own.is_of(database, tenant) {
        return Outcome::Taken(others);
    }
    if max.is_some_and(|max| others >= max) {
        return Outcome::Full(others);
    }
    own.database.store(database, Ordering::Relaxed);
    for (place, word) in own.tenant.iter().zip(tenant) {
        place.store(word, Ordering::Relaxed);
    }
    Outcome::Taken(others + 1)
}

/// This session counts for nobody.
pub fn leave() {
    if let Some(room) = ROOM.get()
        && let Some(own) = shared::own_place().and_then(|place| room.seats.get(place))
    {
        let _held = room.lock.hold();
        own.clear();
    }
}

/// The seat passes to another process. One that is killed has no time for this; then the server begins anew.
fn leave_at_exit() {
    static REGISTERED: BackendCell<bool> = BackendCell::new(false);
    unsafe extern "C-unwind" fn at_exit(_code: i32, _arg: pg_sys::Datum) {
        leave();
    }
    if !REGISTERED.replace(true) {
        // SAFETY: the callback has the signature that PostgreSQL asks for, and the library stays loaded. It comes after
        // the last transaction has ended, and before the process gives up its place.
        unsafe { pg_sys::on_shmem_exit(Some(at_exit), pg_sys::Datum::from(0usize)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seat(database: u32, tenant: u64) -> Seat {
        Seat { database: AtomicU32::new(database), tenant: [AtomicU64::new(0), AtomicU64::new(tenant)] }
    }

    #[test]
    fn only_sessions_of_the_tenant_in_its_database_count() {
        let seats = [seat(5, 1), seat(5, 2), seat(6, 1), seat(5, 1), seat(0, 1)];
        assert_eq!(count(&seats, 5, [0, 1]), 2);
        assert_eq!(count(&seats, 6, [0, 1]), 1);
        seats[0].clear();
        assert_eq!(count(&seats, 5, [0, 1]), 1);
    }
}
