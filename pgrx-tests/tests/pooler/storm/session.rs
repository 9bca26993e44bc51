//! By session: a client has the connection to the server until it leaves, and DISCARD ALL comes between two of them.

use tenancy_harness::{PoolerConfig, Request};

use super::{LITTER, LOOK, MIDSTS, NO_LITTER, NOBODY, Storm, WAYS, good};

const SECRET: &str = "a secret of sixteen bytes or more";

/// What a client may leave that has the session to itself. A seal refuses the last ones.
const LITTERS: [&str; 11] = [
    "create temp table notes (id bigint, tenant_id uuid, body text); insert into pg_temp.notes select id, tenant_id, body from public.notes",
    "begin; declare held cursor with hold for select body from public.notes; commit",
    "prepare kept as select body from public.notes",
    "select pg_advisory_lock(4711)",
    "listen storm",
    "set statement_timeout = '11min'",
    "set search_path = pg_temp, public",
    "set tenancy.on_missing = 'error'",
    "set role $OTHER",
    "set tenancy.user_id = '$CANARY'",
    "set tenancy.token = '$TOKEN'",
];
const SEALED_LITTERS: usize = 9;

#[test]
fn by_session_nothing_passes_from_client_to_client() {
    let mut storm = Storm::new(&PoolerConfig::default().set("pool_mode", "session"), 4_000);
    let mut transactions = 0;
    while transactions < storm.rounds {
        let client = storm.next(|_, _| Request::query(&format!("{LOOK}; {LITTER}")));
        let look = storm.session(client).receive();
        good(&look);
        storm.judge(None, &look);
        assert_eq!(look.texts().collect::<Vec<_>>(), [NOBODY, NO_LITTER]);
        transactions += session(&mut storm, client);
    }
    storm.count();
}

/// How many transactions it had.
fn session(storm: &mut Storm, client: usize) -> usize {
    let guest = storm.acting[client];
    if storm.dice.one_in(20) {
        storm.leave(client);
        return 1;
    }
    let way = storm.dice.pick(&WAYS);
    storm.take(client, guest, way, false);

    let sealed = storm.dice.one_in(6);
    if sealed {
        good(&storm.ask(client, Some(guest), &format!("select tenancy.seal('{SECRET}')")));
    }
    let transactions = 1 + storm.dice.below(12);
    for _ in 0..transactions {
        transaction(storm, client, guest);
    }
    if storm.dice.one_in(2) {
        let litter = storm.dice.pick(if sealed { &LITTERS[..SEALED_LITTERS] } else { &LITTERS });
        let litter = storm.written(litter, guest);
        good(&storm.ask(client, Some(guest), &litter));
    }
    if storm.dice.one_in(3) {
        let begun = storm.ask(client, Some(guest), "begin; select body from public.notes");
        assert!(begun.errors.is_empty(), "{:?}", begun.complaints);
        let midst = storm.dice.pick(&MIDSTS);
        storm.leave_in(client, guest, midst);
        return transactions + 2;
    }
    if sealed {
        // Nobody can use the connection otherwise.
        good(&storm.ask(client, Some(guest), &format!("select tenancy.unseal('{SECRET}')")));
    }
    storm.leave(client);
    transactions + 1
}

fn transaction(storm: &mut Storm, client: usize, guest: usize) {
    let canary = storm.guests[guest].canary.text().to_owned();
    match storm.dice.below(5) {
        0 => {
            good(&storm.ask(client, Some(guest), &format!("insert into public.notes (body) values ('{canary} new')")));
            storm.guests[guest].notes += 1;
        }
        1 => {
            let statements = format!("begin; insert into public.events (body) values ('{canary} new'); rollback");
            good(&storm.ask(client, Some(guest), &statements));
        }
        2 if storm.guests[guest].notes > 20 => {
            good(&storm.ask(client, Some(guest), "delete from public.notes"));
            storm.guests[guest].notes = 0;
        }
        3 => {
            let read = Request::default()
                .parse("mine", "select body from public.events")
                .bind("", "mine", &[])
                .execute("", 0)
                .close("mine")
                .sync();
            let read = storm.exchange(client, Some(guest), &read);
            good(&read);
            assert_eq!(read.rows.len(), storm.guests[guest].events);
        }
        _ => {
            let read = storm.ask(client, Some(guest), "select body from public.notes");
            good(&read);
            assert_eq!(read.rows.len(), storm.guests[guest].notes);
        }
    }
}

/// It is nobody's any more, and lets nobody do anything: who seals a session unseals it, or closes it.
#[test]
fn a_sealed_connection_that_is_given_back_acts_for_nobody() {
    let mut storm = Storm::new(&PoolerConfig::default().set("pool_mode", "session"), 1);
    let first = storm.next(|_, _| Request::query("select pg_backend_pid()"));
    let pid = storm.session(first).receive().rows;
    good(&storm.ask(first, Some(0), "select tenancy.set_tenant('t0', false)"));
    good(&storm.ask(first, Some(0), &format!("select tenancy.seal('{SECRET}')")));
    storm.leave(first);
    let next = storm.waiting.pop_front().expect("somebody waits");
    assert_eq!(storm.session(next).receive().rows, pid, "the connection is the same");
    let look = storm.ask(next, None, LOOK);
    assert_eq!(look.texts().collect::<Vec<_>>(), [NOBODY]);
    let refused = storm.ask(next, Some(1), "select tenancy.set_tenant('t1', false)");
    assert_eq!(refused.errors, ["42501"], "{:?}", refused.complaints);
    good(&storm.ask(next, None, &format!("select tenancy.unseal('{SECRET}')")));
    good(&storm.ask(next, Some(1), "select tenancy.set_tenant('t1', false)"));
}
