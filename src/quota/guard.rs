//! What DDL must not do to a table that counts, and what it must be followed by.

use super::{recount, tables};
use crate::catalog::counted::{self, Misfit, Shape, State};
use crate::catalog::quotas;
use crate::catalog::registry::as_owner;
use crate::catalog::relations::{self, Relation};
use crate::error::{Error, Result};
use crate::sys::Oid;
use crate::{guc, sql};
use std::collections::BTreeSet;

/// After any DDL: refuses taking triggers from a table that counts, and counts bytes anew where rows may weigh
/// something else than before. Refuses parents past which a part would not be counted.
///
/// # Errors
/// 42501 for taking a trigger; 55000 for such a parent.
pub fn after_command() -> Result<()> {
    // None while the extension is being made.
    if tables::is_taking_in() || !quotas::is_needed().unwrap_or(false) {
        return Ok(());
    }
    if guc::guard_ddl()
        && let Some((before, now)) = as_owner(counted::states_around)?
        && let Some(state) = weakened(&before, &now)
    {
        let losses = "triggers that count its rows".into();
        return Err(Error::Weakened { relation: relations::name(state.relation)?, losses });
    }
    if guc::guard_ddl()
        && let Some((before, now)) = as_owner(counted::misfits_around)?
        && let Some(misfit) = now.iter().find(|misfit| !before.contains(misfit))
    {
        return Err(refused(misfit)?);
    }
    let Some((before, now)) = as_owner(counted::shapes_around)? else { return Ok(()) };
    for resource in weighing_otherwise(&before, &now) {
        let resource = quotas::resource_by_id(resource)?;
        as_owner(|| recount::recount_one(&resource))?;
    }
    Ok(())
}

/// Refuses parts which would not count as they are, of a tree that was just taken in.
///
/// # Errors
/// 55000.
pub fn check_parts(tree: &[Relation], resource: i32) -> Result<()> {
    if !guc::guard_ddl() {
        return Ok(());
    }
    let misfits = as_owner(counted::misfits)?;
    let is_new = |misfit: &&Misfit| {
        misfit.resource == resource && tree.iter().any(|relation| [misfit.part, misfit.parent].contains(&relation.oid))
    };
    match misfits.iter().find(is_new) {
        Some(misfit) => Err(refused(misfit)?),
        None => Ok(()),
    }
}

/// Refuses parts of a tree that was just taken out which have another parent that counts.
///
/// # Errors
/// 55000.
pub fn check_left(tree: &[Relation], resource: i32) -> Result<()> {
    let is_left = |part: Oid, of: i32| of == resource && tree.iter().any(|relation| relation.oid == part);
    match as_owner(quotas::parts_to_count)?.into_iter().find(|(part, _, of)| is_left(*part, *of)) {
        Some((part, parent, _)) => Err(Error::Misfit {
            part: relations::name(part)?,
            parent: relations::name(parent)?,
            reason: "It counts as a part of that one as well.",
        }),
        None => Ok(()),
    }
}

fn refused(misfit: &Misfit) -> Result<Error> {
    let reason = if misfit.is_parent_uncounted {
        "What is written through the parent would not be counted."
    } else {
        "The part has columns of its own, and a statement on the parent does not tell what is in them."
    };
    Ok(Error::Misfit { part: relations::name(misfit.part)?, parent: relations::name(misfit.parent)?, reason })
}

fn is_complete(state: &State) -> bool {
    usize::try_from(state.triggers).is_ok_and(|count| count == sql::COUNT_TRIGGERS.len())
}

/// A table that had all triggers and has no more.
fn weakened<'a>(before: &[State], now: &'a [State]) -> Option<&'a State> {
    let was_complete = |relation| before.iter().any(|state| state.relation == relation && is_complete(state));
    now.iter().find(|state| !is_complete(state) && was_complete(state.relation))
}

/// The resources of tables whose rows may weigh something else. One that was taken in meanwhile was counted as it is.
fn weighing_otherwise(before: &[Shape], now: &[Shape]) -> BTreeSet<i32> {
    let former = |shape: &Shape| before.iter().find(|b| (b.relation, b.resource) == (shape.relation, shape.resource));
    let otherwise = now.iter().filter(|shape| former(shape).is_some_and(|before| shape.weighs_otherwise(before)));
    otherwise.map(|shape| shape.resource).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(relation: u32, triggers: i32) -> State {
        State { relation: Oid::from(relation), triggers }
    }

    #[test]
    fn what_was_complete_must_stay_so() {
        let before = [state(1, 4), state(2, 3), state(3, 4)];
        assert_eq!(weakened(&before, &[state(1, 4), state(2, 3), state(4, 0)]), None);
        assert_eq!(weakened(&before, &[state(3, 3)]), Some(&state(3, 3)));
    }
}
