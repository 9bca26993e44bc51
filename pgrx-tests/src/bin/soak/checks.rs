//! Whether all is as it should be, while nobody works.

use std::collections::HashMap;
use std::thread;
use std::time::Duration;

use tenancy_harness::postgres::{Client, Error, Row};
use tenancy_harness::{Cluster, Session};

use crate::site::{RATE, RATE_SECONDS, Resident, Site, Status, TABLES};
use crate::tally::read;

/// What a line of the server's log begins with, before its code.
pub const LOG_MARK: &str = "@";

/// The tables as the last entry of each row in the log says that they are.
const REPLAY: &str = "
    with last as (select distinct on (row_key) op, new_row from tenancy.audit_log where tbl = '$TABLE'::regclass order by row_key, id desc)
    select count(*) from (
      (select to_jsonb(t) from $TABLE t except all select new_row from last where op <> 'DELETE')
      union all (select new_row from last where op <> 'DELETE' except all select to_jsonb(t) from $TABLE t)) difference";

/// What is counted as something else than it is, of the tenants that are there.
const COUNTS: &str = "
    select t.key, c.resource, u.used::bigint, c.there
      from tenancy.tenants t
     cross join lateral (
           select 'orders' as resource, count(*) as there from orders where tenant_id = t.id
           union all select 'points', count(*) from points where tenant_id::text = t.key
           union all select 'seats', coalesce(sum(amount), 0)::bigint from ledger where tenant_id = t.id) c
      left join tenancy.quota_usage u on u.tenant = t.key and u.resource = c.resource
     where t.status <> 'erased' and u.used is distinct from c.there";

/// Clients that have gone in the middle of something are not heard of any more, but their statements may still run.
fn wait_for_silence(site: &Site<'_>) -> Option<Client> {
    for _ in 0..600 {
        if let Ok(mut client) = site.fixture.try_connect(Cluster::SUPERUSER, "") {
            let busy = client.query_one(
                "select count(*) from pg_stat_activity where usename = any($1) and state <> 'idle'",
                &[&site.roles().as_slice()],
            );
            if busy.is_ok_and(|row| row.get::<_, i64>(0) == 0) {
                return Some(client);
            }
        }
        thread::sleep(Duration::from_millis(100));
    }
    site.tally.fault("the sessions don't come to rest".to_owned());
    None
}

/// Looks at everything that is cheap to look at; the caller sees to it that nobody works.
pub fn at_rest(site: &Site<'_>) {
    let Some(mut client) = wait_for_silence(site) else { return };
    if let Err(error) = look(site, &mut client) {
        site.tally.fault(format!("it can't be looked at: {error:?}"));
    }
}

fn look(site: &Site<'_>, client: &mut Client) -> Result<(), Error> {
    let fault = |what: String| site.tally.fault(what);
    for row in client.query(COUNTS, &[])? {
        let (tenant, resource, used, there): (String, String, Option<i64>, i64) =
            (row.get(0), row.get(1), row.get(2), row.get(3));
        fault(format!("COUNT: {resource} of {tenant} are counted as {used:?}, and there are {there}"));
    }
    // This also knows how to count bytes, and puts right what is wrong.
    for row in
        client.query("select resource, tenant_id::text, was, now from tenancy.recount() where was <> now", &[])?
    {
        let (resource, tenant, was, now): (String, String, i64, i64) = (row.get(0), row.get(1), row.get(2), row.get(3));
        fault(format!("COUNT: {resource} of {tenant} was counted as {was}, and there are {now}"));
    }
    let over = "select format('%s of %s: %s of %s', resource, tenant, used, max) from tenancy.quota_usage
                 where used > max and resource <> 'calls'";
    for row in client.query(over, &[])? {
        fault(format!("COUNT: {}", row.get::<_, String>(0)));
    }
    owners(site, client)?;
    let residents = site.residents();
    // What is spent comes back continuously, and is all back after a crash.
    let crashes = read(&site.tally.crashes);
    for resident in &residents {
        let admitted = read(&resident.admitted);
        let bound = RATE * (1 + crashes) + RATE * (resident.since.elapsed().as_secs() + 1) / RATE_SECONDS;
        if admitted > bound {
            fault(format!("COUNT: {} was admitted {admitted} calls, of {bound} at most", resident.key));
        }
    }
    client.batch_execute("select tenancy.audit_seal()")?;
    let findings = client.query("select ok, format('%s: %s', first_bad, detail) from tenancy.audit_verify()", &[])?;
    all_is_well(site, "CHAIN", &findings);
    // What versions of the server are known for is no matter of the soak.
    let health =
        "select ok, format('%s: %s', h.check, detail) from tenancy.health() h where h.check <> 'server_version'";
    all_is_well(site, "HEALTH", &client.query(health, &[])?);
    Ok(())
}

/// Each of the rows says that something is so, and what; no rows say nothing, and neither does NULL.
fn all_is_well(site: &Site<'_>, what: &str, rows: &[Row]) {
    if rows.is_empty() {
        site.tally.fault(format!("{what}: nothing was found out"));
    }
    for row in rows.iter().filter(|row| row.get::<_, Option<bool>>(0) != Some(true)) {
        site.tally.fault(format!("{what}: {}", row.get::<_, String>(1)));
    }
}

/// Every row is of a tenant that is not gone, and bears its canary, whatever the tenant column's type.
fn owners(site: &Site<'_>, client: &mut Client) -> Result<(), Error> {
    let residents = site.residents();
    let by_name: HashMap<&str, &Resident> =
        residents.iter().flat_map(|one| [(one.id.as_str(), &**one), (one.key.as_str(), &**one)]).collect();
    for table in TABLES.iter().chain(&["ledger"]) {
        let mark = if TABLES.contains(table) { "substring(body for 23)" } else { "null" };
        for row in client.query(&format!("select distinct tenant_id::text, {mark}::text from {table}"), &[])? {
            let (tenant, mark): (String, Option<String>) = (row.get(0), row.get(1));
            match by_name.get(tenant.as_str()) {
                None => site.tally.fault(format!("ISOLATION: {table} has a row of {tenant}, which is nobody")),
                Some(owner) if owner.standing().0 == Status::Erased => {
                    site.tally.fault(format!("ERASURE: {table} has a row of {tenant}, which was erased"));
                }
                Some(owner) if mark.as_ref().is_some_and(|mark| mark != owner.canary.text()) => {
                    site.tally.fault(format!("ISOLATION: {table} has a row of {tenant} with {mark:?}"));
                }
                Some(_) => {}
            }
        }
    }
    Ok(())
}

/// What takes longer, when all is over.
pub fn at_the_end(site: &Site<'_>) -> String {
    let Some(mut client) = wait_for_silence(site) else { return String::new() };
    for table in TABLES.iter().chain(&["ledger"]) {
        let differing = client.value(&REPLAY.replace("$TABLE", table));
        if differing.as_deref() != Some("0") {
            site.tally.fault(format!("LOG: {table} is not what the log makes of it, in {differing:?} rows"));
        }
    }
    log(site);
    // Whoever attacks now, with all the rows there are.
    match client.query("select blocked, format('%s of %s: %s', attack, tbl, detail) from tenancy.prove()", &[]) {
        Ok(rows) => all_is_well(site, "PROOF", &rows),
        Err(error) => site.tally.fault(format!("PROOF: {error:?}")),
    }
    client
        .value("select format('%s entries in the log, %s links in its chain, %s rows', (select count(*) from tenancy.audit_log),
            (select count(*) from tenancy.audit_chain),
            (select count(*) from orders) + (select count(*) from notes) + (select count(*) from points) + (select count(*) from ledger))")
        .unwrap_or_default()
}

/// What the server's log has: no process has gone but those that were killed, and no error that may not happen.
fn log(site: &Site<'_>) {
    let log = site.fixture.cluster().log();
    let ended: Vec<&str> = log.lines().filter(|line| line.contains("was terminated by signal")).collect();
    let (killed, others): (Vec<&str>, Vec<&str>) = ended.into_iter().partition(|line| line.contains("by signal 9"));
    for line in others {
        site.tally.fault(format!("CRASH: {line}"));
    }
    if killed.len() as u64 != read(&site.tally.crashes) {
        site.tally.fault(format!("CRASH: of {} killed sessions the log has {killed:?}", read(&site.tally.crashes)));
    }
    for line in log.lines() {
        let Some(rest) = line.strip_prefix(LOG_MARK) else { continue };
        let Some((code, what)) = rest.split_once(' ') else { continue };
        if ["ERROR:", "FATAL:", "PANIC:"].iter().any(|severity| what.starts_with(severity)) {
            site.tally.logged(code, what);
        }
    }
}
