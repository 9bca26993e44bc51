//! Cache invalidation: how one session learns at once that another changed the registry.

use crate::sys::backend::BackendCell;
use pgrx::pg_sys;

type OnRelation = fn(pg_sys::Oid);

fn ignore(_: pg_sys::Oid) {}
static ON_RELATION: BackendCell<OnRelation> = BackendCell::new(ignore);
static ON_ROLE: BackendCell<fn()> = BackendCell::new(|| {});

unsafe extern "C-unwind" fn relation_changed(_arg: pg_sys::Datum, relation: pg_sys::Oid) {
    ON_RELATION.get()(relation);
}

unsafe extern "C-unwind" fn role_changed(_arg: pg_sys::Datum, _cache: i32, _hash: u32) {
    ON_ROLE.get()();
}

/// Calls `on_relation` with each relation that changed (an invalid OID: any may have), and
/// `on_role` when a role, a membership or a database's owner did. Both are called in the middle of other work:
/// they may set flags and nothing more.
pub fn subscribe(on_relation: OnRelation, on_role: fn()) {
    ON_RELATION.set(on_relation);
    ON_ROLE.set(on_role);
    // SAFETY: the callbacks have the signatures that PostgreSQL asks for, raise no error, and live
    // as long as the library, which is never unloaded.
    unsafe {
        let none = pg_sys::Datum::from(0usize);
        pg_sys::CacheRegisterRelcacheCallback(Some(relation_changed), none);
        for cache in [
            pg_sys::SysCacheIdentifier::AUTHOID,
            pg_sys::SysCacheIdentifier::AUTHMEMROLEMEM,
            pg_sys::SysCacheIdentifier::DATABASEOID,
        ] {
            pg_sys::CacheRegisterSyscacheCallback(cache as _, Some(role_changed), none);
        }
    }
}

/// Tells every session, this one included, that the relation changed: here at the next command,
/// elsewhere when this transaction has committed. It reaches hot standbys through the WAL.
pub fn announce(relation: pg_sys::Oid) {
    // SAFETY: queues a message in the current transaction.
    unsafe { pg_sys::CacheInvalidateRelcacheByRelid(relation) }
}

/// Takes in what other sessions have announced. Cheap when there is nothing: one shared read.
pub fn accept() {
    // SAFETY: what PostgreSQL itself does whenever it takes a lock; needs a transaction, which
    // every caller is in.
    unsafe { pg_sys::AcceptInvalidationMessages() }
}
