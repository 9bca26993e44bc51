//! Whether the extension is well: what is found is judged here, check by check.

use crate::catalog::health::{self, Audit, Keys, Replication};
use crate::catalog::{extension, worker};
use crate::error::Result;
use crate::sys::table::Usage;
use crate::sys::{clock, rates, tally};
use std::time::Duration;

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    pub name: &'static str,
    pub ok: bool,
    pub detail: String,
}

/// How long a background worker may take to be found, when none is free.
const PATIENCE: Duration = Duration::from_millis(200);

const DAY: i64 = 86_400;

/// How far a standby may be behind, in seconds: so long a suspended tenant is served there.
const MAX_LAG: i64 = 60;

/// Everything, in the order in which it is shown. `weaknesses` are those that the server is known to have.
pub fn examine(weaknesses: Option<String>) -> Result<Vec<Check>> {
    let audit = health::audit(DAY as f64)?;
    let (protected, broken) = health::protection()?;
    Ok(vec![
        library(tally::exists(), &extension::schema_version()?),
        server(weaknesses),
        workers(worker::answers(PATIENCE)),
        memory("rates_memory", "rates", rates::usage(clock::monotonic())),
        memory("stats_memory", "statistics", tally::usage()),
        protection(protected, &broken, &health::unrecorded()?),
        guards(&health::sleeping_guards()?, &health::guards_switched_off()?),
        partitions(&audit),
        seal(&audit),
        keys(&health::keys()?),
        replication(&health::replication()?),
    ])
}

fn check(name: &'static str, ok: bool, detail: impl Into<String>) -> Check {
    Check { name, ok, detail: detail.into() }
}

/// The library that is at work is the one that the SQL was made for, and has been so since the server began.
fn library(is_preloaded: bool, installed: &str) -> Check {
    let (own, name) = (extension::LIBRARY, "library");
    if installed != own {
        let remedy = if extension::is_newer(installed, own) {
            "install the package of that version, and restart the server"
        } else {
            "run ALTER EXTENSION pg_tenancy UPDATE"
        };
        check(name, false, format!("the library is of version {own}, the extension of {installed}: {remedy}"))
    } else if is_preloaded {
        check(name, true, format!("version {own}, preloaded"))
    } else {
        check(name, false, "pg_tenancy is not in shared_preload_libraries")
    }
}

fn server(weaknesses: Option<String>) -> Check {
    let ok = weaknesses.is_none();
    check("server_version", ok, weaknesses.unwrap_or_else(|| "no known way round row security".into()))
}

/// What is to survive its transaction is written by background workers, such as that row security was bypassed.
fn workers(answered: Option<bool>) -> Check {
    let name = "workers";
    match answered {
        None => check(name, true, "a standby has none"),
        Some(true) => check(name, true, "a background worker answered"),
        Some(false) => check(name, false, "no background worker could be started: raise max_worker_processes"),
    }
}

fn memory(name: &'static str, what: &str, usage: Option<Usage>) -> Check {
    match usage {
        None => check(name, false, "no shared memory: pg_tenancy is not in shared_preload_libraries"),
        Some(Usage { slots, needed, lost, .. }) => {
            let full = if needed < slots { "" } else { ": raise tenancy.max_tracked_tenants" };
            check(name, needed < slots, format!("{needed} of {slots} slots for {what} needed, {lost} lost{full}"))
        }
    }
}

/// `broken` tables are recorded and not protected, `unrecorded` ones the other way round.
fn protection(count: i64, broken: &[String], unrecorded: &[String]) -> Check {
    let of = |what: &str, tables: &[String]| match tables {
        [] => None,
        _ => Some(format!("{what} {}", list(tables))),
    };
    let amiss = [
        of("row security or policies are missing from", broken),
        of("policies are there, but no record, of", unrecorded),
    ];
    let amiss: Vec<String> = amiss.into_iter().flatten().collect();
    if amiss.is_empty() {
        check("protection", true, format!("{count} protected tables have row security and its policies"))
    } else {
        check("protection", false, format!("{}: see tenancy.doctor()", amiss.join("; ")))
    }
}

fn guards(sleeping: &[String], switched_off: &[String]) -> Check {
    let name = "guards";
    if !sleeping.is_empty() {
        check(name, false, format!("event triggers are missing or off: {}; see tenancy.doctor()", list(sleeping)))
    } else if !switched_off.is_empty() {
        check(name, false, format!("switched off: {}", list(switched_off)))
    } else {
        check(name, true, "all event triggers are there and always fire")
    }
}

fn partitions(audit: &Audit) -> Check {
    let name = "audit_partitions";
    if audit.tables == 0 {
        return check(name, true, "no table is audited");
    }
    // A month may have begun since the last were made.
    if audit.months_to_make.len() <= 1 && !audit.are_some_stray {
        let ahead = 3 - audit.months_to_make.len();
        return check(
            name,
            true,
            format!("{} audited tables, and partitions for the next {ahead} months", audit.tables),
        );
    }
    let missing = list(&audit.months_to_make);
    check(name, false, format!("partitions are missing: {missing}; call tenancy.audit_maintain() regularly"))
}

fn seal(audit: &Audit) -> Check {
    let name = "audit_seal";
    match audit.sealed_ago {
        None => check(name, true, "the audit log was never sealed"),
        Some(ago) => {
            let ago = duration(ago);
            if audit.is_behind {
                check(
                    name,
                    false,
                    format!("last sealed {ago} ago, and entries of more than a day wait: call tenancy.audit_seal()"),
                )
            } else {
                check(name, true, format!("last sealed {ago} ago"))
            }
        }
    }
}

fn keys(keys: &Keys) -> Check {
    let name = "token_keys";
    match (keys.are_needed, keys.count, keys.left) {
        (false, ..) => check(name, true, "no access asks for tokens"),
        (true, 0, _) => check(name, false, "access asks for tokens, and no key verifies them now"),
        (true, count, None) => check(name, true, format!("{count} keys verify tokens")),
        (true, count, Some(left)) => {
            let detail = format!("{count} keys verify tokens, the last of them for another {}", duration(left));
            check(name, left > DAY, detail)
        }
    }
}

fn replication(replication: &Replication) -> Check {
    let name = "replication";
    match *replication {
        Replication::Primary { standbys: 0, .. } => check(name, true, "a primary without standbys"),
        Replication::Primary { standbys, catching_up, behind } => {
            let lag = behind.unwrap_or(0);
            let late = if catching_up == 0 { String::new() } else { format!("{catching_up} of them catching up, ") };
            check(
                name,
                lag <= MAX_LAG && catching_up == 0,
                format!("a primary with {standbys} standbys, {late}the slowest {} behind", duration(lag)),
            )
        }
        Replication::Standby { is_paused: true, .. } => {
            check(name, false, "a standby whose replay is paused: suspended tenants and revoked access go on here")
        }
        Replication::Standby { streams: true, is_even: true, .. } => {
            check(name, true, "a standby that is even with its primary")
        }
        Replication::Standby { streams, behind, .. } => {
            let how = if streams { "streams" } else { "does not stream" };
            let since = behind.map_or_else(
                || "nothing was replayed yet".into(),
                |lag| format!("the last replayed commit is {} old", duration(lag)),
            );
            check(name, behind.map_or(streams, |lag| lag <= MAX_LAG), format!("a standby that {how}; {since}"))
        }
    }
}

/// The first of them, and how many there are.
fn list(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match names.len().checked_sub(SHOWN) {
        Some(more) if more > 0 => format!("{shown} and {more} more"),
        _ => shown,
    }
}

fn duration(seconds: i64) -> String {
    match seconds.max(0) {
        s if s < 120 => format!("{s} s"),
        s if s < 2 * 3600 => format!("{} min", s / 60),
        s if s < 2 * DAY => format!("{} h", s / 3600),
        s => format!("{} d", s / DAY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_of_another_version_is_told_of_first() {
        assert!(library(true, extension::LIBRARY).ok);
        assert!(library(false, "0.0.9").detail.contains("0.0.9: run ALTER EXTENSION"));
        assert!(library(true, "99.0.0").detail.contains("99.0.0: install"));
        assert!(!library(false, extension::LIBRARY).ok);
    }

    #[test]
    fn a_full_table_is_not_well() {
        let usage = |needed| Some(Usage { slots: 3, used: 3, needed, evicted: 0, lost: 0 });
        assert!(memory("m", "rates", usage(2)).ok);
        assert!(!memory("m", "rates", usage(3)).ok && !memory("m", "rates", None).ok);
    }

    #[test]
    fn guards_that_are_switched_off_are_not_well() {
        let some = ["x".to_owned()];
        assert!(guards(&[], &[]).ok);
        assert!(!guards(&some, &[]).ok && !guards(&[], &some).ok);
    }

    #[test]
    fn tables_with_policies_or_a_record_alone_are_told_apart() {
        let names = |name: &str| vec![name.to_owned()];
        assert!(protection(2, &[], &[]).ok);
        let found = protection(2, &names("a"), &names("b"));
        assert!(!found.ok && found.detail.contains("from a; ") && found.detail.contains("of b: "), "{found:?}");
        assert!(!protection(0, &[], &names("b")).ok);
    }

    #[test]
    fn months_may_be_missing_only_at_the_far_end() {
        let audit = |tables, missing: usize, are_some_stray| {
            let months_to_make = vec!["audit_log_2026_11".to_owned(); missing];
            partitions(&Audit { tables, months_to_make, are_some_stray, ..Audit::default() }).ok
        };
        assert!(audit(0, 4, false) && audit(1, 0, false) && audit(1, 1, false));
        assert!(!audit(1, 2, false) && !audit(1, 1, true));
    }

    #[test]
    fn keys_that_end_within_a_day_are_not_well() {
        let ok = |are_needed, count, left| keys(&Keys { are_needed, count, left }).ok;
        assert!(ok(false, 0, None) && ok(true, 1, None) && ok(true, 1, Some(2 * DAY)));
        assert!(!ok(true, 0, None) && !ok(true, 2, Some(DAY / 2)));
    }

    #[test]
    fn a_standby_is_well_while_it_follows() {
        let standby = |streams, is_paused, is_even, behind| {
            replication(&Replication::Standby { streams, is_paused, is_even, behind }).ok
        };
        assert!(
            standby(true, false, true, Some(9_999))
                && standby(true, false, false, Some(3))
                && standby(false, false, false, Some(3))
        );
        assert!(
            !standby(true, true, true, Some(1))
                && !standby(false, false, true, Some(100))
                && !standby(false, false, false, None)
        );
        let primary =
            |standbys, catching_up, behind| replication(&Replication::Primary { standbys, catching_up, behind }).ok;
        assert!(primary(0, 0, None) && primary(1, 0, None) && primary(2, 0, Some(5)));
        assert!(!primary(2, 0, Some(61)) && !primary(2, 1, None));
    }

    #[test]
    fn long_lists_are_cut_short() {
        let names: Vec<String> = (1..=7).map(|n| format!("t{n}")).collect();
        assert_eq!(list(&names), "t1, t2, t3, t4, t5 and 2 more");
        assert_eq!(list(&names[..2]), "t1, t2");
    }
}
