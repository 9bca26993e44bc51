//! What there is to know of the extension's state, each by a query that takes no longer on a large database. Needs the
//! rights of the extension's owner.

use super::{audit_log, spi};
use crate::error::Result;

const PROTECTION: &str = include_str!("../../sql/queries/health/protection.sql");
const UNRECORDED: &str = include_str!("../../sql/queries/health/unrecorded.sql");
const GUARDS: &str = include_str!("../../sql/queries/health/guards.sql");
const SWITCHED_OFF: &str = include_str!("../../sql/queries/health/switched_off.sql");
const AUDIT: &str = include_str!("../../sql/queries/health/audit.sql");
const KEYS: &str = include_str!("../../sql/queries/health/keys.sql");
const STANDBY: &str = include_str!("../../sql/queries/health/standby.sql");
const PRIMARY: &str = include_str!("../../sql/queries/health/primary.sql");

fn texts(query: &str) -> Result<Vec<String>> {
    spi::read(query, &[], |row| row.require(1))
}

fn one<T>(mut rows: Vec<T>) -> Option<T> {
    rows.pop()
}

/// How many tables are protected, and which of them not as they should be.
pub fn protection() -> Result<(i64, Vec<String>)> {
    let count = "SELECT pg_catalog.count(*) FROM tenancy.protection AS p WHERE p.kind OPERATOR(pg_catalog.<>) 'global'";
    Ok((one(spi::read(count, &[], |row| row.require(1))?).unwrap_or(0), texts(PROTECTION)?))
}

/// Tables that have the extension's policies, and are not recorded.
pub fn unrecorded() -> Result<Vec<String>> {
    texts(UNRECORDED)
}

/// Event triggers that are gone or off.
pub fn sleeping_guards() -> Result<Vec<String>> {
    texts(GUARDS)
}

/// Where guards are switched off by settings.
pub fn guards_switched_off() -> Result<Vec<String>> {
    texts(SWITCHED_OFF)
}

/// The audit log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Audit {
    pub tables: i64,
    /// Months without a partition, up to the third that follows.
    pub months_to_make: Vec<String>,
    /// There are entries for which there was none.
    pub are_some_stray: bool,
    /// Seconds; `None` when it never was.
    pub sealed_ago: Option<i64>,
    /// There are entries which should be sealed by now.
    pub is_behind: bool,
}

/// The audit log, of which entries should be sealed after so many seconds.
pub fn audit(patience: f64) -> Result<Audit> {
    let found = spi::read(AUDIT, &[patience.into()], |row| Ok((row.require(1)?, row.get(2)?, row.require(3)?)))?;
    let (tables, sealed_ago, is_behind) = one(found).unwrap_or_default();
    let (months_to_make, are_some_stray) = audit_log::months_to_make()?;
    Ok(Audit { tables, months_to_make, are_some_stray, sealed_ago, is_behind })
}

/// The keys that tokens are verified with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Keys {
    pub are_needed: bool,
    pub count: i64,
    /// Seconds until none is left; `None` for no end.
    pub left: Option<i64>,
}

/// The keys that tokens are verified with now.
pub fn keys() -> Result<Keys> {
    let found = spi::read(KEYS, &[], |row| {
        Ok(Keys { are_needed: row.require(1)?, count: row.require(2)?, left: row.get(3)? })
    })?;
    Ok(one(found).unwrap_or_default())
}

/// What the server is to others, or they to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replication {
    /// Seconds behind are those of the slowest; `None` when it isn't known, as where there is nothing to replay.
    Primary { standbys: i64, catching_up: i64, behind: Option<i64> },
    /// Seconds behind are those since the last commit that was replayed, which may be none's fault: not where the standby is
    /// even with its primary, having replayed all that this was last heard to have.
    Standby { streams: bool, is_paused: bool, is_even: bool, behind: Option<i64> },
}

/// What the server is to others.
pub fn replication() -> Result<Replication> {
    let recovers = spi::read("SELECT pg_catalog.pg_is_in_recovery()", &[], |row| row.require(1))?;
    let found = if one(recovers) == Some(true) {
        spi::read(STANDBY, &[], |row| {
            Ok(Replication::Standby {
                streams: row.require(1)?,
                is_paused: row.require(2)?,
                is_even: row.get(3)?.unwrap_or(false),
                behind: row.get(4)?,
            })
        })?
    } else {
        spi::read(PRIMARY, &[], |row| {
            Ok(Replication::Primary { standbys: row.require(1)?, catching_up: row.require(2)?, behind: row.get(3)? })
        })?
    };
    Ok(one(found).unwrap_or(Replication::Primary { standbys: 0, catching_up: 0, behind: None }))
}
