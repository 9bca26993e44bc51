//! What there is to scope, and whether it can be. Pure.

use crate::catalog::scope::{ForeignKey, Index, Key, KeyKind, Pair, Table, Tenant};
use crate::error::{Error, Result};
use crate::sql::Ident;
use crate::sys::Oid;
use std::collections::HashMap;

pub const SHARED: &str = "shared";
const GLOBAL: &str = "global";

/// Ends the name of what stands in until it takes the place of the former.
pub const STAND_IN: &str = "__scoping";
/// The longest identifier, in bytes.
pub const MAX_NAME: usize = 63;

/// A table with its keys, all that refers to it or is referred to by it, and the tables at the other ends.
#[derive(Debug, Clone)]
pub struct Scene {
    pub table: Oid,
    pub tables: HashMap<Oid, Table>,
    pub keys: Vec<Key>,
    pub foreign_keys: Vec<ForeignKey>,
    pub indexes: Vec<Index>,
}

impl Scene {
    pub fn table_of(&self, oid: Oid) -> Result<&Table> {
        self.tables.get(&oid).ok_or(Error::UnknownRelation(oid.to_u32()))
    }

    /// The key of that name.
    ///
    /// # Errors
    /// 42704.
    pub fn key(&self, name: &str) -> Result<&Key> {
        self.keys.iter().find(|key| key.name == name).ok_or_else(|| self.no_such(name))
    }

    /// The table's foreign key of that name.
    ///
    /// # Errors
    /// 42704.
    pub fn foreign_key(&self, name: &str) -> Result<&ForeignKey> {
        let own = |fk: &&ForeignKey| fk.child == self.table && fk.name == name;
        self.foreign_keys.iter().find(own).ok_or_else(|| self.no_such(name))
    }

    fn no_such(&self, name: &str) -> Error {
        let relation = self.tables.get(&self.table).map(|table| table.ident.to_string()).unwrap_or_default();
        Error::NoSuchConstraint { relation, name: name.to_owned() }
    }

    /// The foreign keys that refer to a key, and not by the tenant yet.
    pub fn referring(&self, key: &Key) -> Vec<&ForeignKey> {
        self.foreign_keys.iter().filter(|fk| !fk.part && fk.index == key.index).collect()
    }

    /// Whether a foreign key pairs the tenant columns.
    pub fn is_scoped(&self, fk: &ForeignKey) -> bool {
        let attnum = |oid| Some(self.tables.get(&oid)?.tenant.as_ref()?.attnum);
        match (attnum(fk.child), attnum(fk.parent)) {
            (Some(child), Some(parent)) => {
                fk.pairs.iter().any(|pair| pair.child_attnum == child && pair.parent_attnum == parent)
            }
            _ => false,
        }
    }

    /// The scoped foreign key that a script left to take the place of another.
    pub fn stand_in(&self, fk: &ForeignKey) -> Option<&ForeignKey> {
        let name = stand_in_name(&fk.name);
        let columns = |fk: &ForeignKey| fk.pairs.iter().map(|p| (p.child_attnum, p.parent_attnum)).collect::<Vec<_>>();
        let wanted = columns(fk);
        let is_it = |other: &&ForeignKey| {
            let found = columns(other);
            other.child == fk.child
                && other.parent == fk.parent
                && other.name == name
                && self.is_scoped(other)
                && found.len() == wanted.len() + 1
                && wanted.iter().all(|pair| found.contains(pair))
        };
        self.foreign_keys.iter().find(is_it)
    }
}

/// A foreign key that can be scoped, with both its tables.
#[derive(Debug, Clone, Copy)]
pub struct Scopable<'a> {
    pub fk: &'a ForeignKey,
    pub child: &'a Table,
    pub parent: &'a Table,
    pub child_tenant: &'a Tenant,
    pub parent_tenant: &'a Tenant,
}

/// As messages name it.
pub fn named(name: &Ident, table: &Table) -> String {
    format!("{name} ON {}", table.ident)
}

/// The name of what stands in for a constraint or index. Of two that differ in what a name has no room for, each has
/// its own: a script must not take the one for the other.
pub fn stand_in_name(name: &str) -> String {
    let room = MAX_NAME - STAND_IN.len();
    if name.len() <= room {
        return format!("{name}{STAND_IN}");
    }
    // FNV-1a: the same in every version.
    let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let mark = format!("_{hash:08x}");
    let mut end = room - mark.len();
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{mark}{STAND_IN}", &name[..end])
}

fn protected<'a>(table: &'a Table, key: &str) -> Result<&'a Tenant> {
    let not_ready = |reason, hint| Error::KeyNotReady { key: key.to_owned(), reason, hint };
    if table.kind.as_deref() == Some(GLOBAL) {
        let reason = format!("{} is classified as global, so its rows belong to no tenant", table.ident);
        return Err(not_ready(reason, "Keys of and to a global table stay as they are."));
    }
    let tenant = table.tenant.as_ref().ok_or_else(|| {
        not_ready(format!("{} is not protected", table.ident), "Call tenancy.protect() for the table first.")
    })?;
    if !tenant.not_null && table.kind.as_deref() != Some(SHARED) {
        let reason = format!("column {} of {} may be NULL", tenant.ident, table.ident);
        return Err(not_ready(reason, "tenancy.protect() mends it."));
    }
    Ok(tenant)
}

/// Whether the key contains the tenant column already.
pub fn is_scoped(key: &Key, table: &Table) -> bool {
    table.tenant.as_ref().is_some_and(|tenant| key.attnums.contains(&tenant.attnum))
}

/// Whether a key can be led by the tenant column.
///
/// # Errors
/// 55000 not protected, or a part of another key; 0A000 what such a key can't express; 2BP01 in use.
pub fn check_key<'a>(key: &Key, table: &'a Table) -> Result<&'a Tenant> {
    let name = named(&key.ident, table);
    let unsupported = |reason: &str, hint| Error::UnsupportedKey { key: name.clone(), reason: reason.to_owned(), hint };
    let tenant = protected(table, &name)?;
    if key.part {
        return Err(Error::KeyNotReady {
            key: name,
            reason: "it is a part of the key of the table's parent".into(),
            hint: "Call it for the parent.",
        });
    }
    if table.kind.as_deref() == Some(SHARED) {
        match key.kind {
            KeyKind::Primary => {
                return Err(unsupported(
                    "a primary key has no room for rows that belong to nobody",
                    "Leave it where nobody chooses its values, or make it UNIQUE NULLS NOT DISTINCT with the tenant column.",
                ));
            }
            KeyKind::Exclusion => {
                return Err(unsupported(
                    "rows that belong to nobody would exclude none",
                    "Protect the table as another kind.",
                ));
            }
            KeyKind::Index if !key.nulls_not_distinct => {
                return Err(unsupported(
                    "the tenant column of a shared table may be NULL",
                    "Make the index NULLS NOT DISTINCT, or a constraint of columns that are NOT NULL.",
                ));
            }
            KeyKind::Unique if key.nullable && !key.nulls_not_distinct => {
                return Err(unsupported(
                    "its columns may be NULL, and so may the tenant column of a shared table",
                    "Make its columns NOT NULL, or the key NULLS NOT DISTINCT.",
                ));
            }
            _ => {}
        }
    }
    if !key.multicolumn {
        return Err(unsupported("its access method takes one column alone", "Use another access method."));
    }
    if !key.takes_tenant {
        return Err(unsupported(
            "its access method does not know the tenant column's type",
            "CREATE EXTENSION btree_gist adds it to GiST.",
        ));
    }
    if matches!(key.kind, KeyKind::Exclusion | KeyKind::Index) && key.definition.is_none() {
        return Err(unsupported("its definition can't be read", "Make it anew, with the tenant column."));
    }
    if key.parts_marked {
        return Err(unsupported(
            "partitions are clustered by it, or have it as their replica identity",
            "Take these marks off first, and set them again afterwards.",
        ));
    }
    if !key.users.is_empty() {
        return Err(Error::KeyInUse { key: name, users: key.users.join(", ") });
    }
    Ok(tenant)
}

/// Whether comparing a foreign key's columns runs nobody's code but the caller's and PostgreSQL's: a new foreign key is
/// checked with the rights of who makes it.
///
/// # Errors
/// 0A000.
pub fn check_casts(fk: &ForeignKey, child: &Table) -> Result<()> {
    if fk.cast_owners.is_empty() {
        return Ok(());
    }
    Err(Error::UnsupportedKey {
        key: named(&fk.ident, child),
        reason: format!("its columns are compared by a cast that runs a function of {}", fk.cast_owners.join(", ")),
        hint: "Call it as that role, or give both columns one type.",
    })
}

/// Whether a foreign key can be made composite with the tenant columns.
///
/// # Errors
/// 55000 not protected, global, a part of another; 42804 different types; 0A000 what such a key can't express.
pub fn check_foreign_key<'a>(fk: &'a ForeignKey, scene: &'a Scene) -> Result<Scopable<'a>> {
    let (child, parent) = (scene.table_of(fk.child)?, scene.table_of(fk.parent)?);
    let name = named(&fk.ident, child);
    let unsupported = |reason: &str, hint| Error::UnsupportedKey { key: name.clone(), reason: reason.to_owned(), hint };
    if fk.part {
        return Err(Error::KeyNotReady {
            key: name,
            reason: "it is a part of the foreign key of the table's parent".into(),
            hint: "Call it for the parent.",
        });
    }
    let (child_tenant, parent_tenant) = (protected(child, &name)?, protected(parent, &name)?);
    if parent.kind.as_deref() == Some(SHARED) {
        return Err(unsupported(
            "it refers to a shared table, and rows there that belong to nobody have no tenant to refer to",
            "Leave it, or keep what is shared in a table of its own, classified as global.",
        ));
    }
    if child_tenant.family.is_none() || child_tenant.family != parent_tenant.family {
        let type_of = |tenant: &Tenant| tenant.type_name.clone();
        return Err(Error::TenantTypesDiffer {
            key: name,
            child: type_of(child_tenant),
            parent: type_of(parent_tenant),
        });
    }
    let is_taken = |pair: &Pair| pair.child_attnum == child_tenant.attnum || pair.parent_attnum == parent_tenant.attnum;
    if fk.pairs.iter().any(is_taken) {
        return Err(unsupported(
            "it pairs a tenant column with another column",
            "Drop it, or make it anew with the tenant columns paired.",
        ));
    }
    if matches!(fk.on_update.as_str(), "n" | "d") {
        return Err(unsupported(
            "ON UPDATE SET NULL and SET DEFAULT would set the tenant column too",
            "Give it another action for ON UPDATE.",
        ));
    }
    check_casts(fk, child)?;
    Ok(Scopable { fk, child, parent, child_tenant, parent_tenant })
}
