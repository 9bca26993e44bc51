//! Cache invalidation: how one session learns at once that another changed the registry.

use pgrx::pg_sys;

unsafe extern "C-unwind" fn relation_changed(arg: pg_sys::Datum, relation: pg_sys::Oid) {
    // SAFETY: `arg` is the `fn(Oid)` that `on_relation` registered, and nothing else.
    let on_relation: fn(pg_sys::Oid) = unsafe { std::mem::transmute(arg.value()) };
    on_relation(relation);
}

unsafe extern "C-unwind" fn cache_changed(arg: pg_sys::Datum, _cache: i32, _hash: u32) {
    // SAFETY: `arg` is the `fn()` that `on_caches` registered, and nothing else.
    let changed: fn() = unsafe { std::mem::transmute(arg.value()) };
    changed();
}

fn on_caches(caches: &[pg_sys::SysCacheIdentifier::Type], changed: fn()) {
    for cache in caches {
        // SAFETY: the callback has the signature that PostgreSQL asks for, raises no error, and lives as
        // long as the library, which is never unloaded.
        unsafe {
            let arg = pg_sys::Datum::from(changed as usize);
            pg_sys::CacheRegisterSyscacheCallback(*cache as _, Some(cache_changed), arg)
        }
    }
}

/// Calls `changed` with each relation that changed (an invalid OID: any may have). It is called in the
/// middle of other work: it may set flags, drop what it keeps, and nothing more.
pub fn on_relation(changed: fn(pg_sys::Oid)) {
    // SAFETY: the callback has the signature that PostgreSQL asks for, raises no error, and lives as
    // long as the library, which is never unloaded.
    unsafe { pg_sys::CacheRegisterRelcacheCallback(Some(relation_changed), pg_sys::Datum::from(changed as usize)) }
}

/// Calls `changed` when a role, a membership or a database's owner changed; as for `on_relation`.
pub fn on_role(changed: fn()) {
    use pg_sys::SysCacheIdentifier::*;
    on_caches(&[AUTHOID, AUTHMEMROLEMEM, DATABASEOID], changed);
}

/// Calls `changed` when a function changed; as for `on_relation`.
pub fn on_function(changed: fn()) {
    on_caches(&[pg_sys::SysCacheIdentifier::PROCOID], changed);
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
