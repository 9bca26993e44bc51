//! What DDL must not do to a table that counts, and what it must be followed by.

use super::{recount, tables};
use crate::catalog::counted::{self, Shape, State};
use crate::catalog::quotas;
use crate::catalog::registry::as_owner;
use crate::catalog::relations;
use crate::error::{Error, Result};
use crate::{guc, sql};
use std::collections::BTreeSet;

/// After any DDL: refuses taking triggers from a table that counts, and counts bytes anew where rows may weigh
/// something else than before.
///
/// # Errors
/// 42501 for taking a trigger.
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
    let Some((before, now)) = as_owner(counted::shapes_around)? else { return Ok(()) };
    for resource in weighing_otherwise(&before, &now) {
        let resource = quotas::resource_by_id(resource)?;
        as_owner(|| recount::recount_one(&resource))?;
    }
    Ok(())
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
    use crate::sys::Oid;

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
