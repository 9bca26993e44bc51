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
use crate::sys::backend::BackendCell;
use crate::sys::{leftovers as session, xact};
use crate::tenant::{TenantKey, TenantRef};
use std::cell::RefCell;
use uuid::Uuid;

/// The tenant that the session acted for last.
enum Last {
    Named(TenantRef),
    Known(Uuid, TenantKey),
}

thread_local! {
    static LAST: RefCell<Option<Last>> = const { RefCell::new(None) };
}

/// The setting may name another tenant than it did; set by the assign hook, which can do no more.
static CHANGED: BackendCell<bool> = BackendCell::new(false);

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

/// A statement is about to run: the tenant that is set, though maybe not used yet, is the session's new one.
pub fn before_run() -> Result<()> {
    if !CHANGED.get() || xact::in_parallel_worker() {
        return Ok(());
    }
    if let Some((name, _)) = effective_name()
        && let Ok(tenant) = TenantRef::parse(&name)
        && !is_last(&tenant)
    {
        check(Remedy::None)?;
        LAST.set(Some(Last::Named(tenant)));
    }
    CHANGED.set(false);
    Ok(())
}

/// The session takes this tenant.
pub fn take(tenant: &Tenant, remedy: Remedy) -> Result<()> {
    if xact::in_parallel_worker() {
        return Ok(());
    }
    let (same, known) = LAST.with_borrow(|last| match last {
        None => (false, false),
        Some(Last::Named(named)) => (named.names(tenant.id, &tenant.key), false),
        Some(Last::Known(id, _)) => (*id == tenant.id, *id == tenant.id),
    });
    if !same {
        check(remedy)?;
    }
    if !known {
        LAST.set(Some(Last::Known(tenant.id, tenant.key.clone())));
    }
    Ok(())
}

fn is_last(tenant: &TenantRef) -> bool {
    LAST.with_borrow(|last| match last {
        None => false,
        Some(Last::Named(named)) => named == tenant,
        Some(Last::Known(id, key)) => tenant.names(*id, key),
    })
}

/// Looks for what the session's former tenant left. What was made before the first one is nobody's.
fn check(remedy: Remedy) -> Result<()> {
    let first = LAST.with_borrow(Option::is_none);
    let mode = guc::on_leftovers();
    if first || mode == OnLeftovers::Ignore {
        return Ok(());
    }
    session::forget_sequences();
    let seen = session::seen();
    let cursors = if seen.held_cursors { leftovers::held_cursors()? } else { Vec::new() };
    let statements = if seen.prepared_statements { leftovers::prepared_statements()? } else { Vec::new() };
    let temporary = session::has_temporary_objects();
    if !(cursors.is_empty() && statements.is_empty() && !temporary) {
        if mode == OnLeftovers::Error || remedy == Remedy::None {
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
    }
    session::forget();
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
