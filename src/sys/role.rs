//! Roles: who is asking, and what he may.

use crate::sys::scan::{self, Key};
use pgrx::pg_sys;
use std::ffi::{CStr, CString};

unsafe extern "C-unwind" {
    /// Declared here, past pgrx's guard, because it is called once per row: it reads a variable
    /// and can't raise an error.
    #[link_name = "GetOuterUserId"]
    fn get_outer_user_id() -> pg_sys::Oid;
    /// The same, asked for each table of a statement.
    #[link_name = "GetUserId"]
    fn get_user_id() -> pg_sys::Oid;
}

/// The role that the session acts as: SET ROLE counts, SECURITY DEFINER functions do not.
#[inline(always)]
pub fn outer() -> pg_sys::Oid {
    // SAFETY: reads a backend variable that is set before any SQL runs.
    unsafe { get_outer_user_id() }
}

/// The role that logged in.
pub fn login() -> pg_sys::Oid {
    // SAFETY: reads a backend variable.
    unsafe { pg_sys::GetAuthenticatedUserId() }
}

/// Whether code is running as somebody whom the session did not choose: a SECURITY DEFINER function, for one.
pub fn is_changed_locally() -> bool {
    // SAFETY: reads the backend's security context.
    unsafe { pg_sys::InLocalUserIdChange() }
}

/// The superuser that every cluster has from the start.
pub const FIRST_SUPERUSER: pg_sys::Oid = pg_sys::Oid::from_u32(10);

/// Those who watch the server, `pg_monitor`.
pub const MONITOR: pg_sys::Oid = pg_sys::Oid::from_u32(3373);

/// Whether the role is a superuser.
pub fn is_superuser(role: pg_sys::Oid) -> bool {
    // SAFETY: a syscache look-up; a missing role gives false.
    unsafe { pg_sys::superuser_arg(role) }
}

/// Whether the current user (SECURITY DEFINER counts) is exempt from row security: a superuser, or a
/// role with BYPASSRLS.
pub fn bypasses_row_security() -> bool {
    bypasses(current())
}

/// Whether that role is exempt from row security.
pub fn bypasses(role: pg_sys::Oid) -> bool {
    // SAFETY: a syscache look-up; a missing role gives false.
    unsafe { pg_sys::has_bypassrls_privilege(role) }
}

/// The user whose privileges count now; SECURITY DEFINER counts.
#[inline]
pub fn current() -> pg_sys::Oid {
    // SAFETY: reads a backend variable that is set before any SQL runs.
    unsafe { get_user_id() }
}

/// The user that the session logged in as, or became by SET SESSION AUTHORIZATION.
pub fn session() -> pg_sys::Oid {
    // SAFETY: reads a backend variable.
    unsafe { pg_sys::GetSessionUserId() }
}

/// The role's OID, if it exists.
pub fn oid(name: &str) -> Option<pg_sys::Oid> {
    let name = CString::new(name).ok()?;
    // SAFETY: the string outlives the call; `missing_ok` makes absence an invalid OID.
    let oid = unsafe { pg_sys::get_role_oid(name.as_ptr(), true) };
    (oid != pg_sys::InvalidOid).then_some(oid)
}

/// The role's name, or its number if it has gone.
pub fn name(role: pg_sys::Oid) -> String {
    // SAFETY: with `noerr` a missing role gives NULL; otherwise a palloc'd string.
    unsafe {
        let name = pg_sys::GetUserNameFromId(role, true);
        if name.is_null() { role.to_u32().to_string() } else { CStr::from_ptr(name).to_string_lossy().into_owned() }
    }
}

/// The name as an identifier in SQL text, quoted where it must be.
pub fn quoted(name: &str) -> String {
    pgrx::spi::quote_identifier(name)
}

/// Whether `member` has the privileges of `role`, itself or by inheritance.
pub fn has_privileges_of(member: pg_sys::Oid, role: pg_sys::Oid) -> bool {
    // SAFETY: a look-up in the role membership cache.
    unsafe { pg_sys::has_privs_of_role(member, role) }
}

/// `pg_db_role_setting`: what ALTER ROLE … SET recorded.
pub const SETTINGS: pg_sys::Oid = pg_sys::Oid::from_u32(2964);
const SETTINGS_BY_ROLE: pg_sys::Oid = pg_sys::Oid::from_u32(2965);
const SETTING_DATABASE: i16 = 1;
const SETTING_ROLE: i16 = 2;
const SETTING_TEXTS: usize = 3;

/// The role's own settings, as `name=value`: those for all databases, and those for this one.
pub fn settings(role: pg_sys::Oid) -> Vec<String> {
    let mut settings = Vec::new();
    // SAFETY: reads a variable that is set before any SQL runs.
    for database in [pg_sys::InvalidOid, unsafe { pg_sys::MyDatabaseId }] {
        let keys = [(SETTING_DATABASE, Key::Oid(database)), (SETTING_ROLE, Key::Oid(role))];
        scan::find(SETTINGS, SETTINGS_BY_ROLE, &keys, |row| {
            settings.extend(row.texts(SETTING_TEXTS));
            true
        });
    }
    settings
}

const MEMBERSHIPS: pg_sys::Oid = pg_sys::Oid::from_u32(1261);
const MEMBERSHIPS_BY_MEMBER: pg_sys::Oid = pg_sys::Oid::from_u32(2695);
/// Version 16 gave the rows an OID, in front.
const MEMBER: i16 = if cfg!(feature = "pg15") { 2 } else { 3 };
const GRANTED: usize = if cfg!(feature = "pg15") { 1 } else { 2 };

/// The roles that this one is a direct member of.
pub fn memberships(role: pg_sys::Oid) -> Vec<pg_sys::Oid> {
    let mut granted = Vec::new();
    scan::find(MEMBERSHIPS, MEMBERSHIPS_BY_MEMBER, &[(MEMBER, Key::Oid(role))], |row| {
        granted.extend(row.oid(GRANTED));
        false
    });
    granted
}

/// Runs `work` with the privileges of `role`, whatever the way it ends.
pub fn acting_as<T>(role: pg_sys::Oid, work: impl FnOnce() -> T) -> T {
    switched(role, pg_sys::SECURITY_LOCAL_USERID_CHANGE, work)
}

/// As `acting_as`, for code of that role, which must leave nothing behind that would be run as somebody else.
pub fn acting_restricted<T>(role: pg_sys::Oid, work: impl FnOnce() -> T) -> T {
    switched(role, pg_sys::SECURITY_LOCAL_USERID_CHANGE | pg_sys::SECURITY_RESTRICTED_OPERATION, work)
}

/// Runs `work` with the privileges of the owner of a table, whom its row security doesn't bind even where it is
/// forced. It is how PostgreSQL checks foreign keys: code that hangs on the table runs as its owner, never as
/// whoever asks.
pub fn acting_as_table_owner<T>(owner: pg_sys::Oid, work: impl FnOnce() -> T) -> T {
    let flags =
        pg_sys::SECURITY_LOCAL_USERID_CHANGE | pg_sys::SECURITY_RESTRICTED_OPERATION | pg_sys::SECURITY_NOFORCE_RLS;
    switched(owner, flags, work)
}

/// Runs `work` as the current user, but so that row security does not bind him on the tables that he owns even where
/// it is forced. For what has to hold for all rows, such as the check of a new foreign key.
pub fn unforced<T>(work: impl FnOnce() -> T) -> T {
    switched(current(), pg_sys::SECURITY_LOCAL_USERID_CHANGE | pg_sys::SECURITY_NOFORCE_RLS, work)
}

/// User and security context as they were, given back on drop.
struct Restore(pg_sys::Oid, i32);

impl Restore {
    fn noted() -> Self {
        let mut noted = Self(pg_sys::InvalidOid, 0);
        // SAFETY: writes the two values of this backend.
        unsafe { pg_sys::GetUserIdAndSecContext(&mut noted.0, &mut noted.1) };
        noted
    }
}

impl Drop for Restore {
    fn drop(&mut self) {
        // SAFETY: gives back what was read. When an error unwinds this far, the abort of the (sub)transaction
        // would restore the same values.
        unsafe { pg_sys::SetUserIdAndSecContext(self.0, self.1) }
    }
}

fn switched<T>(role: pg_sys::Oid, flags: u32, work: impl FnOnce() -> T) -> T {
    let saved = Restore::noted();
    // SAFETY: the documented way to run code as another role; SECURITY_LOCAL_USERID_CHANGE keeps that code
    // from changing the role itself.
    unsafe { pg_sys::SetUserIdAndSecContext(role, saved.1 | flags as i32) };
    work()
}

/// Runs `work` as if the session had done SET ROLE: `role` is the current and the outer role. Unlike after
/// SET ROLE, what runs can't get back to the session's own role.
pub fn in_role<T>(role: pg_sys::Oid, work: impl FnOnce() -> T) -> T {
    /// The outer role as it was; invalid where none was set.
    struct RestoreRole {
        user: Restore,
        role: pg_sys::Oid,
        is_superuser: bool,
    }
    impl Drop for RestoreRole {
        fn drop(&mut self) {
            set_outer(self.user.0, self.role, self.is_superuser);
        }
    }
    fn set_outer(user: pg_sys::Oid, role: pg_sys::Oid, is_superuser: bool) {
        // SAFETY: the outer role may be set only without a security context; the caller puts one in place
        // again. PostgreSQL itself calls this in failed transactions, so it raises no error.
        unsafe {
            pg_sys::SetUserIdAndSecContext(user, 0);
            pg_sys::SetCurrentRoleId(role, is_superuser);
        }
    }
    // SAFETY: reads a variable of this backend.
    let before = unsafe { pg_sys::GetCurrentRoleId() };
    let saved = RestoreRole { user: Restore::noted(), role: before, is_superuser: is_superuser(outer()) };
    set_outer(saved.user.0, role, is_superuser(role));
    // SAFETY: as for `switched`.
    unsafe {
        let flags = saved.user.1 | pg_sys::SECURITY_LOCAL_USERID_CHANGE as i32;
        pg_sys::SetUserIdAndSecContext(role, flags);
    }
    work()
}
