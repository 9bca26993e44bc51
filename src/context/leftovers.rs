//! A session that passes from one tenant to another, as pooled ones do, must not carry anything over:
//! a cursor or statement of the one could show its rows to the other, a temporary table could take in
//! what the other writes.
//!
//! Nothing is looked for while the tenant stays the same.

use super::cache::Tenant;
use super::resolve::{self, effective_name};
use crate::catalog::leftovers;
use crate::error::{Error, Result};
use crate::guc::{self, OnLeftovers};
use crate::sys::backend::{BackendCell, Raised};
use crate::sys::flag::{Flag, Unsettled};
use crate::sys::{leftovers as session, xact};
use uuid::Uuid;

/// Whose the left-overs may be that the session holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Owner {
    /// No tenant has acted yet: what there is, is the application's own.
    #[default]
    Nobody,
    /// This tenant's alone.
    Tenant(Uuid),
    /// It is not known whose, or somebody's who may not act for the tenant he named.
    Unknown,
}

impl Owner {
    /// Either of the two.
    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Nobody, one) | (one, Self::Nobody) => one,
            (one, other) if one == other => one,
            _ => Self::Unknown,
        }
    }
}

/// Whom the session acts for, or acted for last. No rollback takes that back: a statement that was prepared outlives it,
/// and so does what was made before it.
#[derive(Debug, Clone, Copy, Default)]
struct Owners {
    now: Owner,
    /// Whoever it was before this transaction found that nothing of his was left. A rollback may bring that back.
    before: Owner,
    /// How deep in savepoints that was found last: a savepoint that is rolled back brings nothing back that was gone before it.
    level: i32,
}

impl Owners {
    const NONE: Self = Self::of(Owner::Nobody);

    /// Outside of transactions.
    const fn of(owner: Owner) -> Self {
        Self { now: owner, before: Owner::Nobody, level: 0 }
    }

    fn pass_to(self, owner: Owner, level: i32) -> Self {
        Self { now: owner, before: self.before.or(self.now), level: self.level.max(level) }
    }

    /// Back to before whatever was done at this level, or deeper. 0 is the transaction.
    fn rolled_back(self, level: i32) -> Self {
        if self.level < level {
            return self;
        }
        Self { now: self.before.or(self.now), level: level - 1, ..self }
    }

    /// What was done at this level counts as done at the one above.
    fn released(self, level: i32) -> Self {
        Self { level: self.level.min(level - 1), ..self }
    }
}

static OWNERS: Unsettled<Owners> = Unsettled::new(Owners::NONE);

/// The setting may name another tenant than it did; set by the assign hook, which can do no more.
const CHANGED: Flag = Flag::ContextChanged;

/// True while statements run that the session doesn't pass its left-overs on to.
static ASIDE: BackendCell<bool> = BackendCell::new(false);

/// Looks for nothing, and notes nothing, until what is returned is dropped.
pub fn set_aside() -> Raised<'static> {
    ASIDE.raised()
}

/// What may be done about left-overs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// They may be thrown away, where that is what the server is set to do.
    Discard,
    /// A statement is running that may use them.
    None,
}

/// The context's setting has changed, maybe back to what it was. Can't fail.
pub fn context_changed() {
    CHANGED.set(true);
}

/// Whether the setting has changed since a statement last ran.
pub fn is_pending() -> bool {
    CHANGED.get()
}

/// A statement is about to run, though maybe not one that uses the tenant that is set. It may leave something all the same.
pub fn before_run() -> Result<()> {
    if !CHANGED.get() || ASIDE.get() || xact::in_parallel_worker() {
        return Ok(());
    }
    if let Some((name, trust)) = effective_name() {
        let owner = resolve::find(&name, trust).map_or(Owner::Unknown, |tenant| Owner::Tenant(tenant.id));
        pass_to(owner, Remedy::None)?;
    }
    CHANGED.set(false);
    Ok(())
}

/// The transaction takes this tenant.
pub fn take(tenant: &Tenant, remedy: Remedy) -> Result<()> {
    if ASIDE.get() || xact::in_parallel_worker() {
        return Ok(());
    }
    pass_to(Owner::Tenant(tenant.id), remedy)
}

fn pass_to(owner: Owner, remedy: Remedy) -> Result<()> {
    let owners = OWNERS.get();
    if owners.now == owner && owner != Owner::Unknown {
        return Ok(());
    }
    if owners.now != Owner::Nobody {
        check(remedy)?;
    }
    OWNERS.set(owners.pass_to(owner, xact::nest_level()));
    Ok(())
}

/// The top-level transaction has ended. Can't fail.
pub fn transaction_ended(committed: bool) {
    let owners = OWNERS.get();
    OWNERS.reset(Owners::of(if committed { owners.now } else { owners.rolled_back(0).now }));
}

/// A savepoint was rolled back: what was gone may be there again. Can't fail.
pub fn savepoint_rolled_back() {
    if ASIDE.get() {
        return;
    }
    OWNERS.set(OWNERS.get().rolled_back(xact::nest_level()));
    CHANGED.set(true);
}

/// A savepoint was released. Can't fail.
pub fn savepoint_released() {
    let (owners, level) = (OWNERS.get(), xact::nest_level());
    if owners.level >= level && !ASIDE.get() {
        OWNERS.set(owners.released(level));
    }
}

/// Looks for what the session's former tenant left.
fn check(remedy: Remedy) -> Result<()> {
    session::forget_sequences();
    let mode = guc::on_leftovers();
    if mode == OnLeftovers::Ignore {
        return Ok(());
    }
    let seen = session::seen();
    let cursors = if seen.held_cursors { leftovers::held_cursors()? } else { Vec::new() };
    let statements = if seen.prepared_statements { leftovers::prepared_statements()? } else { Vec::new() };
    let temporary = session::has_temporary_objects();
    if cursors.is_empty() && statements.is_empty() && !temporary {
        session::forget();
        return Ok(());
    }
    // What is running now can't be taken from under itself.
    let in_use =
        !statements.is_empty() && session::is_executing() || cursors.iter().any(|cursor| session::is_busy(cursor));
    if mode == OnLeftovers::Error || remedy == Remedy::None || in_use {
        return Err(Error::Leftovers(describe(&cursors, &statements, temporary)));
    }
    for cursor in &cursors {
        session::close(cursor);
    }
    for statement in &statements {
        session::deallocate(statement);
    }
    if temporary {
        session::drop_temporary_objects();
    }
    Ok(())
}

/// Kinds and not names: a name is what the other tenant chose.
fn describe(cursors: &[String], statements: &[String], temporary: bool) -> String {
    let kinds = [
        (!cursors.is_empty(), "cursors WITH HOLD"),
        (!statements.is_empty(), "prepared statements"),
        (temporary, "temporary objects"),
    ];
    kinds.iter().filter(|(found, _)| *found).map(|(_, kind)| *kind).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACME: Owner = Owner::Tenant(Uuid::from_u128(1));
    const GLOBEX: Owner = Owner::Tenant(Uuid::from_u128(2));

    #[test]
    fn what_may_be_several_tenants_is_nobodys_own() {
        assert_eq!(ACME.or(GLOBEX), Owner::Unknown);
        assert_eq!(Owner::Unknown.or(ACME), Owner::Unknown);
        assert_eq!(Owner::Nobody.or(ACME), ACME);
        assert_eq!(ACME.or(ACME), ACME);
    }

    #[test]
    fn a_rollback_gives_back_whose_it_was_before() {
        let acmes = Owners::of(ACME);
        assert_eq!(acmes.rolled_back(0).now, ACME);
        assert_eq!(acmes.pass_to(GLOBEX, 1).now, GLOBEX);
        assert_eq!(acmes.pass_to(GLOBEX, 1).rolled_back(0).now, Owner::Unknown);
        assert_eq!(Owners::NONE.pass_to(ACME, 1).rolled_back(0).now, ACME);
    }

    #[test]
    fn a_savepoint_gives_back_what_was_gone_within_it() {
        let outside = Owners::of(ACME).pass_to(GLOBEX, 1);
        assert_eq!(outside.rolled_back(2).now, GLOBEX);
        let within = Owners::of(ACME).pass_to(GLOBEX, 3);
        assert_eq!(within.rolled_back(4).now, GLOBEX);
        assert_eq!(within.rolled_back(3).now, Owner::Unknown);
        assert_eq!(within.rolled_back(2).now, Owner::Unknown);
        // What was gone at the level above comes back only with that.
        let again = within.rolled_back(3).pass_to(GLOBEX, 2);
        assert_eq!((again.rolled_back(3).now, again.rolled_back(2).now), (GLOBEX, Owner::Unknown));
    }

    #[test]
    fn what_a_released_savepoint_did_is_of_the_one_around_it() {
        let released = Owners::of(ACME).pass_to(GLOBEX, 3).released(3);
        assert_eq!((released.rolled_back(3).now, released.rolled_back(2).now), (GLOBEX, Owner::Unknown));
    }

    #[test]
    fn left_overs_are_told_by_kind_alone() {
        let secret = vec!["acme_secret".to_owned()];
        assert_eq!(describe(&secret, &secret, true), "cursors WITH HOLD, prepared statements, temporary objects");
        assert_eq!(describe(&[], &secret, false), "prepared statements");
    }
}
