//! What a client does in a transaction of its tenant.

use std::sync::Arc;

use tenancy_harness::Request;

use crate::client::{Client, Ended};
use crate::site::{RATE, Resident};
use crate::tally::add;

/// Statements of this transaction, each of which may be anything.
pub fn work(client: &mut Client<'_, '_>, resident: &Arc<Resident>, repeatable: bool) -> Result<(), Ended> {
    for _ in 0..=client.dice.below(4) {
        match client.dice.below(20) {
            0..=10 => write(client, resident, repeatable)?,
            11..=17 => read(client, resident, repeatable)?,
            18 => attack(client, resident)?,
            _ if client.may_leave() => go_astray(client, resident)?,
            _ => read(client, resident, repeatable)?,
        }
    }
    Ok(())
}

fn write(client: &mut Client<'_, '_>, resident: &Arc<Resident>, repeatable: bool) -> Result<(), Ended> {
    let canary = resident.canary.text();
    let mut may_fail = vec!["53400", "40P01"];
    if repeatable {
        may_fail.push("40001");
    }
    let number = client.dice.below(20);
    let statements = match client.dice.below(14) {
        0 | 1 => format!("insert into orders (amount, body) select n, '{canary} ' || n from generate_series(0, {}) n", number / 4),
        2 => format!("insert into notes (body) values ('{canary} ' || repeat('x', {}))", number * 40),
        3 => format!(
            "insert into points (id, body) values ({number}, '{canary}')
             on conflict (tenant_id, id) do update set amount = points.amount + 1"
        ),
        4 => {
            may_fail.push("23505");
            format!(
                "merge into points t using generate_series({number}, {number} + 2) s on t.id = s
                   when matched and s % 3 = 0 then delete when matched then update set amount = amount + 1
                   when not matched then insert (id, body) values (s, '{canary} merged')"
            )
        }
        5 => format!("update orders set amount = amount + 1 where id % 7 = {}", number % 7),
        6 => format!("update notes set body = '{canary} ' || repeat('y', {number} * 30) where id = (select min(id) from notes)"),
        7 => "delete from orders where id in (select id from orders order by id limit 8)".to_owned(),
        8 => "delete from notes where id in (select id from notes order by id limit 4)".to_owned(),
        9 => format!("delete from points where id >= {number}"),
        10 => format!(
            "with taken as (select tenancy.consume('seats', {amount}) as rest) insert into ledger (amount) select {amount} from taken",
            amount = 1 + number / 4
        ),
        11 => "with gone as (delete from ledger where id = (select min(id) from ledger) returning amount)
               select tenancy.release('seats', amount) from gone"
            .to_owned(),
        12 => return call(client, resident, 1 + number as u64 / 5),
        _ => format!(
            "savepoint s; insert into orders (body) values ('{canary} undone'); delete from points; update notes set body = body || 'z';
             rollback to s; insert into orders (body) values ('{canary} kept')"
        ),
    };
    client.act(&statements, &may_fail).map(drop)
}

/// Takes some of the rate, which counts whatever becomes of the transaction.
fn call(client: &mut Client<'_, '_>, resident: &Resident, amount: u64) -> Result<(), Ended> {
    client.act(&format!("select tenancy.consume('calls', {})", amount.min(RATE)), &["53400"])?;
    add(&resident.admitted, amount);
    Ok(())
}

fn read(client: &mut Client<'_, '_>, resident: &Resident, repeatable: bool) -> Result<(), Ended> {
    let canary = resident.canary.text();
    let number = client.dice.below(20);
    match client.dice.below(10) {
        0 => client.act("select body from orders; select body from notes; select body from points", &[]).map(drop),
        1 => {
            let from = number.to_string();
            let read = Request::default()
                .parse("", "select body from orders where id > $1::bigint order by id limit 20")
                .bind("", "", &[&from])
                .execute("", 0)
                .sync();
            client.ask_by(&read, &[]).map(drop)
        }
        2 => client.act("copy (select o.body, n.body from orders o, notes n limit 200) to stdout", &[]).map(drop),
        3 => client
            .act("declare c cursor for select body from orders; fetch 5 from c; fetch 5 from c; close c", &[])
            .map(drop),
        4 => client
            .act("select new_row, old_row, user_id from tenancy.audit_log order by at desc limit 10", &[])
            .map(drop),
        5 => client.act("select t.*, q.* from tenancy.tenants t, tenancy.quota_usage q", &[]).map(drop),
        // An error that tells what is in a row.
        6 => client.act("select body::integer from notes; select 1/0", &["22P02", "22012"]).map(drop),
        7 => {
            let insert = format!("savepoint s; insert into orders (body) values ('{canary}') returning id");
            let may_fail: &[&str] = if repeatable { &["53400", "40P01", "40001"] } else { &["53400", "40P01"] };
            let id = client.act(&insert, may_fail)?.texts().last().unwrap_or_default().to_owned();
            let seen = client.act(&format!("select count(*) from orders where id = {id}; rollback to s"), &[])?;
            if seen.texts().next() != Some("1") {
                client.site.tally.fault(format!("{}: its own new row is seen {:?} times", resident.key, seen.rows));
            }
            Ok(())
        }
        8 => client
            .act(
                "create temp table mine (body text) on commit drop; insert into mine select body from orders;
                 insert into mine select body from notes; select * from mine; drop table mine",
                &[],
            )
            .map(drop),
        _ => {
            let foreign = format!(
                "select concat_ws(' ', (select count(*) from orders where body not like '{canary}%'),
                   (select count(*) from notes where body not like '{canary}%' or tenant_id <> tenancy.current_key()),
                   (select count(*) from points where body not like '{canary}%' or tenant_id <> {}),
                   (select count(*) from tenancy.quota_usage where used > max and resource <> 'calls'))",
                resident.key
            );
            let reply = client.act(&foreign, &[])?;
            if reply.texts().next() != Some("0 0 0 0") {
                client.site.tally.fault(format!("{}: rows of others, or too many: {:?}", resident.key, reply.rows));
            }
            Ok(())
        }
    }
}

/// What has to be refused, or to find nothing.
fn attack(client: &mut Client<'_, '_>, resident: &Resident) -> Result<(), Ended> {
    let other = client.site.resident(&mut client.dice);
    if other.key == resident.key {
        return Ok(());
    }
    let (key, id) = (&other.key, &other.id);
    match client.dice.below(9) {
        0 => client.refused(&format!("insert into orders (tenant_id, body) values ('{id}', 'planted')"), "42501"),
        1 => client.refused(&format!("insert into points (tenant_id, id, body) values ({key}, 1, 'planted')"), "42501"),
        2 => client.refused(&format!("insert into notes (tenant_id, body) values ('{key}', 'planted')"), "42501"),
        3 => client.refused(&format!("select tenancy.set_tenant('{key}')"), "42501"),
        4 => client.refused(&format!("set local tenancy.tenant_id = '{key}'; select body from orders"), "42501"),
        5 => client.refused("select tenancy.suspend_tenant('1001')", "42501"),
        6 => client.refused("delete from tenancy.audit_log", "42501"),
        _ => {
            let statements = format!(
                "select body from orders where tenant_id = '{id}' or body like 'canary%';
                 select body from notes where tenant_id = '{key}' or true; select body from points where tenant_id = {key};
                 select * from tenancy.audit_log where tenant_id = '{id}'; select * from tenancy.tenants where key = '{key}';
                 update orders set amount = 666 where tenant_id = '{id}'; delete from notes where tenant_id = '{key}'"
            );
            let reply = client.ask(&statements, &["40P01"])?;
            let written: Vec<_> = reply.tags.iter().filter(|tag| !tag.starts_with("SELECT")).collect();
            if written != ["UPDATE 0", "DELETE 0"] {
                client
                    .site
                    .tally
                    .fault(format!("ISOLATION: rows of {key} were written for {}: {written:?}", resident.key));
            }
            Ok(())
        }
    }
}

/// Leaves something for the next on the connection, or leaves in the middle of something.
fn go_astray(client: &mut Client<'_, '_>, resident: &Resident) -> Result<(), Ended> {
    let canary = resident.canary.text();
    let name = format!("left_{:x}", client.dice.throw());
    match client.dice.below(9) {
        0 => client.ask(&format!("create temp table {name} as select body from orders"), &[]).map(drop),
        1 => client.ask(&format!("declare {name} cursor with hold for select body from notes"), &[]).map(drop),
        2 => client.ask(&format!("prepare {name} as select body from points where body <> '{canary}'"), &[]).map(drop),
        // Whoever comes next must not wait for it.
        3 => client.ask(&format!("select pg_advisory_xact_lock(1, {})", resident.key), &["40P01"]).map(drop),
        4 => {
            client.send(&Request::query(&format!("create temp table {name} (body text); copy {name} from stdin")));
            client.send(&Request::default().copy_data(&format!("{canary}\n{canary} and ha")));
            client.leave();
            Err(Ended)
        }
        5 => {
            client.send(&Request::query(
                "copy (select o.body, n.body, p.body from orders o, notes n, points p) to stdout",
            ));
            client.receive_messages(20);
            client.leave();
            Err(Ended)
        }
        6 => {
            let open = Request::default().parse("", "select body from orders").bind("portal", "", &[]);
            client.send(&open.execute("portal", 2).flush());
            client.receive_messages(4);
            client.leave();
            Err(Ended)
        }
        7 => {
            client.send(&Request::query("select pg_sleep(0.01), body from notes"));
            client.leave();
            Err(Ended)
        }
        _ => {
            client.send(&Request::query("select body from orders").cut_by(7));
            client.leave();
            Err(Ended)
        }
    }
}
