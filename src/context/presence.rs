//! For which tenant this session counts, where sessions are limited: from when its context is authorised until it is
//! cleared, and the transaction has ended that used it.

use super::cache::{self, Tenant};
use super::{aside, resolve, token};
use crate::error::{Error, Result};
use crate::guc;
use crate::sys::backend::BackendCell;
use crate::sys::flag::Flag;
use crate::sys::{report, xact};
use crate::tenant::TenantRef;
use std::cell::RefCell;
use std::rc::Rc;
use uuid::Uuid;

/// Who counts.
#[derive(Clone, Copy)]
struct Counter {
    enter: fn(Uuid) -> Result<Option<Vec<Error>>>,
    leave: fn(),
}

static COUNTER: BackendCell<Option<Counter>> = BackendCell::new(None);

thread_local! {
    static PRESENT: RefCell<Option<Rc<Tenant>>> = const { RefCell::new(None) };
}

/// Whether the session counts for somebody; apart, because it is asked by hooks.
const IS_PRESENT: Flag = Flag::TenantPresent;

/// Has `enter` asked when the session takes a tenant, after which it counts for no other one; returns the warnings to give
/// if it counts, and refuses with an error. `leave` is called when it counts for nobody any more, and can't fail.
pub fn count_sessions(enter: fn(Uuid) -> Result<Option<Vec<Error>>>, leave: fn()) {
    COUNTER.set(Some(Counter { enter, leave }));
}

/// The transaction takes this tenant. A worker is no session of its own, nor is what leaves nothing behind.
pub fn take(tenant: &Rc<Tenant>) -> Result<()> {
    let Some(counter) = COUNTER.get() else { return Ok(()) };
    if xact::in_parallel_worker() || aside::is_set() {
        return Ok(());
    }
    if IS_PRESENT.get() && PRESENT.with_borrow(|present| present.as_ref().is_some_and(|one| one.id == tenant.id)) {
        return Ok(());
    }
    match (counter.enter)(tenant.id)? {
        Some(warnings) => {
            PRESENT.set(Some(Rc::clone(tenant)));
            IS_PRESENT.set(true);
            // Only now: when the statement was cancelled, that is an error here.
            warnings.iter().for_each(report::warn);
        }
        None => leave(),
    }
    Ok(())
}

/// The tenant that is set can't be acted for: the session does not go on counting for one that it could act for before,
/// unless the transaction has used it. Can't fail.
pub fn refused() {
    if !cache::is_in_use() && !aside::is_set() {
        leave();
    }
}

fn leave() {
    if IS_PRESENT.replace(false) {
        PRESENT.set(None);
        if let Some(counter) = COUNTER.get() {
            (counter.leave)();
        }
    }
}

fn leave_unless(name: &str) {
    let stays = PRESENT.with_borrow(|present| {
        present
            .as_ref()
            .is_some_and(|tenant| TenantRef::parse(name).is_ok_and(|name| name.names(tenant.id, &tenant.key)))
    });
    if !stays {
        leave();
    }
}

/// The setting names this tenant from here on, or none, and then the default counts. While a transaction uses a tenant, the session counts for it all
/// the same. Can't fail.
pub fn tenant_becomes(name: &str) {
    // Next to a token it counts for nothing by itself.
    if may_leave() && !guc::has_token() {
        if name.is_empty() { leave_unless(&guc::default_tenant()) } else { leave_unless(name) }
    }
}

/// The same of the token. Can't fail.
pub fn token_becomes(token: &str) {
    if token.is_empty() {
        tenant_becomes(&guc::tenant());
    } else if may_leave() {
        leave_unless(&token::named_by(token).unwrap_or_default());
    }
}

fn may_leave() -> bool {
    IS_PRESENT.get() && !cache::is_in_use() && !aside::is_set()
}

/// The top-level transaction has ended, and uses no tenant any more. What was set for the transaction is still set; when
/// that is taken back, `tenant_becomes` and `token_becomes` hear of it. Can't fail.
pub fn transaction_ended() {
    if IS_PRESENT.get() {
        leave_unless(&resolve::lasting_name().unwrap_or_default());
    }
}
