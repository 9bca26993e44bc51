//! The hook that PostgreSQL calls with the tables of a statement, once it has found that the user has
//! the privileges: before a plan is run, and before COPY.

use crate::error::Result;
use crate::sys::backend::BackendCell;
use crate::sys::{hooks, role, xact};
use pgrx::pg_sys;

/// What to ask about each table that a statement touches.
#[derive(Clone, Copy)]
pub struct Checks {
    /// Whether there is nothing to check about the table for that role; asked with each statement. Can't fail.
    pub passes: fn(pg_sys::Oid, pg_sys::Oid) -> bool,
    /// The check: the table, and the role whose privileges count.
    pub touched: fn(pg_sys::Oid, pg_sys::Oid) -> Result<()>,
}

static CHECKS: BackendCell<Option<Checks>> = BackendCell::new(None);
static PREVIOUS: BackendCell<pg_sys::ExecutorCheckPerms_hook_type> = BackendCell::new(None);

/// Up while ALTER TABLE runs: checking a new foreign key reads tables, and nothing of it gets out.
static ALTERING: BackendCell<bool> = BackendCell::new(false);

/// ALTER TABLE begins or ends. Returns what was before.
pub fn set_altering(altering: bool) -> bool {
    ALTERING.replace(altering)
}

/// An error has ended whatever statement was running. Can't fail.
pub fn rolled_back() {
    ALTERING.set(false);
}

/// Whether touching a table means nothing here: another process or statement was asked already, or
/// PostgreSQL keeps its own promises, as foreign keys.
fn is_exempt() -> bool {
    // SAFETY: reads flags of this backend.
    unsafe {
        hooks::is_internal()
            || ALTERING.get()
            || xact::in_parallel_worker()
            || pg_sys::InNoForceRLSOperation()
            || pg_sys::MyBackendType == pg_sys::BackendType::B_AUTOVAC_WORKER
    }
}

/// Asks about one table. False refuses it without an error, where the caller wants to be told so.
///
/// # Safety
/// As for `hooks::guarded`.
#[inline]
unsafe fn ask(checks: Checks, relation: pg_sys::Oid, role: pg_sys::Oid, raises: bool) -> bool {
    let role = if role == pg_sys::InvalidOid { role::current() } else { role };
    if (checks.passes)(relation, role) || is_exempt() {
        return true;
    }
    // SAFETY: passed on to the caller.
    unsafe {
        pg_sys::panic::pgrx_extern_c_guard(|| match (checks.touched)(relation, role) {
            Ok(()) => true,
            Err(error) => {
                if raises {
                    hooks::raise(error);
                }
                false
            }
        })
    }
}

#[cfg(feature = "pg15")]
unsafe extern "C-unwind" fn check_permissions(tables: *mut pg_sys::List, raises: bool) -> bool {
    // SAFETY: called by PostgreSQL with the range table, a list of RangeTblEntry, or NULL; nothing here
    // needs dropping.
    unsafe {
        if let Some(checks) = CHECKS.get() {
            for entry in elements::<pg_sys::RangeTblEntry>(tables) {
                let (entry, table) = (&*entry, pg_sys::RTEKind::RTE_RELATION);
                if entry.rtekind == table
                    && entry.requiredPerms != 0
                    && !ask(checks, entry.relid, entry.checkAsUser, raises)
                {
                    return false;
                }
            }
        }
        PREVIOUS.get().is_none_or(|previous| previous(tables, raises))
    }
}

#[cfg(not(feature = "pg15"))]
unsafe extern "C-unwind" fn check_permissions(
    tables: *mut pg_sys::List,
    permissions: *mut pg_sys::List,
    raises: bool,
) -> bool {
    // SAFETY: called by PostgreSQL with a list of RTEPermissionInfo, or NULL; nothing here needs dropping.
    unsafe {
        if let Some(checks) = CHECKS.get() {
            for entry in elements::<pg_sys::RTEPermissionInfo>(permissions) {
                let entry = &*entry;
                if entry.requiredPerms != 0 && !ask(checks, entry.relid, entry.checkAsUser, raises) {
                    return false;
                }
            }
        }
        PREVIOUS.get().is_none_or(|previous| previous(tables, permissions, raises))
    }
}

/// The elements of a list of pointers.
///
/// # Safety
/// `list` is NULL or a valid list of pointers to `T`, and stays as it is while the iterator lives.
unsafe fn elements<T>(list: *mut pg_sys::List) -> impl Iterator<Item = *mut T> {
    // SAFETY: by the contract above; a list has as many elements as it says.
    unsafe {
        let length = if list.is_null() { 0 } else { (*list).length as usize };
        (0..length).map(move |index| (*(*list).elements.add(index)).ptr_value.cast())
    }
}

/// Puts the hook in front of the one that is there. Called once per backend.
pub fn install(checks: Checks) {
    CHECKS.set(Some(checks));
    // SAFETY: the hook variable is this backend's own, and only set while the library loads.
    unsafe {
        PREVIOUS.set(pg_sys::ExecutorCheckPerms_hook);
        pg_sys::ExecutorCheckPerms_hook = Some(check_permissions);
    }
}
