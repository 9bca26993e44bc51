//! What sessions that count hold against each other, until their transactions end: numbers, locked in the name of the slots' table.

use crate::catalog::quotas;
use crate::error::Result;
use crate::sys::backend::BackendCell;
use crate::sys::flag::Flag;
use crate::sys::lock::{self, Mode};
use crate::sys::slots::Key;
use crate::sys::{Oid, xact};

/// What a number stands for.
#[repr(u16)]
#[derive(Clone, Copy)]
enum Part {
    /// How many slots each tenant has of a resource, and what they share.
    AllShares = 0,
    /// The same of one tenant.
    Shares = 1,
    /// Which tables count for a resource.
    Tables = 2,
    /// The history of usage, whose number is none.
    History = 3,
    /// Which limits a plan has, and who subscribes to it.
    Plan = 4,
}

/// Tenants whose shares a transaction locks one by one. One that comes to more locks those of all, if it need not wait for that: the
/// server has room for so many locks in all, and two that wait for each other would be a deadlock.
const MAX_TENANTS: u32 = 1_000;

/// With so many it waits all the same: locks that fill that memory would have anybody's statement fail.
const FAR_TOO_MANY: u32 = 4_000;

/// How many tenants' shares the transaction has locked, at most.
static TENANTS: BackendCell<u32> = BackendCell::new(0);

/// Called once per backend.
pub fn init() {
    xact::on_end(|_| TENANTS.set(0));
}

fn object(number: u32, part: Part, mode: Mode) -> Result<()> {
    lock::object(table()?, number, part as u16, mode);
    Ok(())
}

fn table() -> Result<Oid> {
    Ok(quotas::slots()?.table)
}

/// Numbers that differ mostly; two that are the same wait for each other without need.
fn mixed(bytes: &[u8], seed: u32) -> u32 {
    bytes.chunks(4).fold(seed, |hash, four| {
        hash.rotate_left(5).wrapping_mul(0x9e37_79b1) ^ four.iter().fold(0, |word, byte| word << 8 | u32::from(*byte))
    })
}

fn number(key: &Key) -> u32 {
    mixed(key.tenant.as_bytes(), key.resource as u32)
}

/// Keeps others from making slots of a tenant, and from changing what they share.
pub fn shares(key: &Key) -> Result<()> {
    TENANTS.set(TENANTS.get().saturating_add(1));
    Flag::Unsettled.set(true);
    let all = key.resource as u32;
    if TENANTS.get() > FAR_TOO_MANY {
        return all_shares(key.resource);
    }
    if TENANTS.get() > MAX_TENANTS && lock::try_object(table()?, all, Part::AllShares as u16, Mode::Alone) {
        return Ok(());
    }
    object(all, Part::AllShares, Mode::Shared)?;
    object(number(key), Part::Shares, Mode::Alone)
}

/// As `shares`, of every tenant.
pub fn all_shares(resource: i32) -> Result<()> {
    object(resource as u32, Part::AllShares, Mode::Alone)
}

/// Keeps others from changing what a tenant's slots share, unless somebody does so: whether slots may be made.
pub fn try_shares(key: &Key) -> bool {
    let try_object = |table, number, part| lock::try_object(table, number, part as u16, Mode::Shared);
    table().is_ok_and(|table| {
        try_object(table, key.resource as u32, Part::AllShares) && try_object(table, number(key), Part::Shares)
    })
}

/// Keeps others from attaching, detaching and recounting, while writers go on.
pub fn tables(resource: i32) -> Result<()> {
    object(resource as u32, Part::Tables, Mode::Alone)
}

/// Keeps others from writing the history of usage.
pub fn history() -> Result<()> {
    object(0, Part::History, Mode::Alone)
}

/// Keeps others from changing a plan's limits, and tenants from taking or leaving it.
pub fn plan(name: &str) -> Result<()> {
    object(mixed(name.as_bytes(), 0), Part::Plan, Mode::Alone)
}

/// Keeps others from changing a plan's limits.
pub fn subscription(name: &str) -> Result<()> {
    object(mixed(name.as_bytes(), 0), Part::Plan, Mode::Shared)
}
