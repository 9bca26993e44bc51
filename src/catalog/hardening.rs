//! What roles are, own and may do, as far as it leads beyond the tenant that they act for; and the profile that is
//! recorded for a role, in its own settings.
//!
//! The queries rely on the search path that `tenancy.harden_role()` and `tenancy.doctor()` pin.

use super::spi;
use crate::error::Result;
use crate::sql::Ident;
use crate::sys::Oid;
use crate::sys::{invalidation, role};
use std::collections::{BTreeMap, HashSet};

macro_rules! question {
    ($file:literal) => {
        concat!(
            include_str!("../../sql/queries/harden/scope.sql"),
            include_str!(concat!("../../sql/queries/harden/", $file, ".sql"))
        )
    };
}

/// A privilege that a role has, itself, as a member, or as everybody has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// As GRANT names it: `SCHEMA`.
    pub class: String,
    /// What objects of a class are taken together, and for whom: `statistics`.
    pub kind: String,
    pub privilege: String,
    pub object: String,
    /// From whom it has to be taken.
    pub holder: Ident,
    /// He passed it on: what he loses is the right to.
    pub passed_on: bool,
}

/// Privileges on tables that are made later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Default {
    pub owner: Ident,
    pub schema: Option<Ident>,
    pub privileges: String,
    pub holder: Ident,
}

/// A membership that leads to a role which reaches too far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    pub granted: Ident,
    pub member: Ident,
    pub grantor: Option<Ident>,
}

/// Where the library has yet to be named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preload {
    pub role: Ident,
    pub database: Option<Ident>,
    /// The value, as SET takes it.
    pub libraries: String,
}

/// All of that, of one role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    pub ident: Ident,
    /// What takes away the attributes that it has: `NOSUPERUSER`.
    pub attributes: Vec<String>,
    pub profile: Option<String>,
    /// Descriptions of the objects it owns here.
    pub owned: Vec<String>,
    pub memberships: Vec<Membership>,
    pub held: Vec<Held>,
    pub defaults: Vec<Default>,
    pub preload: Vec<Preload>,
}

/// The facts of these roles, by OID. Needs the rights of the extension's owner.
pub fn facts(roles: &[Oid]) -> Result<BTreeMap<u32, Facts>> {
    let mut all = BTreeMap::new();
    let known = spi::read(question!("roles"), &[roles.to_vec().into()], |row| {
        let facts = Facts {
            ident: Ident::quoted(row.require(2)?),
            attributes: row.require(3)?,
            profile: row.get(4)?,
            owned: Vec::new(),
            memberships: Vec::new(),
            held: Vec::new(),
            defaults: Vec::new(),
            preload: Vec::new(),
        };
        Ok((row.require::<Oid>(1)?, facts))
    })?;
    all.extend(known.into_iter().map(|(role, facts)| (role.to_u32(), facts)));
    let ident = |text: Option<String>| text.map(Ident::quoted);
    of_each(roles, &mut all, question!("owned"), |row| row.require(2), |facts| &mut facts.owned)?;
    let membership = |row: &spi::Row<'_>| {
        Ok(Membership {
            granted: Ident::quoted(row.require(2)?),
            member: Ident::quoted(row.require(3)?),
            grantor: ident(row.get(4)?),
        })
    };
    of_each(roles, &mut all, question!("memberships"), membership, |facts| &mut facts.memberships)?;
    let held = |row: &spi::Row<'_>| {
        Ok(Held {
            class: row.require(2)?,
            kind: row.require(3)?,
            privilege: row.require(4)?,
            object: row.require(5)?,
            holder: Ident::quoted(row.require(6)?),
            passed_on: row.require(7)?,
        })
    };
    of_each(roles, &mut all, question!("held"), held, |facts| &mut facts.held)?;
    let default = |row: &spi::Row<'_>| {
        Ok(Default {
            owner: Ident::quoted(row.require(2)?),
            schema: ident(row.get(3)?),
            privileges: row.require(4)?,
            holder: Ident::quoted(row.require(5)?),
        })
    };
    of_each(roles, &mut all, question!("defaults"), default, |facts| &mut facts.defaults)?;
    let preload = |row: &spi::Row<'_>| {
        Ok(Preload { role: Ident::quoted(row.require(2)?), database: ident(row.get(3)?), libraries: row.require(4)? })
    };
    of_each(roles, &mut all, question!("preload"), preload, |facts| &mut facts.preload)?;
    Ok(all)
}

/// Adds what a question finds to the facts of the role in its first column.
fn of_each<T>(
    roles: &[Oid],
    all: &mut BTreeMap<u32, Facts>,
    question: &str,
    map: impl Fn(&spi::Row<'_>) -> Result<T>,
    place: impl Fn(&mut Facts) -> &mut Vec<T>,
) -> Result<()> {
    for (role, found) in spi::read(question, &[roles.to_vec().into()], |row| Ok((row.require::<Oid>(1)?, map(&row)?)))?
    {
        if let Some(facts) = all.get_mut(&role.to_u32()) {
            place(facts).push(found);
        }
    }
    Ok(())
}

/// The roles that keep what is taken from PUBLIC on account of these. Needs the rights of the extension's owner.
pub fn others(roles: &[Oid]) -> Result<Vec<Ident>> {
    spi::read(question!("others"), &[roles.to_vec().into()], |row| Ok(Ident::quoted(row.require(1)?)))
}

/// The roles that act for tenants here and have a profile, with their names. Needs the rights of the extension's owner.
pub fn recorded() -> Result<Vec<(Oid, String)>> {
    const RECORDED: &str = include_str!("../../sql/queries/harden/recorded.sql");
    spi::read(RECORDED, &[], |row| Ok((row.require(1)?, row.require(2)?)))
}

/// Whether the relation is where profiles are recorded.
pub fn is_record(relation: Oid) -> bool {
    relation == role::SETTINGS
}

/// Tells the open sessions of every database that a profile changed.
pub fn announce_change() {
    invalidation::announce(role::SETTINGS);
}

/// Whether this profile is recorded for the role, or for one whose privileges it inherits. Needs neither the
/// extension nor a snapshot.
pub fn has_profile(role: Oid, profile: &str) -> bool {
    let mut seen = HashSet::from([role]);
    let mut ahead = vec![role];
    while let Some(next) = ahead.pop() {
        if (next == role || role::has_privileges_of(role, next)) && is_recorded(next, profile) {
            return true;
        }
        ahead.extend(role::memberships(next).into_iter().filter(|role| seen.insert(*role)));
    }
    false
}

fn is_recorded(role: Oid, profile: &str) -> bool {
    role::settings(role)
        .iter()
        .filter_map(|setting| setting.split_once('='))
        .any(|(name, value)| name.eq_ignore_ascii_case("tenancy.profile") && value.eq_ignore_ascii_case(profile))
}
