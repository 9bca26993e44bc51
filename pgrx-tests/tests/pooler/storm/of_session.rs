//! By transaction: what is of the session, and stays when the transaction ends. By itself it is the next client's, as docs/pooling.md
//! says; where the pooler resets the session after each transaction (`server_reset_query_always`), it is nobody's. And transactions that
//! are prepared, which stay without a session.

use tenancy_harness::{PoolerConfig, Request, Session};

use super::{LITTER, LOOK, MIDSTS, NO_LITTER, NOBODY, Storm, WAYS, Way, good};

/// What a client may leave of its session, within a transaction of its tenant.
const KEPT: [&str; 13] = [
    "set role $OTHER",
    "set tenancy.user_id = '$CANARY'",
    "set tenancy.request_id = '$CANARY'",
    "set tenancy.token = '$TOKEN'",
    "set tenancy.tenant_id = '$KEY'",
    "select tenancy.set_tenant('$KEY', false)",
    "select tenancy.authenticate('$TOKEN', false)",
    "set tenancy.on_missing = 'error'",
    "set search_path = pg_temp, public; set statement_timeout = '11min'",
    "create temp table notes (id bigint, tenant_id uuid, body text)",
    "declare held cursor with hold for select body from public.notes",
    "prepare kept as select body from public.notes",
    "select pg_advisory_lock(4711); listen storm",
];

fn reset_always() -> PoolerConfig {
    PoolerConfig::default().set("server_reset_query_always", "1")
}

#[test]
fn where_each_transaction_is_followed_by_a_reset_nothing_of_the_session_passes() {
    let mut storm = Storm::new(&reset_always(), 1_000);
    rage(&mut storm);
    storm.count();
}

#[test]
#[should_panic(expected = "is on the connection")]
fn a_reset_that_resets_settings_alone_is_found() {
    let mut storm = Storm::of(&reset_always().set("server_reset_query", "reset all"), 400);
    rage(&mut storm);
}

fn rage(storm: &mut Storm) {
    let mut prepared = None;
    for _ in 0..storm.rounds {
        let client = storm.next(|_, _| Request::query(&format!("begin; {LOOK}; {LITTER}")));
        let look = storm.session(client).receive();
        good(&look);
        storm.judge(None, &look);
        let found: Vec<&str> = look.texts().collect();
        assert!(found == [NOBODY, NO_LITTER], "something of another's session is on the connection: {found:?}");
        if storm.dice.one_in(3)
            && let Some(prepared) = prepared.take()
        {
            finish(storm, prepared);
        }
        let guest = storm.dice.below(storm.guests.len());
        let way = storm.dice.pick(&WAYS);
        storm.take(client, guest, way, true);
        if prepared.is_none() && storm.dice.one_in(8) {
            prepared = Some(prepare(storm, client, guest));
        } else {
            leave_something(storm, client, guest);
        }
    }
    if let Some(prepared) = prepared {
        finish(storm, prepared);
    }
}

/// In a transaction that commits, is rolled back, or is left.
fn leave_something(storm: &mut Storm, client: usize, guest: usize) {
    let canary = storm.guests[guest].canary.text().to_owned();
    good(&storm.ask(client, Some(guest), &format!("insert into public.notes (body) values ('{canary} new')")));
    let kept = storm.dice.pick(&KEPT);
    let kept = storm.written(kept, guest);
    good(&storm.ask(client, Some(guest), &kept));
    match storm.dice.below(8) {
        0 => good(&storm.ask(client, Some(guest), "rollback")),
        1 => {
            let midst = storm.dice.pick(&MIDSTS);
            storm.leave_in(client, guest, midst);
        }
        _ => {
            good(&storm.ask(client, Some(guest), "commit"));
            storm.guests[guest].notes += 1;
        }
    }
}

/// A transaction without a session.
pub struct Prepared {
    guest: usize,
    name: String,
}

/// Prepares the client's transaction, in which the tenant was taken.
pub fn prepare(storm: &mut Storm, client: usize, guest: usize) -> Prepared {
    let canary = storm.guests[guest].canary.text();
    // Of the whole server.
    let name = storm.fixture.name(&format!("prepared_{}", storm.dice.throw()));
    let statements =
        format!("insert into public.notes (body) values ('{canary} prepared'); prepare transaction '{name}'");
    let reply = storm.ask(client, Some(guest), &statements);
    good(&reply);
    assert_eq!(reply.tags.last().map(String::as_str), Some("PREPARE TRANSACTION"));
    Prepared { guest, name }
}

/// Commits it, or not, as an administrator does who finds it.
pub fn finish(storm: &mut Storm, prepared: Prepared) {
    let commits = storm.dice.one_in(2);
    let how = if commits { "commit" } else { "rollback" };
    storm.fixture.run(&format!("{how} prepared '{}'", prepared.name));
    storm.guests[prepared.guest].notes += usize::from(commits);
}

/// Two clients, and what one of them has left for the other.
fn after(left: &str) -> Storm {
    let mut storm = Storm::of(&PoolerConfig::default(), 0);
    (0..2).for_each(|client| storm.connect(client));
    let left = storm.written(left, 0);
    good(&storm.ask(0, Some(0), &left));
    storm
}

/// What the second client is told, of whomever it is.
#[track_caller]
fn told(storm: &mut Storm, statements: &str) -> Vec<String> {
    let reply = storm.session(1).query(statements);
    good(&reply);
    reply.texts().map(str::to_owned).collect()
}

/// Until somebody discards it.
#[track_caller]
fn is_gone_after_discard_all(storm: &mut Storm) {
    told(storm, "discard all");
    let found = storm.ask(0, None, LOOK);
    assert_eq!(found.texts().collect::<Vec<_>>(), [NOBODY]);
}

#[test]
fn a_user_alone_is_the_next_clients_who_names_none() {
    let mut storm = after("set tenancy.user_id = '$CANARY'");
    let canary = storm.guests[0].canary.text().to_owned();
    assert_eq!(told(&mut storm, LOOK), [NOBODY.replace("settings ''", &format!("settings '{canary}'"))], "no tenant");
    // As "of the session" in docs/pooling.md: also in a transaction of its own tenant.
    let user = "current_setting('tenancy.user_id')";
    told(&mut storm, "begin; select tenancy.set_tenant('t1')");
    assert_eq!(told(&mut storm, &format!("select {user}")), std::slice::from_ref(&canary));
    assert_eq!(told(&mut storm, &format!("set local tenancy.user_id = 'own'; select {user}; commit")), ["own"]);
    assert_eq!(told(&mut storm, &format!("select {user}")), [canary]);
    is_gone_after_discard_all(&mut storm);
}

#[test]
fn a_token_is_the_next_clients_who_can_take_no_other_tenant_but_by_a_token() {
    let mut storm = after("set tenancy.token = '$TOKEN'");
    assert_eq!(told(&mut storm, LOOK), [storm.guests[0].look("********")]);
    for take in ["select tenancy.set_tenant('t1')", "set local tenancy.tenant_id = 't1'"] {
        let refused = storm.session(1).query(&format!("begin; {take}; select body from notes"));
        assert_eq!(refused.errors, ["42501"], "{:?}", refused.complaints);
        assert_eq!(told(&mut storm, "rollback"), Vec::<String>::new());
    }
    let take = storm.written("begin; select tenancy.authenticate('$TOKEN')", 1);
    told(&mut storm, &take);
    assert_eq!(told(&mut storm, &format!("{LOOK}; commit")), [storm.guests[1].look("********")]);
    is_gone_after_discard_all(&mut storm);
}

#[test]
fn a_role_is_the_next_clients_and_its_access_counts() {
    let mut storm = after("set role $OTHER");
    assert_eq!(told(&mut storm, LOOK), [NOBODY.replace("own role t", "own role f")]);
    let other = storm.other.clone();
    storm.fixture.run(&format!("select tenancy.revoke_access('{other}'), tenancy.grant_access('{other}', 't0')"));
    told(&mut storm, "begin; select tenancy.set_tenant('t0'); select body from notes; commit");
    let refused = storm.session(1).query("begin; select tenancy.set_tenant('t1')");
    assert_eq!(refused.errors, ["42501"], "{:?}", refused.complaints);
    told(&mut storm, "rollback");
    is_gone_after_discard_all(&mut storm);
}

/// Nothing of it is of the session; it keeps its rows to itself until somebody finishes it, and they are its own tenant's.
#[test]
fn a_prepared_transaction_leaves_the_session_to_the_next_tenant() {
    let mut storm = after("select 1");
    good(&storm.ask(0, Some(0), "begin; select tenancy.set_tenant('t0')"));
    let prepared = prepare(&mut storm, 0, 0);
    assert_eq!(told(&mut storm, LOOK), [NOBODY]);
    told(&mut storm, "begin");
    storm.take(1, 1, Way::Call, true);
    good(&storm.ask(1, Some(1), "commit"));
    let mut superuser = storm.fixture.superuser();
    assert_eq!(
        superuser.value("select count(*) from pg_prepared_xacts where database = current_database()").as_deref(),
        Some("1")
    );
    // On the same connection, which has acted for another tenant meanwhile.
    told(&mut storm, &format!("commit prepared '{}'", prepared.name));
    storm.guests[0].notes += 1;
    storm.count();
}
