//! What PostgreSQL does for a foreign key, and what is called on its way.
//!
//! It runs a statement of its own as the owner of the table that it touches, exempt from forced row security; and
//! so would all be that hangs on that table. A trigger function loses the exemption here, for as long as it runs. What
//! else is called (in a CHECK, or a default) keeps it, and is told from PostgreSQL's own statement by being inside of it.
//! Triggers AFTER come later, fired by the statement that the client sent, and without the exemption; since PostgreSQL 18 as the
//! role that was current when they were set off, which may be an owner that bypasses row security anyway.

use crate::sys::backend::BackendCell;
use crate::sys::flag::Unsettled;
use crate::sys::{invalidation, role, xact};
use pgrx::pg_sys;
use std::cell::RefCell;

unsafe extern "C-unwind" {
    /// Declared here, past pgrx's guard, because it is asked with each statement: it reads a variable.
    #[link_name = "InNoForceRLSOperation"]
    fn in_no_force_operation() -> bool;
    /// Asked with each look-up of a function, which has just found it.
    #[link_name = "get_func_rettype"]
    fn return_type(function: pg_sys::Oid) -> pg_sys::Oid;
    #[link_name = "GetUserIdAndSecContext"]
    fn get_security(user: *mut pg_sys::Oid, flags: *mut i32);
    #[link_name = "SetUserIdAndSecContext"]
    fn set_security(user: pg_sys::Oid, flags: i32);
}

const EXEMPT: i32 = pg_sys::SECURITY_NOFORCE_RLS as i32;

/// How deep in savepoints PostgreSQL's own statement began to run that code is inside of; 0 for none.
static INSIDE: Unsettled<i32> = Unsettled::new(0);

/// As whom PostgreSQL called the trigger function that is running on the way; invalid for none, and for a SECURITY DEFINER
/// function, whose owner was chosen for it.
static CALLED_AS: BackendCell<pg_sys::Oid> = BackendCell::new(pg_sys::InvalidOid);

/// As whom PostgreSQL last changed rows for a foreign key in this transaction; invalid for none.
static CHANGED_AS: Unsettled<pg_sys::Oid> = Unsettled::new(pg_sys::InvalidOid);

/// What was so before a trigger function was called.
struct Call {
    was_exempt: bool,
    inside: i32,
    called_as: pg_sys::Oid,
}

thread_local! {
    /// The trigger functions that are running, the innermost last.
    static CALLS: RefCell<Vec<Call>> = const { RefCell::new(Vec::new()) };
}

#[derive(Clone, Copy)]
struct Previous {
    needs: pg_sys::needs_fmgr_hook_type,
    hook: pg_sys::fmgr_hook_type,
}

static PREVIOUS: BackendCell<Previous> = BackendCell::new(Previous { needs: None, hook: None });

/// How a statement stands to what PostgreSQL does for a foreign key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// It has nothing to do with that.
    Elsewhere,
    /// It may be PostgreSQL's own.
    Own,
    /// It is on the way, and exempt from forced row security.
    Exempt,
    /// It is a trigger function's on the way, called as that role. Forced row security holds.
    CalledAs(pg_sys::Oid),
}

/// Where the statement stands that is about to be run.
#[inline]
pub fn way() -> Way {
    // SAFETY: reads a variable of this backend.
    let exempt = unsafe { in_no_force_operation() };
    match (exempt, INSIDE.get(), CALLED_AS.get()) {
        (true, 0, _) => Way::Own,
        (true, ..) => Way::Exempt,
        (false, _, pg_sys::InvalidOid) => Way::Elsewhere,
        (false, _, role) => Way::CalledAs(role),
    }
}

/// A plan begins to run. Returns whether `ended` is to be called after it.
///
/// # Safety
/// `query` is the descriptor of a started query.
#[inline]
pub unsafe fn begins(query: *mut pg_sys::QueryDesc) -> bool {
    // SAFETY: reads a variable of this backend.
    let outermost = INSIDE.get() == 0 && unsafe { in_no_force_operation() };
    if outermost {
        INSIDE.set(xact::nest_level());
        // SAFETY: by the contract above.
        if unsafe { (*query).operation } != pg_sys::CmdType::CMD_SELECT {
            CHANGED_AS.set(role::current());
        }
    }
    outermost
}

/// It has run without an error.
#[inline]
pub fn ended() {
    INSIDE.reset(0);
}

/// An error has ended what began in the savepoint of that level, or in one within. Can't fail.
pub fn rolled_back(level: i32) {
    if INSIDE.get() >= level {
        INSIDE.reset(0);
    }
}

/// The transaction has ended. Can't fail.
pub fn transaction_ended() {
    INSIDE.reset(0);
    CHANGED_AS.reset(pg_sys::InvalidOid);
}

/// The function that was last found not to be one of triggers; invalid when that may have changed. Policies have one
/// looked up with each statement.
static PLAIN: BackendCell<pg_sys::Oid> = BackendCell::new(pg_sys::InvalidOid);

/// Whether it is a trigger function of a user's.
///
/// # Safety
/// The function exists.
unsafe fn is_for_triggers(function: pg_sys::Oid) -> bool {
    if function.to_u32() < pg_sys::FirstNormalObjectId || PLAIN.get() == function {
        return false;
    }
    // SAFETY: by the contract above.
    let is_one = unsafe { return_type(function) } == pg_sys::TRIGGEROID;
    if !is_one {
        PLAIN.set(function);
    }
    is_one
}

/// Whether calls of the function go by way of `called`: trigger functions of users, which no planner inlines.
unsafe extern "C-unwind" fn is_watched(function: pg_sys::Oid) -> bool {
    // SAFETY: called by PostgreSQL with a function that it has just looked up.
    unsafe { is_for_triggers(function) || PREVIOUS.get().needs.is_some_and(|previous| previous(function)) }
}

unsafe extern "C-unwind" fn called(
    event: pg_sys::FmgrHookEventType::Type,
    function: *mut pg_sys::FmgrInfo,
    private: *mut pg_sys::Datum,
) {
    // SAFETY: called by PostgreSQL, arguments are passed on as they came.
    unsafe {
        if let Some(previous) = PREVIOUS.get().hook {
            previous(event, function, private);
        }
        if !is_for_triggers((*function).fn_oid) {
            return;
        }
    }
    match event {
        pg_sys::FmgrHookEventType::FHET_START => enter(function),
        pg_sys::FmgrHookEventType::FHET_END => leave(false),
        _ => leave(true),
    }
}

fn enter(function: *mut pg_sys::FmgrInfo) {
    let (mut user, mut flags) = (pg_sys::InvalidOid, 0);
    // SAFETY: writes the two values of this backend.
    unsafe { get_security(&mut user, &mut flags) };
    let was_exempt = flags & EXEMPT != 0;
    let before = Call { was_exempt, inside: INSIDE.get(), called_as: CALLED_AS.get() };
    CALLS.with_borrow_mut(|calls| calls.push(before));
    if was_exempt {
        // SAFETY: the same user, and less that he may. An error restores what was before the (sub)transaction that it
        // ends, and the end of the call what was before the call.
        unsafe { set_security(user, flags & !EXEMPT) };
        INSIDE.reset(0);
    }
    // AFTER it: what another SECURITY DEFINER function of the same owner sets off meanwhile can't be told apart.
    let is_late = cfg!(feature = "pg18") && user == CHANGED_AS.get() && role::is_changed_locally();
    if was_exempt || is_late {
        CALLED_AS.set(if is_security_definer(function) { pg_sys::InvalidOid } else { user });
    }
}

/// PostgreSQL has taken a SECURITY DEFINER function's role off again when the call ended, but not after an error.
fn leave(by_error: bool) {
    let Some(before) = CALLS.with_borrow_mut(Vec::pop) else { return };
    INSIDE.set(before.inside);
    CALLED_AS.set(before.called_as);
    if before.was_exempt && !by_error {
        let (mut user, mut flags) = (pg_sys::InvalidOid, 0);
        // SAFETY: gives back what `enter` took, to the user who has it.
        unsafe {
            get_security(&mut user, &mut flags);
            set_security(user, flags | EXEMPT);
        }
    }
}

fn is_security_definer(function: *mut pg_sys::FmgrInfo) -> bool {
    // SAFETY: the function is being called; a valid cache tuple holds a pg_proc row, and is released before returning.
    unsafe {
        let key = pg_sys::Datum::from((*function).fn_oid);
        let tuple = pg_sys::SearchSysCache1(pg_sys::SysCacheIdentifier::PROCOID as i32, key);
        if tuple.is_null() {
            return false;
        }
        let is = (*pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_proc>()).prosecdef;
        pg_sys::ReleaseSysCache(tuple);
        is
    }
}

/// Puts the hooks in front of those that are there. Called once per backend.
pub fn install() {
    invalidation::on_function(|| PLAIN.set(pg_sys::InvalidOid));
    // SAFETY: the hook variables are this backend's own, and only set while the library loads.
    unsafe {
        PREVIOUS.set(Previous { needs: pg_sys::needs_fmgr_hook, hook: pg_sys::fmgr_hook });
        pg_sys::needs_fmgr_hook = Some(is_watched);
        pg_sys::fmgr_hook = Some(called);
    }
}
