//! Who lets tenants come and go meanwhile, and who kills sessions.

use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tenancy_harness::postgres::{Client, Error};
use tenancy_harness::{Dice, kill9};

use crate::site::{Resident, Site, Status, TENANTS_AT_MOST};
use crate::tally::add;

/// One change after the other, until it is over.
pub fn administer(site: &Site<'_>, mut dice: Dice) {
    let mut superuser = None;
    while !site.is_over() {
        thread::sleep(Duration::from_millis(100 + dice.throw() % 500));
        let _turn = site.turns.read().unwrap_or_else(PoisonError::into_inner);
        let Some(mut client) = superuser.take().or_else(|| site.superuser()) else { return };
        match change(site, &mut client, &mut dice) {
            Ok(()) => superuser = Some(client),
            Err(error) => {
                let code = error.code().map_or("", |code| code.code()).to_owned();
                // Its own session goes with a crash, and erasing may meet writers.
                if !(client.is_closed() || ["40P01", "57P01", "57P02", "57P03"].contains(&code.as_str())) {
                    site.tally.fault(format!("an administrator's statement fails: {error:?}"));
                }
            }
        }
    }
}

fn change(site: &Site<'_>, client: &mut Client, dice: &mut Dice) -> Result<(), Error> {
    let residents = site.residents();
    let of = |wanted| residents.iter().filter(|resident| resident.standing().0 == wanted).collect::<Vec<_>>();
    // Who was changed when the session was killed.
    for resident in of(Status::Unknown) {
        resident.becomes(status(client, resident)?);
    }
    let (active, suspended) = (of(Status::Active), of(Status::Suspended));
    match dice.below(8) {
        0 | 1 if active.len() + suspended.len() < TENANTS_AT_MOST => {
            site.admit(client, dice)?;
            add(&site.tally.created, 1);
        }
        // Most are there to be worked for.
        2 | 3 if active.len() > 6 && suspended.len() < 5 => {
            let resident = dice.pick(&active);
            becomes(client, resident, Status::Suspended, "select tenancy.suspend_tenant($1, 'soak')")?;
            add(&site.tally.suspended, 1);
        }
        4 if !suspended.is_empty() => {
            let resident = dice.pick(&suspended);
            becomes(client, resident, Status::Active, "select tenancy.resume_tenant($1)")?;
            add(&site.tally.resumed, 1);
        }
        5 if suspended.len() > 1 => {
            let resident = dice.pick(&suspended);
            erase(client, resident, dice.throw().is_multiple_of(2))?;
            add(&site.tally.erased, 1);
        }
        6 => client.batch_execute("select tenancy.audit_seal(); select tenancy.meter_usage()")?,
        _ => {
            let resident = dice.pick(&active);
            let seconds = 60 + dice.below(60);
            client.batch_execute(&format!(
                "select tenancy.set_setting('postgres.statement_timeout', '\"{seconds}s\"', tenant => '{}')",
                resident.key
            ))?;
        }
    }
    Ok(())
}

fn becomes(client: &mut Client, resident: &Resident, status: Status, call: &str) -> Result<(), Error> {
    resident.becomes(Status::Unknown);
    client.execute(call, &[&resident.key])?;
    resident.becomes(status);
    Ok(())
}

fn erase(client: &mut Client, resident: &Arc<Resident>, with_audit: bool) -> Result<(), Error> {
    resident.becomes(Status::Unknown);
    let key = &resident.key;
    client.batch_execute(&format!("select tenancy.archive_tenant('{key}')"))?;
    client.batch_execute(&format!(
        "select * from tenancy.erase_tenant('{key}', confirm => '{key}', dry_run => false, erase_audit => {with_audit})"
    ))?;
    resident.becomes(Status::Erased);
    Ok(())
}

/// What became of it. One that is archived is on its way out, and stays as unknown.
fn status(client: &mut Client, resident: &Resident) -> Result<Status, Error> {
    let row =
        client.query_one("select status::text from tenancy.tenants where id = $1::text::uuid", &[&resident.id])?;
    Ok(match row.get::<_, &str>(0) {
        "active" => Status::Active,
        "suspended" => Status::Suspended,
        "erased" => Status::Erased,
        _ => {
            client.batch_execute(&format!(
                "select * from tenancy.erase_tenant('{key}', confirm => '{key}', dry_run => false)",
                key = resident.key
            ))?;
            Status::Erased
        }
    })
}

/// After a restart somebody still meets the crash for so long: poolers try again every second.
const AFTERSHOCK: Duration = Duration::from_secs(10);

/// Terminates sessions of wild clients, and now and then kills one of any client's, so that the server restarts; not in the second
/// half, in which sessions are watched that last.
pub fn kill(site: &Site<'_>, mut dice: Dice, start: Instant, length: Duration) {
    let interval = (length / 6).min(Duration::from_secs(240));
    let mut next_crash = start + interval;
    let mut superuser = None;
    while !site.is_over() {
        thread::sleep(Duration::from_millis(300 + dice.throw() % 1200));
        let _turn = site.turns.read().unwrap_or_else(PoisonError::into_inner);
        let Some(mut client) = superuser.take().or_else(|| site.superuser()) else { return };
        let crash = Instant::now() > next_crash && start.elapsed() < length / 2;
        let (all, wild) = (site.roles(), site.wild_roles());
        let roles = if crash { &all[..] } else { &wild[..] };
        let Ok(rows) = client.query("select pid from pg_stat_activity where usename = any($1)", &[&roles]) else {
            continue;
        };
        let pids: Vec<i32> = rows.iter().map(|row| row.get(0)).collect();
        if pids.is_empty() {
            superuser = Some(client);
            continue;
        }
        let pid = dice.pick(&pids);
        if crash {
            next_crash += interval;
            site.shake(PATIENCE * 2);
            if kill9(&pid.to_string()) {
                add(&site.tally.crashes, 1);
                until_it_ends(site, client);
                superuser = site.superuser();
            }
            site.shake(AFTERSHOCK);
        } else if let Ok(row) = client.query_one("select pg_terminate_backend($1)", &[&pid]) {
            add(&site.tally.terminated, u64::from(row.get::<_, bool>(0)));
            superuser = Some(client);
        }
    }
}

/// A server that was not back after so long does not restart.
const PATIENCE: Duration = Duration::from_secs(30);

/// After a crash the server ends all sessions, this one too: who comes then finds the new ones.
fn until_it_ends(site: &Site<'_>, mut client: Client) {
    let patience = Instant::now() + PATIENCE;
    while client.simple_query("").is_ok() {
        if Instant::now() > patience {
            site.tally.fault("a session was killed, and the server did not restart".to_owned());
            return;
        }
        thread::sleep(Duration::from_millis(20));
    }
}
