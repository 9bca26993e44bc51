//! Authorised tenants, per backend and bounded, so that the next transaction for the same tenant
//! costs a look-up in memory.

use crate::catalog::access::Access;
use crate::catalog::{self, tenants::TenantRow};
use crate::sys::backend::BackendCell;
use crate::sys::datum::{TextImage, UuidImage};
use crate::sys::flag::Flag;
use crate::sys::scan::Place;
use crate::sys::{Datum, INVALID_OID, Oid};
use crate::tenant::TenantKey;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;
use uuid::Uuid;

/// Entries kept; at some 200 bytes each well under a megabyte. A miss costs two index look-ups, so
/// a session that serves more tenants than this loses little.
const CAPACITY: usize = 1024;

/// How many names are known to have been asked for once. A session that hardly ever asks for a tenant twice keeps none of
/// them, and so has no more memory in use than one that asks for the same one always.
const SEEN_ONCE: usize = 4096;

/// So many of them have a place in common: few enough names share one that some would never be known.
const WAYS: usize = 8;

/// A tenant that a role was found to have access to.
#[derive(Debug)]
pub struct Tenant {
    pub id: Uuid,
    pub key: TenantKey,
    pub number: Option<i64>,
    /// Whether only its members may be acted for here.
    pub members_only: bool,
    place: Option<Place>,
    id_image: UuidImage,
    key_image: TextImage,
    in_use: Cell<bool>,
}

impl Tenant {
    pub fn new(row: TenantRow, members_only: bool) -> Self {
        Self {
            id: row.id,
            number: row.key.number(),
            members_only,
            place: row.place,
            id_image: UuidImage::new(row.id),
            key_image: TextImage::new(row.key.as_str()),
            key: row.key,
            in_use: Cell::new(false),
        }
    }

    pub fn id_datum(&self) -> Datum {
        self.id_image.datum()
    }

    pub fn key_datum(&self) -> Datum {
        self.key_image.datum()
    }
}

/// Why a tenant may be acted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trust {
    /// The session named it, so the role's access counts.
    Access,
    /// A superuser chose it as the default.
    Default,
    /// PostgREST says that the request is of it.
    Claims,
    /// A token names it.
    Signed,
}

#[derive(Default)]
struct Cache {
    /// By outer role and trust, then by the name under which the tenant was asked for.
    tenants: HashMap<(Oid, Trust), HashMap<Box<str>, Rc<Tenant>>>,
    count: usize,
    /// Of names that were asked for, by their hash: a part of it. Empty at first.
    seen: Vec<u16>,
    /// The one that was asked for last: most sessions ask for one tenant many times.
    last: Option<(Oid, Trust, Box<str>, Rc<Tenant>)>,
    /// The access to any tenant of the role that was asked for last.
    any_tenant: Option<(Oid, Access)>,
    /// Whether any role has access to one tenant in particular.
    names_tenants: Option<bool>,
    /// Tenants whose datums this transaction may still hold; they outlive their cache entries.
    in_use: Vec<Rc<Tenant>>,
}

impl Cache {
    /// Whether this was asked for before, as far as it is known. From now on it is.
    fn was_seen(&mut self, role: Oid, trust: Trust, name: &str) -> bool {
        let mut hasher = DefaultHasher::new();
        (role, trust, name).hash(&mut hasher);
        let hash = hasher.finish();
        self.seen.resize(SEEN_ONCE, 0);
        // Not zero, which stands for nothing.
        let mark = (hash >> 48) as u16 | 1;
        let first = hash as usize % (SEEN_ONCE / WAYS) * WAYS;
        let set = &mut self.seen[first..first + WAYS];
        if set.contains(&mark) {
            return true;
        }
        // The oldest one goes.
        set.rotate_right(1);
        set[0] = mark;
        false
    }
}

thread_local! {
    static CACHE: RefCell<Cache> = RefCell::default();
}

/// Set by invalidation callbacks, which come in the middle of other work and may do no more.
static STALE: BackendCell<bool> = BackendCell::new(false);

/// Set with `STALE`; cleared only when the transaction's tenant has been authorised again.
static UNCONFIRMED: BackendCell<bool> = BackendCell::new(false);

/// Whether the transaction uses a tenant; apart, because it is asked before each statement.
const IN_USE: Flag = Flag::TenantInUse;

/// Called when a relation changed; an invalid OID stands for any.
pub fn relation_changed(relation: Oid) {
    catalog::registry::relation_changed(relation);
    if relation == INVALID_OID || catalog::registry::is_part(relation) {
        catalog::registry::forget();
        super::membership::discard();
        super::settings::discard();
        discard();
    } else if catalog::registry::is_members(relation) {
        super::membership::discard();
        doubt();
    }
}

/// Called when a role or a role's membership changed.
pub fn role_changed() {
    discard();
}

/// No cached authorisation holds any more. Can't fail.
pub fn discard() {
    STALE.set(true);
    super::token::discard();
    doubt();
}

/// Who the user is within the tenant may have changed. Can't fail.
pub fn doubt() {
    UNCONFIRMED.set(true);
    super::hot::forget();
    super::own::context_changed();
}

/// Drops what was invalidated, so that what is found from here on is current.
pub fn refresh() {
    super::membership::refresh();
    if STALE.replace(false) {
        super::visible::registry_changed();
        CACHE.with_borrow_mut(|cache| {
            cache.tenants.clear();
            cache.count = 0;
            cache.last = None;
            cache.any_tenant = None;
            cache.names_tenants = None;
        });
    }
}

/// Whether something was invalidated since `refresh`.
pub fn is_stale() -> bool {
    STALE.get() || super::membership::is_stale()
}

/// Whether the transaction uses a tenant whose authorisation may have ended since.
pub fn is_unconfirmed() -> bool {
    UNCONFIRMED.get() && IN_USE.get()
}

/// The cached tenant that `role` may act for under this name.
pub fn get(role: Oid, trust: Trust, name: &str) -> Option<Rc<Tenant>> {
    CACHE.with_borrow(|cache| cache.tenants.get(&(role, trust))?.get(name).cloned())
}

/// As `get`, if it was the one that was asked for last, and nothing was invalidated since.
pub fn get_last(role: Oid, trust: Trust, name: &str) -> Option<Rc<Tenant>> {
    if STALE.get() {
        return None;
    }
    CACHE.with_borrow(|cache| match &cache.last {
        Some((of, by, called, tenant)) if *of == role && *by == trust && **called == *name => Some(Rc::clone(tenant)),
        _ => None,
    })
}

/// Where the row of the tenant that was asked for last lies in the registry, if it is this one.
pub fn place_of(tenant: Uuid) -> Option<Place> {
    CACHE.with_borrow(|cache| cache.last.as_ref().filter(|(.., last)| last.id == tenant)?.3.place)
}

/// The role's access to any tenant, where that is known.
pub fn any_tenant(role: Oid) -> Option<Access> {
    CACHE.with_borrow(|cache| cache.any_tenant.filter(|(known, _)| *known == role).map(|(_, any)| any))
}

/// Keeps the role's access to any tenant. What has gone stale meanwhile goes with `refresh`.
pub fn put_any_tenant(role: Oid, any: Access) {
    CACHE.with_borrow_mut(|cache| cache.any_tenant = Some((role, any)));
}

/// Whether any role has access to one tenant in particular, where that is known.
pub fn names_tenants() -> Option<bool> {
    CACHE.with_borrow(|cache| cache.names_tenants)
}

/// Keeps that. What has gone stale meanwhile goes with `refresh`.
pub fn put_names_tenants(any: bool) {
    CACHE.with_borrow_mut(|cache| cache.names_tenants = Some(any));
}

/// Keeps in mind which authorised tenant was asked for last.
pub fn put_last(role: Oid, trust: Trust, name: &str, tenant: &Rc<Tenant>) {
    CACHE.with_borrow_mut(|cache| cache.last = Some((role, trust, name.into(), Rc::clone(tenant))));
}

/// Keeps an authorised tenant for later, if it was asked for before.
pub fn put(role: Oid, trust: Trust, name: &str, tenant: &Rc<Tenant>) {
    CACHE.with_borrow_mut(|cache| {
        if !cache.was_seen(role, trust, name) {
            return;
        }
        if cache.count >= CAPACITY {
            cache.tenants.clear();
            cache.count = 0;
        }
        cache.tenants.entry((role, trust)).or_default().insert(name.into(), Rc::clone(tenant));
        cache.count += 1;
    });
}

/// Keeps the tenant's datums valid until the transaction has ended.
pub fn hold(tenant: &Rc<Tenant>) {
    IN_USE.set(true);
    UNCONFIRMED.set(false);
    if !tenant.in_use.replace(true) {
        CACHE.with_borrow_mut(|cache| cache.in_use.push(Rc::clone(tenant)));
    }
}

/// Whether the transaction uses a tenant.
pub fn is_in_use() -> bool {
    IN_USE.get()
}

/// Lets go of what the transaction held.
pub fn transaction_ended() {
    if !IN_USE.replace(false) {
        return;
    }
    CACHE.with_borrow_mut(|cache| {
        for tenant in cache.in_use.drain(..) {
            tenant.in_use.set(false);
        }
        // One transaction over very many tenants must not leave its list behind.
        if cache.in_use.capacity() > CAPACITY {
            cache.in_use.shrink_to(CAPACITY);
        }
    });
}
