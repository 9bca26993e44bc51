//! What policies read once per row: the resolved context, as datums ready to be returned.

use super::cache::Tenant;
use super::{cursors, visible};
use crate::error::Result;
use crate::sys::backend::BackendCell;
use crate::sys::flag::Unsettled;
use crate::sys::fmgr::Nullable;
use crate::sys::{Datum, INVALID_OID, Oid, datum, procedure, role};
use uuid::Uuid;

/// The context as last resolved. It holds for `role` alone, and for no role once forgotten.
#[derive(Clone, Copy)]
struct Hot {
    role: Oid,
    id: Nullable,
    key: Nullable,
    number: Nullable,
}

/// The context as last resolved, whatever the lifetime of its datums.
static CURRENT: Unsettled<Hot> = Unsettled::new(UNRESOLVED);

const UNRESOLVED: Hot = Hot { role: INVALID_OID, id: None, key: None, number: None };

/// The same for the fast path, which hands the datums out as they are.
static HOT: Unsettled<Hot> = Unsettled::new(UNRESOLVED);

/// The current user's standing within the tenant in force; it holds for `role` alone.
#[derive(Clone, Copy)]
struct Standing {
    role: Oid,
    rank: u8,
}

static STANDING: Unsettled<Standing> = Unsettled::new(UNKNOWN);

const UNKNOWN: Standing = Standing { role: INVALID_OID, rank: 0 };

/// The role for which the settings that were read last are those in force.
static SETTINGS_OF: Unsettled<Oid> = Unsettled::new(INVALID_OID);

/// Whom `CURRENT` stands for.
static TENANT: BackendCell<Option<Uuid>> = BackendCell::new(None);

/// Marks the context as unresolved. Can't fail.
pub fn forget() {
    HOT.reset(UNRESOLVED);
    CURRENT.reset(UNRESOLVED);
    visible::forget();
    STANDING.reset(UNKNOWN);
    SETTINGS_OF.reset(INVALID_OID);
}

/// The settings that were read last are those in force for `role`.
pub fn remember_settings(role: Oid) {
    SETTINGS_OF.set(role);
}

/// Whether the settings that were read last are those in force.
pub fn knows_settings() -> bool {
    SETTINGS_OF.get() == role::outer()
}

/// Remembers the rank that the user has in the tenant for which `role` acts; 0 for none.
pub fn remember_rank(role: Oid, rank: u8) {
    STANDING.set(Standing { role, rank });
}

/// The user's rank; `None` while unresolved.
#[inline(always)]
pub fn current_rank() -> Option<u8> {
    let standing = STANDING.get();
    (standing.role == role::outer()).then_some(standing.rank)
}

/// Remembers what `role` acts for. The datums point into `tenant`, which the cache keeps until the
/// transaction has ended. The arguments of a procedure outlive that when the procedure commits: while
/// one runs, the fast path is closed, and the slow one makes copies.
pub fn remember(role: Oid, tenant: Option<&Tenant>) {
    let hot = Hot {
        role,
        id: tenant.map(Tenant::id_datum),
        key: tenant.map(Tenant::key_datum),
        number: tenant.and_then(|tenant| tenant.number).map(Datum::from),
    };
    CURRENT.set(hot);
    visible::forget();
    TENANT.set(tenant.map(|tenant| tenant.id));
    if !procedure::is_running() {
        HOT.set(hot);
    }
}

/// Whether anything was resolved, be it that there is no tenant.
pub fn is_resolved() -> bool {
    CURRENT.get().role != INVALID_OID
}

#[inline(always)]
fn read(cell: &Unsettled<Hot>, value: impl Fn(&Hot) -> Nullable) -> Option<Nullable> {
    let hot = cell.get();
    (hot.role == role::outer()).then(|| value(&hot))
}

/// A procedure begins, and from here on datums are copied; or a cursor's query, which is to be told for whom it reads.
/// Can't fail.
pub fn close_fast_path() {
    HOT.reset(UNRESOLVED);
    visible::forget();
    STANDING.reset(UNKNOWN);
    SETTINGS_OF.reset(INVALID_OID);
}

/// The tenant's id as a `uuid` datum; `None` while unresolved.
#[inline(always)]
pub fn current_id() -> Option<Nullable> {
    read(&HOT, |hot| hot.id)
}

/// The tenant's key as a `text` datum; `None` while unresolved.
#[inline(always)]
pub fn current_key() -> Option<Nullable> {
    read(&HOT, |hot| hot.key)
}

/// The tenant's key as a `bigint` datum, when it is a number; `None` while unresolved.
#[inline(always)]
pub fn current_number() -> Option<Nullable> {
    read(&HOT, |hot| hot.number)
}

/// The tenant's id as a datum of its own.
pub fn copied_id() -> Result<Nullable> {
    Ok(resolved()?.id.map(datum::copy_uuid))
}

/// The tenant's key as a datum of its own.
pub fn copied_key() -> Result<Nullable> {
    Ok(resolved()?.key.map(datum::copy_text))
}

/// The tenant's key as a number; such datums are no pointers.
pub fn copied_number() -> Result<Nullable> {
    Ok(resolved()?.number)
}

/// The tenant's id.
pub fn id() -> Result<Option<Uuid>> {
    resolved()?;
    Ok(TENANT.get())
}

fn resolved() -> Result<Hot> {
    if read(&CURRENT, |hot| hot.id).is_none() || cursors::wants_note() {
        super::resolve()?;
    }
    Ok(CURRENT.get())
}
