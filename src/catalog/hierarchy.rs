//! The tree of tenants: `tenancy.tenants.parent`.
//!
//! It is read as catalogs are, so that a policy can ask for it on a hot standby and in a parallel worker. What is read has
//! been checked when it was written; it is bounded all the same, since a replica, or a superuser, may hold anything.

use super::registry::{self, Registry};
use super::{spi, tenants::pg_uuid};
use crate::error::{Error, Lifecycle, Result};
use crate::sys::backend;
use crate::sys::lock::{self, Mode};
use crate::sys::scan::{self, Key, Moment, Row};
use crate::tenant::TenantKey;
use std::collections::HashSet;
use uuid::Uuid;

// Attribute numbers of tenancy.tenants, fixed by its DDL; new columns come after these.
const ID: i16 = 1;
const KEY: i16 = 2;
const STATUS: i16 = 4;
const REGION: i16 = 6;
pub const PARENT: i16 = 10;

/// The generations that a tree can have, its root's included.
pub const MAX_LEVELS: usize = 32;

/// The tenants that one tenant can read the rows of, itself included.
pub const MAX_VISIBLE: usize = 100_000;

/// A tenant as policies compare with it.
#[derive(Debug, Clone)]
pub struct Member {
    pub id: Uuid,
    pub key: TenantKey,
}

/// The tenant itself and all below it, generation by generation, as they were at one moment. Those of regions that aren't
/// `served` are left out, not what is below them.
///
/// # Errors
/// 54000 when there are more than `MAX_VISIBLE`.
pub fn family(tenant: Uuid, served: impl Fn(&Option<String>) -> bool) -> Result<Vec<Member>> {
    let take = |row: &Row| {
        let key = row.text(KEY as usize).map(TenantKey::stored);
        served(&row.text(REGION as usize)).then_some(key).flatten()
    };
    within(|tree| {
        let mut members = Vec::new();
        if let Some(Some(key)) = tree.one(tenant, take) {
            members.push(Member { id: tenant, key });
        }
        let mut seen = HashSet::from([tenant]);
        let mut generation = vec![tenant];
        for _ in 1..MAX_LEVELS {
            let mut next = Vec::new();
            for parent in generation {
                tree.children(parent, |row, id| {
                    if seen.insert(id) {
                        next.push(id);
                        members.extend(take(row).map(|key| Member { id, key }));
                    }
                    seen.len() > MAX_VISIBLE
                });
                if seen.len() > MAX_VISIBLE {
                    return Err(Lifecycle::TreeTooLarge.into());
                }
            }
            generation = next;
            if generation.is_empty() {
                break;
            }
        }
        Ok(members)
    })
}

/// Whether any tenant has this one as its parent.
pub fn has_children(tenant: Uuid) -> Result<bool> {
    within(|tree| {
        let mut found = false;
        tree.children(tenant, |_, _| {
            found = true;
            true
        });
        Ok(found)
    })
}

/// Whether a tenant, or a new one, can be placed below that parent. The tree must not change meanwhile.
///
/// # Errors
/// 23503 when the parent is none; 22023 when it is the tenant itself, or below it; 54000 when the tree would get too many levels.
pub fn check_place(tenant: Option<Uuid>, parent: Uuid) -> Result<()> {
    within(|tree| {
        let levels = levels_above(tree, tenant, parent)?;
        tenant.map_or(Ok(()), |tenant| check_levels_below(tree, tenant, levels))
    })
}

/// The levels of the tree that are above whoever is placed below that parent.
fn levels_above(tree: Tree<'_>, tenant: Option<Uuid>, parent: Uuid) -> Result<usize> {
    let mut levels = 0;
    let mut above = Some(parent);
    while let Some(id) = above {
        if Some(id) == tenant {
            return Err(Lifecycle::ParentIsBelow.into());
        }
        levels += 1;
        if levels >= MAX_LEVELS {
            return Err(Lifecycle::TreeTooDeep.into());
        }
        let found = tree.one(id, |row| (row.uuid(PARENT as usize), row.text(STATUS as usize)));
        above = match found {
            Some((_, status)) if status.as_deref() == Some("erased") => return Err(Lifecycle::ParentIsNone.into()),
            Some((grandparent, _)) => grandparent,
            None if id == parent => return Err(Lifecycle::ParentIsNone.into()),
            None => None,
        };
    }
    Ok(levels)
}

fn check_levels_below(tree: Tree<'_>, tenant: Uuid, above: usize) -> Result<()> {
    let mut levels = above;
    let mut seen = HashSet::from([tenant]);
    let mut generation = vec![tenant];
    while !generation.is_empty() {
        levels += 1;
        if levels > MAX_LEVELS {
            return Err(Lifecycle::TreeTooDeep.into());
        }
        let mut next = Vec::new();
        for parent in generation {
            tree.children(parent, |_, id| {
                if seen.insert(id) {
                    next.push(id);
                }
                false
            });
        }
        generation = next;
    }
    Ok(())
}

/// The tree as it was at one moment: read piece by piece, with moves in between, it would be one that never was.
#[derive(Clone, Copy)]
struct Tree<'a> {
    registry: Registry,
    moment: Moment<'a>,
}

fn within<T>(read: impl FnOnce(Tree<'_>) -> Result<T>) -> Result<T> {
    let registry = registry::get()?;
    scan::at_one_moment(registry.tenants, |moment| read(Tree { registry, moment }))
}

impl Tree<'_> {
    fn one<T>(self, tenant: Uuid, read: impl Fn(&Row) -> T) -> Option<T> {
        let Registry { tenants, tenants_by_id, .. } = self.registry;
        let mut found = None;
        self.moment.find(tenants, tenants_by_id, &[(ID, Key::Uuid(tenant))], |row| {
            found = Some(read(row));
            true
        });
        found
    }

    /// Calls `visit` with each child until it returns true. A tree may be large: whoever reads it can be cancelled.
    fn children(self, parent: Uuid, mut visit: impl FnMut(&Row, Uuid) -> bool) {
        let Registry { tenants, tenants_by_parent, .. } = self.registry;
        backend::check_for_interrupts();
        self.moment.find(tenants, tenants_by_parent, &[(PARENT, Key::Uuid(parent))], |row| {
            backend::check_for_interrupts();
            row.uuid(ID as usize).is_some_and(|id| visit(row, id))
        });
    }
}

/// What a lock on the tree is told by, within the table of tenants. Another part of it is where numbers are given out.
const TREE: u16 = 2;

/// What locks on places below tenants are told by.
const PLACES: u16 = 3;

/// Tenants share so many of these locks: a statement may place tenants below any number of others, and the memory for locks
/// is limited.
const PLACE_LOCKS: u32 = 32;

/// Keeps the tree as it is until the transaction ends, but for erasures. Where the places below a tenant are locked as well,
/// that comes afterwards, and the tenants' rows come last.
pub fn lock() -> Result<()> {
    lock::object(registry::get()?.tenants, 0, TREE, Mode::Alone);
    Ok(())
}

/// Keeps tenants where they are in the tree until the transaction ends, but for new and erased ones.
pub fn lock_moves() -> Result<()> {
    lock::object(registry::get()?.tenants, 0, TREE, Mode::Shared);
    Ok(())
}

/// Keeps places below the tenant until the transaction ends: it is not erased.
pub fn lock_places_below(tenant: Uuid) -> Result<()> {
    lock::object(registry::get()?.tenants, place_lock(tenant), PLACES, Mode::Shared);
    Ok(())
}

/// Keeps everybody from being placed below the tenant until the transaction ends.
pub fn close_places_below(tenant: Uuid) -> Result<()> {
    lock::object(registry::get()?.tenants, place_lock(tenant), PLACES, Mode::Alone);
    Ok(())
}

fn place_lock(tenant: Uuid) -> u32 {
    tenant.as_bytes().iter().fold(0, |hash: u32, byte| hash.wrapping_mul(31).wrapping_add(u32::from(*byte)))
        % PLACE_LOCKS
}

/// The tenant's parent.
pub fn parent(tenant: Uuid) -> Result<Option<Uuid>> {
    within(|tree| tree.one(tenant, |row| row.uuid(PARENT as usize)).ok_or(Error::NotInstalled))
}

/// Places a tenant below another one, or below none.
pub fn set_parent(tenant: Uuid, parent: Option<Uuid>) -> Result<()> {
    spi::run(
        "UPDATE tenancy.tenants SET parent = $2 WHERE id OPERATOR(pg_catalog.=) $1",
        &[pg_uuid(tenant).into(), parent.map(pg_uuid).into()],
    )?;
    Ok(())
}
