//! Who the user is within the tenant: looked up once, then read by policies for each row.

use super::{aside, cache, hot, pin, resolve, seal};
use crate::catalog::access::Grant;
use crate::catalog::members::{self, MAX_USER_CHARS, Role};
use crate::catalog::tenants;
use crate::error::{Error, Result};
use crate::guc;
use crate::sys::backend::BackendCell;
use crate::sys::{invalidation, role};
use crate::tenant::TenantRef;
use std::cell::RefCell;
use std::collections::HashMap;
use uuid::Uuid;

/// Users kept, with their roles or without, at some 1 kB at most each; a miss costs one index look-up.
const CAPACITY: usize = 1024;

#[derive(Default)]
struct Cache {
    roles: HashMap<Uuid, HashMap<Box<str>, Option<Role>>>,
    count: usize,
}

thread_local! {
    static CACHE: RefCell<Cache> = RefCell::default();
}

/// Set by invalidation callbacks, which come in the middle of other work and may do no more.
static STALE: BackendCell<bool> = BackendCell::new(false);

/// No cached membership holds any more. Can't fail.
pub fn discard() {
    STALE.set(true);
}

/// Drops what was invalidated.
pub fn refresh() {
    if STALE.replace(false) {
        CACHE.set(Cache::default());
    }
}

/// Whether something was invalidated since `refresh`.
pub fn is_stale() -> bool {
    STALE.get()
}

fn role_of(tenant: Uuid, user: &str) -> Result<Option<Role>> {
    // Whoever can't be a member is not kept in mind: the text may have any length.
    if user.chars().nth(MAX_USER_CHARS).is_some() {
        return Ok(None);
    }
    // A change may arrive while the table is being read, and is announced only once.
    loop {
        refresh();
        let known = CACHE.with_borrow(|cache| cache.roles.get(&tenant)?.get(user).copied());
        if let Some(known) = known {
            return Ok(known);
        }
        let found = members::role_of(tenant, user)?;
        if is_stale() {
            continue;
        }
        CACHE.with_borrow_mut(|cache| {
            if cache.count >= CAPACITY {
                *cache = Cache::default();
            }
            cache.roles.entry(tenant).or_default().insert(user.into(), found);
            cache.count += 1;
        });
        return Ok(found);
    }
}

/// The current user's role within the tenant.
fn role_of_user(tenant: Uuid) -> Result<Option<Role>> {
    match guc::user_id() {
        Some(user) => role_of(tenant, &user),
        None => Ok(None),
    }
}

/// Whether that user is a member of the tenant; nobody is none.
pub fn is_member_as(tenant: Uuid, user: Option<&str>) -> Result<bool> {
    match user {
        Some(user) => Ok(role_of(tenant, user)?.is_some()),
        None => Ok(false),
    }
}

/// Whether the user has, within the tenant in force, at least the role of that name; `None` where that can't be told without
/// looking, or is an error.
#[inline]
pub fn has_rank(name: &[u8]) -> Option<bool> {
    let rank = hot::current_rank()?;
    Some(rank >= Role::named(name)?.rank())
}

/// Whether the current user has, within the tenant in force, at least the role of that name.
///
/// # Errors
/// 22023 for another name; otherwise as for `resolve`.
pub fn has_role(name: &str) -> Result<bool> {
    let wanted = Role::parse(name)?;
    Ok(rank()? >= wanted.rank())
}

/// The current user's rank within the tenant in force; 0 for none.
fn rank() -> Result<u8> {
    if let Some(rank) = hot::current_rank() {
        return Ok(rank);
    }
    let rank = match hot::id()? {
        Some(tenant) => role_of_user(tenant)?.map_or(0, Role::rank),
        None => 0,
    };
    // What arrives later forgets it, and what has arrived meanwhile has forgotten the context.
    if hot::is_resolved() {
        hot::remember_rank(role::outer(), rank);
    }
    Ok(rank)
}

/// Whether the current user is a member of the tenant in force. Without a tenant nobody is.
///
/// # Errors
/// As for `resolve`.
pub fn is_current_member() -> Result<bool> {
    Ok(rank()? > 0)
}

/// Whether a user is a member of the tenant in force. Without a tenant nobody is.
///
/// # Errors
/// As for `resolve`.
pub fn is_member(user: &str) -> Result<bool> {
    match hot::id()? {
        Some(tenant) => Ok(role_of(tenant, user)?.is_some()),
        None => Ok(false),
    }
}

/// Whether a user is a member of a tenant. Of a tenant that is unknown, not active here, or not the role's to act for, nobody
/// is.
///
/// # Errors
/// 42501 for another tenant than the transaction's or the session's; 22023 malformed name; otherwise as for `resolve`.
pub fn is_member_of(user: &str, tenant: &str) -> Result<bool> {
    match asked_for(user, tenant)? {
        Some(tenant) => Ok(role_of(tenant, user)?.is_some()),
        None => Ok(false),
    }
}

/// The tenant of that name, where the session may ask about this user of it: the one in force, or, while there is none, any
/// for which the role may act. Where it may act for members alone, it may ask about its own user alone.
fn asked_for(user: &str, name: &str) -> Result<Option<Uuid>> {
    let reference = TenantRef::parse(name)?;
    let outer = role::outer();
    let is_superuser = role::is_superuser(outer);
    if !is_superuser {
        seal::check_tenant(name)?;
        if let Some(acting) = resolve::acting()? {
            return if reference.names(acting.id, &acting.key) {
                Ok(Some(acting.id))
            } else {
                Err(Error::SecondTenant)
            };
        }
    }
    invalidation::accept();
    cache::refresh();
    let found = tenants::find(&reference)?;
    if is_superuser {
        return Ok(found.map(|tenant| tenant.id));
    }
    // Before it is told whether there is such a tenant.
    if !pin::admits(found.as_ref()) {
        return Err(Error::SecondTenant);
    }
    let Some(found) = found.filter(|tenant| aside::admits(tenant.id) && resolve::is_served_here(tenant)) else {
        return Ok(None);
    };
    seal::check_resolved(found.id)?;
    let may_ask = match resolve::granted(outer, &found)? {
        Some(Grant::Everybody) => true,
        Some(Grant::Members) => guc::user_id().is_some_and(|own| *own == *user),
        None => false,
    };
    Ok(may_ask.then_some(found.id))
}

/// Whether the tenant is active here, and the role may act for it for some user at least, so that one can become its member.
///
/// # Errors
/// 42501 when the transaction has another tenant, or the session is sealed to one.
pub fn may_join(tenant: Uuid) -> Result<bool> {
    invalidation::accept();
    cache::refresh();
    let Some(found) = tenants::find(&TenantRef::Id(tenant))? else { return Ok(false) };
    let outer = role::outer();
    if role::is_superuser(outer) {
        return Ok(resolve::is_served_here(&found));
    }
    seal::check_resolved(tenant)?;
    if !pin::admits(Some(&found)) {
        return Err(Error::SecondTenant);
    }
    Ok(aside::admits(tenant) && resolve::is_served_here(&found) && resolve::granted(outer, &found)?.is_some())
}
