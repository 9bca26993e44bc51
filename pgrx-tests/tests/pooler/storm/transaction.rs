//! By transaction: clients keep their connections to the pooler, and share the one to the server.

use tenancy_harness::{PoolerConfig, Request};

use super::{LITTER, LOOK, MIDSTS, NO_LITTER, NOBODY, Storm, WAYS, Way, good, of_session};

/// What outlives a transaction.
const LITTERS: [&str; 3] = [
    "create temp table notes (id bigint, tenant_id uuid, body text)",
    "declare held cursor with hold for select body from public.notes",
    "prepare kept as select body from public.notes",
];

/// What may be on the connection to the server.
#[derive(Clone, Copy, Debug)]
struct Left {
    /// The only one who may find it.
    by: Option<usize>,
    /// After a rollback it is not: of what was thrown away some is there again, and of what was made some is gone.
    sure: bool,
}

#[test]
fn by_transaction_nothing_passes_from_client_to_client() {
    let mut storm = Storm::new(&PoolerConfig::default(), 4_000);
    rage(&mut storm);
    storm.count();
}

/// All transactions of a storm.
pub fn rage(storm: &mut Storm) {
    let mut left = None;
    for _ in 0..storm.rounds {
        let client = storm.next(|_, _| Request::query(&format!("begin; {LOOK}")));
        let look = storm.session(client).receive();
        good(&look);
        storm.judge(None, &look);
        assert_eq!(look.texts().collect::<Vec<_>>(), [NOBODY]);
        left = transaction(storm, client, left);
    }
}

/// What is left on the connection after it.
fn transaction(storm: &mut Storm, client: usize, left: Option<Left>) -> Option<Left> {
    let guest = storm.dice.below(storm.guests.len());
    if storm.dice.one_in(40) {
        if storm.dice.one_in(2) {
            let take = Way::Call.statements(&storm.guests[guest], true);
            storm.session(client).send(&Request::query(&take)).expect("the pooler listens");
        }
        storm.leave(client);
        return None;
    }
    // What is thrown away or used of left-overs can't be prepared.
    if left.is_none() && storm.dice.one_in(30) {
        let way = storm.dice.pick(&WAYS);
        storm.take(client, guest, way, true);
        let prepared = of_session::prepare(storm, client, guest);
        of_session::finish(storm, prepared);
        return None;
    }
    let others = left.filter(|left| left.by != Some(guest));
    if storm.careless && storm.dice.one_in(20) {
        let take = Way::Call.statements(&storm.guests[guest], false);
        good(&storm.ask(client, Some(guest), &take));
        good(&storm.ask(client, Some(guest), "commit"));
        return others.is_none().then_some(left).flatten();
    }
    let mut way = storm.dice.pick(&WAYS);
    if way == Way::Setting && others.is_some_and(|left| left.sure) {
        refused(storm, client, guest);
        return left;
    }
    // It may be refused, also to whom it was last of, since what he threw away may be there again.
    if way == Way::Setting && left.is_some_and(|left| !left.sure) {
        way = Way::Call;
    }
    let take = way.statements(&storm.guests[guest], true);
    let taken = storm.ask(client, Some(guest), &format!("{take}; {LOOK}; {LITTER}; select body from public.notes"));
    good(&taken);
    let rows: Vec<&str> = taken.texts().skip(way.rows()).collect();
    let guest_now = &storm.guests[guest];
    assert_eq!(rows[0], guest_now.look(&way.settings(guest_now)), "{way:?}");
    let own = left.filter(|left| left.by == Some(guest));
    if own.is_none() {
        assert_eq!(rows[1], NO_LITTER, "another tenant's left-overs: {left:?}");
    }
    assert_eq!(rows.len() - 2, guest_now.notes);
    work(storm, client, guest, left)
}

/// A statement that is running can't have its session cleaned up under it, so that this way is refused until somebody else does.
fn refused(storm: &mut Storm, client: usize, guest: usize) {
    let take = Way::Setting.statements(&storm.guests[guest], true);
    let refused = storm.ask(client, Some(guest), &format!("{take}; {LITTER}"));
    assert_eq!(refused.errors, ["55000"], "another tenant's left-overs are let by: {:?}", refused.complaints);
    good(&storm.ask(client, Some(guest), "rollback"));
}

/// Reads, writes and litters for the tenant, and goes in one way or another.
fn work(storm: &mut Storm, client: usize, guest: usize, left: Option<Left>) -> Option<Left> {
    let canary = storm.guests[guest].canary.text().to_owned();
    let (mut notes, mut events) = (storm.guests[guest].notes, storm.guests[guest].events);
    let mut statements = format!("select pg_advisory_xact_lock({guest}); select pg_notify('storm', '{guest}');");
    statements += &match storm.dice.below(4) {
        0 => {
            notes += 2;
            format!("insert into public.notes (body) values ('{canary} new'), ('{canary} new');")
        }
        1 => {
            events += 1;
            format!(
                "insert into public.events (body) values ('{canary} new'); update public.events set body = body || '.';"
            )
        }
        2 if notes > 20 => {
            notes = 0;
            "delete from public.notes;".to_owned()
        }
        _ => "select body from public.events;".to_owned(),
    };
    let litters = storm.dice.one_in(8);
    if litters {
        // What it has left itself before is in its way.
        statements += "discard temp; close all; deallocate all;";
        statements += storm.dice.pick(&LITTERS);
    }
    good(&storm.ask(client, Some(guest), &statements));
    if storm.dice.one_in(4) {
        let request = Request::default()
            .parse("mine", "select body from public.notes where body like $1")
            .bind("", "mine", &[&format!("{canary}%")])
            .execute("", 0)
            .close("mine")
            .sync();
        let read = storm.exchange(client, Some(guest), &request);
        good(&read);
        assert_eq!(read.rows.len(), notes);
    }
    if storm.dice.one_in(3) {
        let midst = storm.dice.pick(&MIDSTS);
        storm.leave_in(client, guest, midst);
        // The pooler has closed the connection to the server.
        return None;
    }
    if storm.dice.one_in(4) {
        if storm.dice.one_in(2) {
            let failed = storm.ask(client, Some(guest), "select body::int from public.notes; select 1/0");
            assert!(failed.errors == ["22P02"] || failed.errors == ["22012"], "{:?}", failed.complaints);
        }
        good(&storm.ask(client, Some(guest), "rollback"));
        let by = litters.then_some(guest).or(left.and_then(|left| left.by).filter(|by| *by == guest));
        return (litters || left.is_some()).then_some(Left { by, sure: false });
    }
    good(&storm.ask(client, Some(guest), "commit"));
    (storm.guests[guest].notes, storm.guests[guest].events) = (notes, events);
    if storm.dice.one_in(4) {
        storm.leave(client);
    }
    if litters { Some(Left { by: Some(guest), sure: true }) } else { left.filter(|left| left.by == Some(guest)) }
}
