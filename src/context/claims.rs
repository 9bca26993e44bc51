//! What PostgREST says of the request, in `request.jwt.claims`, for roles whose access says that it is to be believed. It has
//! verified the token; whoever else can run statements by such a role can say the same.
//!
//! The setting is not ours, so nobody tells of its changes: what it says at first use counts for the transaction.

use super::cache;
use super::resolve::to_any;
use crate::catalog::access::{self, Mode};
use crate::catalog::tenants;
use crate::error::Result;
use crate::jwt;
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
    let text = option::get(SETTING).filter(|text| !text.is_empty())?;
    let request = read(&text)?;
    is_believed(&request.tenant).unwrap_or(false).then_some(request)
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
    // Nothing else would drop what is known of the role, as long as it has no context.
    cache::refresh();
    let role = role::outer();
    if to_any(role)?.mode() == Some(Mode::Claims) {
        return Ok(true);
    }
    match tenants::find(&TenantRef::parse(tenant)?)? {
        Some(tenant) => Ok(access::to_tenant(role, tenant.id)?.mode() == Some(Mode::Claims)),
        None => Ok(false),
    }
}
