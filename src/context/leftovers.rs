//! A session that passes from one tenant to another, as pooled ones do, must not carry anything over:
//! a cursor or statement of the one could show its rows to the other, a temporary table could take in
//! what the other writes.
//!
//! Nothing is looked for while the tenant stays the same.

use super::cache::Tenant;
use super::resolve::effective_name;
use crate::catalog::leftovers;
use crate::error::{Error, Result};
use crate::guc::{self, OnLeftovers};
use crate::sys::backend::{BackendCell, Raised};
use crate::sys::{leftovers as session, xact};
use crate::tenant::{TenantKey, TenantRef};
use std::cell::RefCell;
use uuid::Uuid;

/// The tenants that the session acted for: what it holds may be theirs.
#[derive(Default)]
struct Tenants {
    /// In the last transaction that was committed with a tenant.
    last: Option<(Uuid, TenantKey)>,
    /// In this transaction. A rollback brings back what the check has seen gone, so it is forgotten then.
    checked: Option<(Uuid, TenantKey)>,
}

thread_local! {
    static TENANTS: RefCell<Tenants> = RefCell::default();
}

/// The setting may name another tenant than it did; set by the assign hook, which can do no more.
static CHANGED: BackendCell<bool> = BackendCell::new(false);

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

/// A statement is about to run, though maybe not one that uses the tenant that is set.
pub fn before_run() -> Result<()> {
    if !CHANGED.get() || ASIDE.get() || xact::in_parallel_worker() {
        return Ok(());
    }
    if let Some((name, _)) = effective_name()
        && let Ok(tenant) = TenantRef::parse(&name)
        && !is_known(|id, key| tenant.names(*id, key))
    {
        check(Remedy::None)?;
    }
    CHANGED.set(false);
    Ok(())
}

/// The transaction takes this tenant.
pub fn take(tenant: &Tenant, remedy: Remedy) -> Result<()> {
    if ASIDE.get() || xact::in_parallel_worker() {
        return Ok(());
    }
    if !is_known(|id, _| *id == tenant.id) {
        check(remedy)?;
    }
    TENANTS.with_borrow_mut(|tenants| {
        if tenants.checked.as_ref().is_none_or(|(id, _)| *id != tenant.id) {
            tenants.checked = Some((tenant.id, tenant.key.clone()));
        }
    });
    Ok(())
}

/// The top-level transaction has ended.
pub fn transaction_ended(committed: bool) {
    TENANTS.with_borrow_mut(|tenants| {
        if let (Some(checked), true) = (tenants.checked.take(), committed) {
            tenants.last = Some(checked);
        }
    });
}

/// A savepoint was rolled back: what was gone may be there again.
pub fn savepoint_rolled_back() {
    if ASIDE.get() {
        return;
    }
    TENANTS.with_borrow_mut(|tenants| tenants.checked = None);
    CHANGED.set(true);
}

/// Whether what the session holds can only be of the tenant that `is` asks for.
fn is_known(is: impl Fn(&Uuid, &TenantKey) -> bool) -> bool {
    TENANTS.with_borrow(|tenants| {
        let latest = tenants.checked.as_ref().or(tenants.last.as_ref());
        latest.is_some_and(|(id, key)| is(id, key))
    })
}

/// Looks for what the session's former tenant left. What was made before the first one is nobody's.
fn check(remedy: Remedy) -> Result<()> {
    if TENANTS.with_borrow(|tenants| tenants.checked.is_none() && tenants.last.is_none()) {
        return Ok(());
    }
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

    #[test]
    fn left_overs_are_told_by_kind_alone() {
        let secret = vec!["acme_secret".to_owned()];
        assert_eq!(describe(&secret, &secret, true), "cursors WITH HOLD, prepared statements, temporary objects");
        assert_eq!(describe(&[], &secret, false), "prepared statements");
    }
}
