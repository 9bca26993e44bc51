//! What policies read once per row: the resolved context, as datums ready to be returned.

use super::cache::Tenant;
use crate::sys::backend::BackendCell;
use crate::sys::fmgr::Nullable;
use crate::sys::{Datum, INVALID_OID, Oid, role};

/// The context as last resolved. It holds for `role` alone, and for no role once forgotten.
#[derive(Clone, Copy)]
struct Hot {
    role: Oid,
    id: Nullable,
    key: Nullable,
    number: Nullable,
}

const UNRESOLVED: Hot = Hot { role: INVALID_OID, id: None, key: None, number: None };

static HOT: BackendCell<Hot> = BackendCell::new(UNRESOLVED);

/// Marks the context as unresolved. Can't fail.
pub fn forget() {
    HOT.set(UNRESOLVED);
}

/// Remembers what `role` acts for. The datums point into `tenant`, which the cache keeps until the
/// transaction has ended.
pub fn remember(role: Oid, tenant: Option<&Tenant>) {
    HOT.set(Hot {
        role,
        id: tenant.map(Tenant::id_datum),
        key: tenant.map(Tenant::key_datum),
        number: tenant.and_then(|tenant| tenant.number).map(Datum::from),
    });
}

#[inline(always)]
fn read(value: impl Fn(&Hot) -> Nullable) -> Option<Nullable> {
    let hot = HOT.get();
    (hot.role == role::outer()).then(|| value(&hot))
}

/// The tenant's id as a `uuid` datum; `None` while unresolved.
#[inline(always)]
pub fn current_id() -> Option<Nullable> {
    read(|hot| hot.id)
}

/// The tenant's key as a `text` datum; `None` while unresolved.
#[inline(always)]
pub fn current_key() -> Option<Nullable> {
    read(|hot| hot.key)
}

/// The tenant's key as a `bigint` datum, when it is a number; `None` while unresolved.
#[inline(always)]
pub fn current_number() -> Option<Nullable> {
    read(|hot| hot.number)
}
