//! Setting, clearing and requiring the context from SQL.

use super::cache::Trust;
use super::leftovers::Remedy;
use super::resolve::{admit, admit_by, effective_name, find};
use super::{cursors, given, hot, own, pin, presence, seal, token};
use crate::catalog::registry;
use crate::error::{Error, Result};
use crate::guc;
use crate::sys::option::{self, Scope};
use crate::sys::{counting, discretion, invalidation, role, xact};
use uuid::Uuid;

/// Validates the tenant and sets it for the transaction or the session. Returns its id.
///
/// # Errors
/// 25P01 for a transaction's tenant outside of a transaction block; otherwise as for `resolve`.
pub fn set_tenant(name: &str, is_local: bool) -> Result<Uuid> {
    let scope = scope(is_local, SET_LOCAL)?;
    if xact::in_restricted_operation() {
        return Err(Error::RestrictedOperation);
    }
    seal::check_tenant(name)?;
    invalidation::accept();
    let role = role::outer();
    let tenant = admit(role, name, Trust::Access, Remedy::Discard)?;
    pin::with_checked(|| option::set(guc::TENANT_ID, name, scope));
    own::before_run()?;
    // A query that is to be told for whom it reads hears of it where it reads, and a statement that has yet to count for the
    // tenant counts where it uses it; and next to a token, both count.
    if !cursors::wants_note() && !counting::owes(tenant.id) && !guc::has_token() {
        hot::remember(role, Some(&tenant));
    }
    Ok(tenant.id)
}

/// Verifies the token and sets it for the transaction or the session. Returns the id of the tenant that it names.
///
/// # Errors
/// 28000 for a token that proves nothing; 25P01 for a transaction's token outside of a transaction block; otherwise as for
/// `resolve`.
pub fn authenticate(token: &str, is_local: bool) -> Result<Uuid> {
    discretion::veil_statement_with(token);
    let scope = scope(is_local, "tenancy.authenticate(..., is_local => true)")?;
    if xact::in_restricted_operation() {
        return Err(Error::RestrictedOperation);
    }
    invalidation::accept();
    let role = role::outer();
    let proof = token::prove(token)?;
    let tenant = admit_by(role, proof.tenant(), Trust::Signed, Remedy::Discard, || token::prove(token).map(Some))?;
    pin::with_checked(|| option::set(guc::TOKEN, token, scope));
    own::before_run()?;
    if !cursors::wants_note() && !counting::owes(tenant.id) {
        hot::remember(role, Some(&tenant));
    }
    Ok(tenant.id)
}

/// Removes the tenant, and a token, for the transaction or the session.
///
/// # Errors
/// 25P01 for the transaction outside of a transaction block.
pub fn clear_tenant(is_local: bool) -> Result<()> {
    let scope = scope(is_local, "tenancy.clear_tenant(is_local => true)")?;
    option::set(guc::TENANT_ID, "", scope);
    if guc::has_token() {
        option::set(guc::TOKEN, "", scope);
    }
    own::before_run()
}

/// The id of the tenant in force.
///
/// # Errors
/// 42501 when there is none; otherwise as for `resolve`.
pub fn require() -> Result<Uuid> {
    hot::id()?.ok_or(Error::NoTenant)
}

/// The id of the tenant that the session is set to act for, if it is, and may. It isn't taken thereby: the transaction may
/// yet take another one.
///
/// # Errors
/// As for `find`.
pub fn acting() -> Result<Option<Uuid>> {
    given::look_up();
    // Where the extension is not installed, a setting of its name means nothing.
    let Some((name, trust)) = effective_name().filter(|_| registry::get().is_ok()) else { return Ok(None) };
    let tenant = find(&name, trust).inspect_err(|_| presence::refused())?;
    Ok(Some(tenant.id))
}

/// Refuses a tenant for the transaction outside of a transaction block.
///
/// # Errors
/// 25P01
pub fn check_scope(is_local: bool) -> Result<()> {
    scope(is_local, SET_LOCAL).map(drop)
}

const SET_LOCAL: &str = "tenancy.set_tenant(..., is_local => true)";

fn scope(is_local: bool, call: &'static str) -> Result<Scope> {
    match (is_local, xact::in_block()) {
        (false, _) => Ok(Scope::Session),
        (true, true) => Ok(Scope::Transaction),
        (true, false) => Err(Error::NoTransactionBlock(call)),
    }
}
