//! What PostgREST says of the request, in `request.jwt.claims`, for roles whose access says that it is to be believed. It has
//! verified the token; whoever else can run statements by such a role can say the same.
//!
//! The setting is not ours, so nobody tells of its changes: before each statement it is compared with what was read of it.

use super::resolve::to_any;
use super::{cache, hot};
use crate::catalog::access::{self, Mode};
use crate::catalog::tenants;
use crate::error::Result;
use crate::jwt;
use crate::sys::flag::Flag;
use crate::sys::{option, role};
use crate::tenant::TenantRef;
use std::cell::RefCell;
use std::ffi::CStr;

const SETTING: &CStr = c"request.jwt.claims";

/// Whom a request is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub tenant: String,
    pub user: Option<String>,
}

thread_local! {
    /// What was read last, and what it says.
    static LAST: RefCell<(String, Option<Request>)> = const { RefCell::new((String::new(), None)) };
}

/// Whom the request is of, where the role is one of mode `claims`.
pub fn in_force() -> Option<Request> {
    let request = read(&text())?;
    is_believed(&request.tenant).unwrap_or(false).then_some(request)
}

fn text() -> String {
    option::get(SETTING).unwrap_or_default()
}

/// Whether the context that was resolved last would be another one by other claims.
const WATCHED: Flag = Flag::ClaimsWatched;

/// The context has been resolved by what the request says, or for want of it; or by something that comes before it.
pub fn watch(counts: bool) {
    WATCHED.set(counts);
}

/// Whether `have_changed` has anything to look at.
fn is_watched() -> bool {
    WATCHED.get() && hot::is_resolved()
}

/// Whether the request says another thing than what the context was resolved by.
pub fn have_changed() -> bool {
    is_watched() && LAST.with_borrow(|(known, _)| *known != text())
}

fn read(text: &str) -> Option<Request> {
    LAST.with_borrow_mut(|(known, request)| {
        if known != text {
            *request = jwt::claimed(text).map(|(tenant, user)| Request { tenant, user });
            text.clone_into(known);
        }
        request.clone()
    })
}

fn is_believed(tenant: &str) -> Result<bool> {
    let role = role::outer();
    // Nothing else may drop what is known of the role, as long as it has no context; nor is it dropped here, since somebody may be
    // about to keep what he has read before that.
    let any = if cache::is_stale() { access::to_any(role)? } else { to_any(role)? };
    if any.mode() == Some(Mode::Claims) {
        return Ok(true);
    }
    match tenants::find(&TenantRef::parse(tenant)?)? {
        Some(tenant) => Ok(access::to_tenant(role, tenant.id)?.mode() == Some(Mode::Claims)),
        None => Ok(false),
    }
}
