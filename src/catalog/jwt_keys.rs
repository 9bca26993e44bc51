//! `tenancy.jwt_keys`: what tokens are verified with.

use super::{registry, spi};
use crate::error::Result;
use crate::jwt::{Algorithm, Demands, Key};
use crate::sys::scan::{self, Key as By};
use pgrx::datum::{Interval, TimestampWithTimeZone};

// Attribute numbers of the table, fixed by its DDL; new columns come after these.
const KID: i16 = 1;
const ALGORITHM: usize = 2;
const KEY: usize = 3;
const TENANT_CLAIM: usize = 4;
const ISSUER: usize = 5;
const AUDIENCE: usize = 6;
const LEEWAY: usize = 7;
const NOT_BEFORE: usize = 8;
const NOT_AFTER: usize = 9;

/// A key as it is registered. Times are in microseconds since 1970.
#[derive(Clone)]
pub struct Registered {
    pub key: Key,
    pub demands: Demands,
    pub leeway: i64,
    pub not_before: Option<i64>,
    pub not_after: Option<i64>,
}

/// The key of that id, as last committed; `None` also when it can't be used.
pub fn find(kid: &str) -> Result<Option<Registered>> {
    let registry = registry::get()?;
    let mut found = None;
    scan::find(registry.jwt_keys, registry.jwt_keys_by_kid, &[(KID, By::Text(kid))], |row| {
        found = read(row);
        true
    });
    Ok(found)
}

fn read(row: &scan::Row) -> Option<Registered> {
    let algorithm = Algorithm::parse(&row.text(ALGORITHM)?)?;
    Some(Registered {
        key: Key::stored(algorithm, &row.text(KEY)?).ok()?,
        demands: Demands {
            tenant_claim: row.text(TENANT_CLAIM)?,
            issuer: row.text(ISSUER),
            audience: row.text(AUDIENCE),
        },
        leeway: i64::from(row.integer(LEEWAY)?) * 1_000_000,
        not_before: row.time(NOT_BEFORE),
        not_after: row.time(NOT_AFTER),
    })
}

/// What a key is registered with, besides itself.
#[derive(Debug, Clone)]
pub struct Terms {
    pub tenant_claim: String,
    pub issuer: Option<String>,
    pub audience: Option<String>,
    pub leeway: Interval,
    pub not_before: Option<TimestampWithTimeZone>,
    pub not_after: Option<TimestampWithTimeZone>,
}

/// The leeway in whole seconds; `None` when it is negative or longer than an hour.
pub fn leeway_seconds(leeway: Interval) -> Result<Option<i32>> {
    let seconds = spi::read(
        "SELECT CASE WHEN $1 BETWEEN '0'::pg_catalog.interval AND '1 hour'::pg_catalog.interval \
         THEN pg_catalog.date_part('epoch', $1)::pg_catalog.int4 END",
        &[leeway.into()],
        |row| row.get(1),
    )?;
    Ok(seconds.into_iter().next().flatten())
}

/// Registers a key. Returns false when there is one of that id already, and it isn't to be replaced, or is of another issuer.
pub fn put(kid: &str, key: &Key, terms: &Terms, leeway: i32, replace: bool) -> Result<bool> {
    const INSERT: &str = "INSERT INTO tenancy.jwt_keys AS k \
        (kid, algorithm, key, tenant_claim, issuer, audience, leeway, not_before, not_after) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (kid) ";
    const REPLACE: &str = "DO UPDATE SET algorithm = excluded.algorithm, key = excluded.key, \
        tenant_claim = excluded.tenant_claim, issuer = excluded.issuer, audience = excluded.audience, \
        leeway = excluded.leeway, not_before = excluded.not_before, not_after = excluded.not_after \
        WHERE k.issuer IS NOT DISTINCT FROM excluded.issuer";
    let statement = format!("{INSERT}{}", if replace { REPLACE } else { "DO NOTHING" });
    let count = spi::run(
        &statement,
        &[
            kid.into(),
            key.algorithm().name().into(),
            key.to_stored().into(),
            terms.tenant_claim.as_str().into(),
            terms.issuer.as_deref().into(),
            terms.audience.as_deref().into(),
            leeway.into(),
            terms.not_before.into(),
            terms.not_after.into(),
        ],
    )?;
    Ok(count > 0)
}

/// Removes a key. Returns false when there is none of that id.
pub fn delete(kid: &str) -> Result<bool> {
    Ok(spi::run("DELETE FROM tenancy.jwt_keys WHERE kid OPERATOR(pg_catalog.=) $1", &[kid.into()])? > 0)
}
