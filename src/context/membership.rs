//! Who the user is within the tenant: looked up once, then read by policies for each row.

use super::{aside, cache, hot, pin, resolve, seal};
use crate::catalog::members::{self, Role};
use crate::catalog::tenants;
use crate::error::{Error, Result};
use crate::guc;
use crate::sys::backend::BackendCell;
use crate::sys::{invalidation, role};
use crate::tenant::TenantRef;
use std::cell::RefCell;
use std::collections::HashMap;
use uuid::Uuid;

/// Users kept, with their roles or without; a miss costs one index look-up.
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

/// Whether the current user is a member of the tenant.
pub fn user_is_member(tenant: Uuid) -> Result<bool> {
    Ok(role_of_user(tenant)?.is_some())
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
    let Some(tenant) = resolve::acting()? else { return Ok(false) };
    let rank = role_of_user(tenant.id)?.map_or(0, Role::rank);
    // What arrives later forgets it.
    hot::remember_rank(role::outer(), rank);
    Ok(rank >= wanted.rank())
}

/// Whether a user, or the current one, is a member of a tenant, or of the one in force. Without a tenant nobody is.
///
/// # Errors
/// 42501 for another tenant than the transaction's, and for one that is unknown or that the role may not act for; otherwise
/// as for `resolve`.
pub fn is_member(user: Option<&str>, tenant: Option<&str>) -> Result<bool> {
    let tenant = match tenant {
        Some(name) => asked_for(name)?,
        None => match resolve::acting()? {
            Some(tenant) => tenant.id,
            None => return Ok(false),
        },
    };
    Ok(match user {
        Some(user) => role_of(tenant, user)?.is_some(),
        None => user_is_member(tenant)?,
    })
}

/// The tenant of that name, about which the session may ask: the one in force, or, while there is none, any for which the
/// role may act.
fn asked_for(name: &str) -> Result<Uuid> {
    let reference = TenantRef::parse(name)?;
    let outer = role::outer();
    if !role::is_superuser(outer) {
        seal::check_tenant(name)?;
        pin::check(&reference)?;
        if let Some(acting) = resolve::acting()? {
            return if reference.names(acting.id, &acting.key) { Ok(acting.id) } else { Err(Error::SecondTenant) };
        }
    }
    invalidation::accept();
    let refused = || Error::NoSuchTenantOrAccess { tenant: name.into(), role: role::name(outer) };
    let found = tenants::find(&reference)?.ok_or_else(refused)?;
    if may_join(found.id)? { Ok(found.id) } else { Err(refused()) }
}

/// Whether the role may act for the tenant for some user at least, so that one can become its member here.
///
/// # Errors
/// 42501 when the transaction has another tenant, or the session is sealed to one.
pub fn may_join(tenant: Uuid) -> Result<bool> {
    let outer = role::outer();
    if role::is_superuser(outer) {
        return Ok(true);
    }
    seal::check_resolved(tenant)?;
    pin::check(&TenantRef::Id(tenant))?;
    cache::refresh();
    Ok(aside::admits(tenant) && resolve::granted(outer, tenant)?.is_some())
}
