//! The hook that PostgreSQL calls with the tables of a statement, once it has found that the user has
//! the privileges: before a plan is run, and before COPY.

use crate::error::Result;
use crate::sys::backend::BackendCell;
use crate::sys::flag::Unsettled;
use crate::sys::key_action::{self, Way};
use crate::sys::list::elements;
use crate::sys::{hooks, relation, role, xact};
use pgrx::pg_sys;

/// What to ask about each table that a statement touches.
#[derive(Clone, Copy)]
pub struct Checks {
    /// Whether there is nothing to check about the table for that role; asked with each statement. Can't fail.
    pub passes: fn(pg_sys::Oid, pg_sys::Oid) -> bool,
    /// The check: the table, and the role whose privileges count.
    pub touched: fn(pg_sys::Oid, pg_sys::Oid) -> Result<()>,
    /// Before that, where a statement that is on the way of what PostgreSQL does for a foreign key would go past row
    /// security.
    pub touched_on_the_way: fn(pg_sys::Oid, pg_sys::Oid) -> Result<()>,
}

static CHECKS: BackendCell<Option<Checks>> = BackendCell::new(None);
static PREVIOUS: BackendCell<pg_sys::ExecutorCheckPerms_hook_type> = BackendCell::new(None);

/// The tables of the check of a new foreign key that is about to run, of which PostgreSQL has just asked whether they
/// may be read at once.
static EXPECTED: Unsettled<[pg_sys::Oid; 2]> = Unsettled::new([pg_sys::InvalidOid; 2]);

/// An error has ended whatever statement was running. Can't fail.
pub fn rolled_back() {
    EXPECTED.reset([pg_sys::InvalidOid; 2]);
}

/// Whether PostgreSQL itself asks, for a foreign key: it does so as the table's owner, exempt from forced row security.
fn is_foreign_key(table: pg_sys::Oid, role: pg_sys::Oid) -> bool {
    // SAFETY: reads the backend's security context.
    let unforced = unsafe { pg_sys::InNoForceRLSOperation() };
    unforced && relation::brief(table).is_ok_and(|brief| brief.owner == role)
}

/// Asks about the tables of a statement, each with the role whose privileges count, or an invalid OID for the current
/// user. Returns false where the caller wants to be told instead of an error.
///
/// # Safety
/// As for `hooks::guarded`.
#[inline]
unsafe fn may_touch(tables: impl Iterator<Item = (pg_sys::Oid, pg_sys::Oid)>, raises: bool) -> bool {
    let Some(checks) = CHECKS.get() else { return true };
    let expected = EXPECTED.reset([pg_sys::InvalidOid; 2]);
    // First, since DDL of the extension's own is asked about nothing before it comes to this.
    if !raises {
        let mut asked = [pg_sys::InvalidOid; 2];
        asked.iter_mut().zip(tables).for_each(|(asked, (table, _))| *asked = table);
        EXPECTED.set(asked);
        return true;
    }
    if hooks::is_own_statement() || xact::in_parallel_worker() {
        return true;
    }
    let way = key_action::way();
    for (table, given) in tables {
        let role = if given == pg_sys::InvalidOid { role::current() } else { given };
        let is_on_the_way = match way {
            Way::Elsewhere => false,
            // A rule's, or a view's, where the role is given.
            Way::Own => given != pg_sys::InvalidOid,
            Way::Exempt => true,
            Way::CalledAs(owner) => role == owner && role::bypasses(owner),
        };
        if is_on_the_way {
            // SAFETY: passed on to the caller.
            unsafe {
                pg_sys::panic::pgrx_extern_c_guard(|| {
                    if let Err(error) = (checks.touched_on_the_way)(table, role) {
                        hooks::raise(error);
                    }
                });
            }
        }
        if expected.contains(&table) || (checks.passes)(table, role) {
            continue;
        }
        // SAFETY: passed on to the caller.
        unsafe {
            pg_sys::panic::pgrx_extern_c_guard(|| {
                if !is_foreign_key(table, role)
                    && let Err(error) = (checks.touched)(table, role)
                {
                    hooks::raise(error);
                }
            });
        }
    }
    true
}

#[cfg(feature = "pg15")]
#[cfg_attr(target_os = "linux", unsafe(link_section = ".text.hot"))]
unsafe extern "C-unwind" fn check_permissions(tables: *mut pg_sys::List, raises: bool) -> bool {
    // SAFETY: called by PostgreSQL with the range table, a list of RangeTblEntry, or NULL; nothing here
    // needs dropping.
    unsafe {
        let touched = elements::<pg_sys::RangeTblEntry>(tables)
            .map(|entry| &*entry)
            .filter(|entry| entry.rtekind == pg_sys::RTEKind::RTE_RELATION && entry.requiredPerms != 0);
        may_touch(touched.map(|entry| (entry.relid, entry.checkAsUser)), raises)
            && PREVIOUS.get().is_none_or(|previous| previous(tables, raises))
    }
}

#[cfg(not(feature = "pg15"))]
#[cfg_attr(target_os = "linux", unsafe(link_section = ".text.hot"))]
unsafe extern "C-unwind" fn check_permissions(
    tables: *mut pg_sys::List,
    permissions: *mut pg_sys::List,
    raises: bool,
) -> bool {
    // SAFETY: called by PostgreSQL with a list of RTEPermissionInfo, or NULL; nothing here needs dropping.
    unsafe {
        let touched = elements::<pg_sys::RTEPermissionInfo>(permissions)
            .map(|entry| &*entry)
            .filter(|entry| entry.requiredPerms != 0);
        may_touch(touched.map(|entry| (entry.relid, entry.checkAsUser)), raises)
            && PREVIOUS.get().is_none_or(|previous| previous(tables, permissions, raises))
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
