//! Setting, clearing and requiring the context from SQL.

use super::cache::Trust;
use super::leftovers::Remedy;
use super::resolve::{admit, admit_by, effective_name};
use super::{cursors, hot, pin, seal, token};
use crate::error::{Error, Result};
use crate::guc;
use crate::sys::option::{self, Scope};
use crate::sys::{invalidation, role, xact};
use uuid::Uuid;

/// Validates the tenant and sets it for the transaction or the session. Returns its id.
///
/// # Errors
/// 25P01 for a transaction's tenant outside of a transaction block; otherwise as for `resolve`.
pub fn set_tenant(name: &str, is_local: bool) -> Result<Uuid> {
    let scope = scope(is_local, "tenancy.set_tenant(..., is_local => true)")?;
    if xact::in_restricted_operation() {
        return Err(Error::RestrictedOperation);
    }
    seal::check_tenant(name)?;
    invalidation::accept();
    let role = role::outer();
    let tenant = admit(role, name, Trust::Access, Remedy::Discard)?;
    pin::with_checked(|| option::set(guc::TENANT_ID, name, scope));
    // A query that is to be told for whom it reads hears of it where it reads; and next to a token, both count.
    if !cursors::wants_note() && !guc::has_token() {
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
    let scope = scope(is_local, "tenancy.authenticate(..., is_local => true)")?;
    if xact::in_restricted_operation() {
        return Err(Error::RestrictedOperation);
    }
    invalidation::accept();
    let role = role::outer();
    let proof = token::prove(token)?;
    let tenant = admit_by(role, proof.tenant(), Trust::Signed, Remedy::Discard, || token::prove(token).map(Some))?;
    pin::with_checked(|| option::set(guc::TOKEN, token, scope));
    if !cursors::wants_note() {
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
    Ok(())
}

/// The id of the tenant in force.
///
/// # Errors
/// 42501 when there is none; otherwise as for `resolve`.
pub fn require() -> Result<Uuid> {
    let (name, trust) = effective_name().ok_or(Error::NoTenant)?;
    super::resolve()?;
    Ok(admit(role::outer(), &name, trust, Remedy::None)?.id)
}

fn scope(is_local: bool, call: &'static str) -> Result<Scope> {
    match (is_local, xact::in_block()) {
        (false, _) => Ok(Scope::Session),
        (true, true) => Ok(Scope::Transaction),
        (true, false) => Err(Error::NoTransactionBlock(call)),
    }
}
