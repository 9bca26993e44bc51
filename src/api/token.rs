//! The keys that tokens are verified with. `tenancy.authenticate()` is with the context.

use super::{jsonb, required};
use crate::registry::{self, NewKey};
use pgrx::AnyElement;
use pgrx::datum::{Interval, TimestampWithTimeZone};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

#[pg_extern(sql = false)]
#[allow(clippy::too_many_arguments)]
fn add_jwt_key(
    kid: Option<&str>,
    algorithm: Option<&str>,
    key: Option<&str>,
    tenant_claim: Option<&str>,
    issuer: Option<String>,
    audience: Option<String>,
    leeway: Option<Interval>,
    not_before: Option<TimestampWithTimeZone>,
    not_after: Option<TimestampWithTimeZone>,
) -> Result<(), ErrorReport> {
    Ok(registry::add_jwt_key(&NewKey {
        kid: required(kid, "kid")?,
        algorithm: required(algorithm, "algorithm")?,
        key: required(key, "key")?,
        terms: registry::Terms {
            tenant_claim: required(tenant_claim, "tenant_claim")?.to_owned(),
            issuer,
            audience,
            leeway: required(leeway, "leeway")?,
            not_before,
            not_after,
        },
    })?)
}

#[pg_extern(sql = false)]
fn remove_jwt_key(kid: Option<&str>) -> Result<(), ErrorReport> {
    Ok(registry::remove_jwt_key(required(kid, "kid")?)?)
}

#[pg_extern(sql = false)]
fn import_jwks(
    jwks: Option<AnyElement>,
    tenant_claim: Option<&str>,
    issuer: Option<String>,
    audience: Option<String>,
    leeway: Option<Interval>,
    not_before: Option<TimestampWithTimeZone>,
    not_after: Option<TimestampWithTimeZone>,
) -> Result<i32, ErrorReport> {
    let terms = registry::Terms {
        tenant_claim: required(tenant_claim, "tenant_claim")?.to_owned(),
        issuer,
        audience,
        leeway: required(leeway, "leeway")?,
        not_before,
        not_after,
    };
    Ok(registry::import_jwks(&required(jsonb(jwks), "jwks")?, &terms)?)
}
