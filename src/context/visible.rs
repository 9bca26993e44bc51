//! The tenants whose rows the tenant in force may read: itself and all that are below it in the tree. Found at first use,
//! kept per backend until the registry changes, and handed out as arrays that policies compare with.

use super::{cursors, hot};
use crate::catalog::hierarchy::{self, MAX_VISIBLE, Member};
use crate::error::Result;
use crate::guc;
use crate::sys::array::{self, ArrayImage};
use crate::sys::backend::BackendCell;
use crate::sys::flag::Unsettled;
use crate::sys::fmgr::Nullable;
use crate::sys::{INVALID_OID, Oid, procedure, role};
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use uuid::Uuid;

/// Of one tenant, in the terms of each type of tenant column; itself first, then generation by generation.
#[derive(Debug)]
struct Visible {
    count: usize,
    ids: ArrayImage,
    keys: ArrayImage,
    /// Of those whose keys are numbers.
    numbers: ArrayImage,
    /// The same number is borne by what was found later as long as nothing was missing in it.
    epoch: u64,
    in_use: Cell<bool>,
}

impl Visible {
    /// What it takes of memory, in tenants.
    fn weight(&self) -> usize {
        self.count + OVERHEAD
    }

    fn new(members: &[Member]) -> Self {
        let numbers: Vec<i64> = members.iter().filter_map(|member| member.key.number()).collect();
        Self {
            count: members.len(),
            ids: ArrayImage::of_uuids(&members.iter().map(|member| member.id).collect::<Vec<_>>()),
            keys: ArrayImage::of_texts(members.iter().map(|member| member.key.as_str())),
            numbers: ArrayImage::of_numbers(&numbers),
            epoch: 0,
            in_use: Cell::new(false),
        }
    }

    /// The numbers are those of the keys.
    fn is_same(&self, other: &Self) -> bool {
        self.ids == other.ids && self.keys == other.keys
    }

    /// Whether whoever reads by these, in whatever terms, reads all that the other ones show.
    fn has_all_of(&self, other: &Self) -> bool {
        let (ids, keys): (HashSet<&[u8]>, HashSet<&[u8]>) = (self.ids.uuids().collect(), self.keys.texts().collect());
        other.ids.uuids().all(|id| ids.contains(id)) && other.keys.texts().all(|key| keys.contains(key))
    }
}

/// What was found last, and how many changes of the registry had been heard of before.
struct Known {
    changes: u64,
    visible: Rc<Visible>,
}

#[derive(Default)]
struct Cache {
    by_tenant: HashMap<Uuid, Known>,
    /// The weight of all of them, which is what bounds the memory: with keys of usual length some 100 bytes for each tenant.
    weight: usize,
    /// Counts changes of the registry.
    changes: u64,
    /// The last epoch that has begun.
    epoch: u64,
    /// Arrays whose datums this transaction may still hold.
    in_use: Vec<Rc<Visible>>,
    /// The weight of these.
    held: usize,
}

/// What a tenant's arrays take beside what is in them, in tenants.
const OVERHEAD: usize = 4;

/// The weight of all arrays together that a transaction holds. Where the tree changes so often that it would be more, it
/// goes on with copies.
const MAX_HELD: usize = 2 * (MAX_VISIBLE + OVERHEAD);

thread_local! {
    static CACHE: RefCell<Cache> = RefCell::default();
}

/// The arrays as last found, for the fast path to hand out as they are. They hold for `role` alone.
#[derive(Clone, Copy)]
struct Hot {
    role: Oid,
    ids: Nullable,
    keys: Nullable,
    numbers: Nullable,
}

const UNKNOWN: Hot = Hot { role: INVALID_OID, ids: None, keys: None, numbers: None };

static HOT: BackendCell<Hot> = BackendCell::new(UNKNOWN);

/// How many there were when they were last found; the planner finds them before it asks. It is nothing that another tenant,
/// or nobody, may know of this one.
static COUNT: BackendCell<usize> = BackendCell::new(1);

/// Whether the transaction holds any; apart, because it is asked at the end of each.
static IN_USE: Unsettled<bool> = Unsettled::new(false);

/// The context is another one, or may be. Can't fail.
pub fn forget() {
    HOT.set(UNKNOWN);
    COUNT.set(1);
}

/// The registry has changed, and maybe the tree: it is to be read anew. What was found stays, since it is mostly the same.
pub fn registry_changed() {
    CACHE.with_borrow_mut(|cache| cache.changes += 1);
}

/// Lets go of what the transaction held.
pub fn transaction_ended() {
    if IN_USE.reset(false) {
        CACHE.with_borrow_mut(|cache| {
            cache.in_use.drain(..).for_each(|visible| visible.in_use.set(false));
            // One transaction over very many tenants must not leave its list behind.
            cache.in_use.shrink_to(1024);
            cache.held = 0;
        });
    }
}

/// About how many tenants the arrays have, for the planner: where there are many, and no index, each row is compared with
/// them one by one. Can't fail.
pub fn expected_count() -> usize {
    COUNT.get()
}

#[inline(always)]
fn read(value: impl Fn(&Hot) -> Nullable) -> Option<Nullable> {
    let hot = HOT.get();
    (hot.role == role::outer()).then(|| value(&hot))
}

/// Ids as a `uuid[]` datum; `None` while unknown.
#[inline(always)]
pub fn current_ids() -> Option<Nullable> {
    read(|hot| hot.ids)
}

/// Keys as a `text[]` datum; `None` while unknown.
#[inline(always)]
pub fn current_keys() -> Option<Nullable> {
    read(|hot| hot.keys)
}

/// Keys that are numbers as a `bigint[]` datum; `None` while unknown.
#[inline(always)]
pub fn current_numbers() -> Option<Nullable> {
    read(|hot| hot.numbers)
}

/// Ids as a datum of its own; NULL without a context.
///
/// # Errors
/// As for `resolve`; 54000 when there are more tenants below than can be handled.
pub fn copied_ids() -> Result<Nullable> {
    found(|visible| &visible.ids)
}

/// Keys, likewise.
pub fn copied_keys() -> Result<Nullable> {
    found(|visible| &visible.keys)
}

/// Keys that are numbers, likewise.
pub fn copied_numbers() -> Result<Nullable> {
    found(|visible| &visible.numbers)
}

fn found(array: fn(&Visible) -> &ArrayImage) -> Result<Nullable> {
    // Says for whom a cursor reads, and takes in what others have announced.
    let Some(tenant) = hot::id()? else {
        COUNT.set(1);
        return Ok(None);
    };
    let visible = of(tenant)?;
    cursors::note_epoch(tenant, visible.epoch);
    COUNT.set(visible.count);
    // What has arrived while the tree was read has made the context unresolved: what was true then is for this call alone.
    // The arguments of a procedure outlive the transaction that they come from.
    if hot::is_resolved() && !procedure::is_running() && hold(&visible) {
        HOT.set(Hot {
            role: role::outer(),
            ids: Some(visible.ids.datum()),
            keys: Some(visible.keys.datum()),
            numbers: Some(visible.numbers.datum()),
        });
    }
    Ok(Some(array::copy(array(&visible).datum())))
}

fn of(tenant: Uuid) -> Result<Rc<Visible>> {
    let (changes, known) = CACHE.with_borrow(|cache| {
        let known = cache.by_tenant.get(&tenant).map(|known| (known.changes, Rc::clone(&known.visible)));
        (cache.changes, known)
    });
    let before = match known {
        Some((at, visible)) if at == changes => return Ok(visible),
        known => known.map(|(_, visible)| visible),
    };
    let region = guc::region();
    let members = hierarchy::family(tenant, |of| !matches!((&region, of), (Some(here), Some(there)) if here != there))?;
    let mut found = Visible::new(&members);
    let visible = match before {
        // What the transaction holds goes on being used, and takes no more memory.
        Some(before) if before.is_same(&found) => before,
        before => {
            found.epoch = match before.filter(|before| found.has_all_of(before)) {
                Some(before) => before.epoch,
                None => CACHE.with_borrow_mut(Cache::begin_epoch),
            };
            Rc::new(found)
        }
    };
    // A change that arrives while the tree is read is counted before anybody asks again.
    CACHE.with_borrow_mut(|cache| cache.put(tenant, Known { changes, visible: Rc::clone(&visible) }));
    Ok(visible)
}

/// Tells whether what the tenant could read is still what it can read: then it is the same number. When much else was read
/// meanwhile it is another one all the same.
///
/// # Errors
/// 54000 as above.
pub fn epoch(tenant: Uuid) -> Result<u64> {
    Ok(of(tenant)?.epoch)
}

impl Cache {
    fn begin_epoch(&mut self) -> u64 {
        self.epoch += 1;
        self.epoch
    }

    fn put(&mut self, tenant: Uuid, known: Known) {
        if let Some(before) = self.by_tenant.remove(&tenant) {
            self.weight -= before.visible.weight();
        }
        if self.weight + known.visible.weight() > MAX_VISIBLE {
            self.by_tenant.clear();
            self.weight = 0;
        }
        self.weight += known.visible.weight();
        self.by_tenant.insert(tenant, known);
    }
}

/// Keeps the datums valid until the transaction has ended; false where it holds too many already.
fn hold(visible: &Rc<Visible>) -> bool {
    if visible.in_use.get() {
        return true;
    }
    CACHE.with_borrow_mut(|cache| {
        if cache.held + visible.weight() > MAX_HELD {
            return false;
        }
        visible.in_use.set(true);
        cache.held += visible.weight();
        cache.in_use.push(Rc::clone(visible));
        IN_USE.set(true);
        true
    })
}
