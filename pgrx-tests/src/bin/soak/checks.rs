//! Whether all is as it should be, while nobody works.

use std::collections::HashMap;
use std::thread;
use std::time::Duration;

use tenancy_harness::postgres::{Client, Error};
use tenancy_harness::{Cluster, Session};

use crate::site::{RATE, RATE_SECONDS, Site, TABLES};
use crate::tally::read;

/// The tables as the last entry of each row in the log says that they are.
const REPLAY: &str = "
    with last as (select distinct on (row_key) op, new_row from tenancy.audit_log where tbl = '$TABLE'::regclass order by row_key, id desc)
    select count(*) from (
      (select to_jsonb(t) from $TABLE t except all select new_row from last where op <> 'DELETE')
      union all (select new_row from last where op <> 'DELETE' except all select to_jsonb(t) from $TABLE t)) difference";

/// Clients that have gone in the middle of something are not heard of any more, but their statements may still run.
fn wait_for_silence(site: &Site<'_>) -> Option<Client> {
    for _ in 0..600 {
        if let Ok(mut client) = site.fixture.try_connect(Cluster::SUPERUSER, "") {
            let busy = client.query_one(
                "select count(*) from pg_stat_activity where usename in ($1, $2) and state <> 'idle'",
                &[&site.app, &site.api],
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
    let residents = site.residents();
    for row in
        client.query("select resource, tenant_id::text, was, now from tenancy.recount() where was <> now", &[])?
    {
        let (resource, tenant, was, now): (String, String, i64, i64) = (row.get(0), row.get(1), row.get(2), row.get(3));
        fault(format!("COUNT: {resource} of {tenant} is counted as {was}, and there are {now}"));
    }
    let ledger = "
        select u.tenant, u.used::bigint, coalesce((select sum(amount) from ledger l join tenancy.tenants t on t.id = l.tenant_id
                                                   where t.key = u.tenant), 0)::bigint
          from tenancy.quota_usage u where resource = 'seats'";
    for row in client.query(ledger, &[])? {
        let (tenant, used, sum): (String, i64, i64) = (row.get(0), row.get(1), row.get(2));
        if used != sum {
            fault(format!("COUNT: {tenant} has taken {sum} seats, and {used} are counted"));
        }
    }
    for over in client.texts(
        "select format('%s of %s: %s of %s', resource, tenant, used, max) from tenancy.quota_usage
                               where used > max and resource <> 'calls'",
    ) {
        fault(format!("COUNT: {over}"));
    }
    // Every row's canary is its tenant's, whatever the tenant column's type.
    let owners: HashMap<&str, &str> = residents
        .iter()
        .flat_map(|resident| {
            [(resident.id.as_str(), resident.canary.text()), (resident.key.as_str(), resident.canary.text())]
        })
        .collect();
    for table in TABLES {
        for row in
            client.query(&format!("select distinct tenant_id::text, substring(body for 23) from {table}"), &[])?
        {
            let (tenant, canary): (String, String) = (row.get(0), row.get(1));
            if owners.get(tenant.as_str()) != Some(&canary.as_str()) {
                fault(format!("ISOLATION: {table} has a row of {tenant} with {canary}"));
            }
        }
    }
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
    for bad in client.texts("select format('%s: %s', first_bad, detail) from tenancy.audit_verify() where not ok") {
        fault(format!("CHAIN: {bad}"));
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
    signals(site);
    client
        .value("select format('%s entries in the log, %s links in its chain, %s rows', (select count(*) from tenancy.audit_log),
            (select count(*) from tenancy.audit_chain),
            (select count(*) from orders) + (select count(*) from notes) + (select count(*) from points) + (select count(*) from ledger))")
        .unwrap_or_default()
}

/// No process of the server has gone but those that were killed.
fn signals(site: &Site<'_>) {
    let log = site.fixture.cluster().log();
    let ended: Vec<&str> = log.lines().filter(|line| line.contains("was terminated by signal")).collect();
    let (killed, others): (Vec<&str>, Vec<&str>) = ended.into_iter().partition(|line| line.contains("by signal 9"));
    for line in others.into_iter().chain(log.lines().filter(|line| line.contains("PANIC:"))) {
        site.tally.fault(format!("CRASH: {line}"));
    }
    if killed.len() as u64 != read(&site.tally.crashes) {
        site.tally.fault(format!("CRASH: of {} killed sessions the log has {killed:?}", read(&site.tally.crashes)));
    }
}
