//! A rate of statements: what `tenancy.enforce_rate` names, each statement of a tenant takes one of.

use super::rates;
use crate::catalog::bounds;
use crate::catalog::quotas::Kind;
use crate::error::{Error, Result};
use crate::guc;
use crate::sys::backend::BackendCell;
use crate::sys::slots::Key;
use crate::sys::{counting, role};
use uuid::Uuid;

/// Tells the tenant that the session acts for, authorised.
static ACTING: BackendCell<fn() -> Result<Option<Uuid>>> = BackendCell::new(|| Ok(None));

/// Called once per backend.
pub fn init(acting: fn() -> Result<Option<Uuid>>) {
    ACTING.set(acting);
    counting::watch(counted, take);
}

/// Whom a statement counts for that a client sent. Who is not bound by row security is not bound by this either: the setting
/// may hold for a whole database, and must not lock out those who keep it.
fn counted() -> Result<Option<Uuid>> {
    if role::bypasses(role::outer()) { Ok(None) } else { (ACTING.get())() }
}

fn take(tenant: Uuid) -> Result<()> {
    if role::bypasses(role::outer()) {
        return Ok(());
    }
    let name = guc::enforce_rate();
    let resource = bounds::resource(&name).map_err(|error| match error {
        Error::UnknownResource(name) => Error::UnknownEnforcedRate(name),
        other => other,
    })?;
    if resource.kind != Kind::Rate {
        return Err(Error::UnknownEnforcedRate(name));
    }
    rates::take(&Key { tenant, resource: resource.id }, &name, 1).map(|_| ())
}
