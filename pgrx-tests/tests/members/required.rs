//! Access that requires membership.

use std::sync::{Arc, Mutex};

use tenancy_harness::postgres::{Client, NoTls};
use tenancy_harness::{Cluster, Fixture, Session, World, assert_sqlstate};

use crate::{ISOLATION_LEVELS, READ, is_true, session_of, world_for_members, world_with_members};

/// Every way to take acme as the context, for a user who has been named.
const WAYS_IN: [&str; 3] = [
    "begin; select tenancy.set_tenant('acme'); select body from notes_uuid",
    "set tenancy.tenant_id = 'acme'; select body from notes_uuid",
    "begin; set local tenancy.tenant_id = 'acme'; select tenancy.current_tenant()",
];

#[test]
fn a_member_acts_and_nobody_else_does() {
    let world = world_for_members();
    for way in WAYS_IN {
        for member in ["owner", "admin", "member", "viewer"] {
            let mut client = world.connect();
            client.run(&format!("set tenancy.user_id = '{member}'; {way}"));
            assert_eq!(client.texts(READ).len(), 20);
        }
        for stranger in ["", "stranger", "OWNER", "owner "] {
            world.connect().refuses(&format!("set tenancy.user_id = '{stranger}'; {way}"), "42501");
        }
    }
    session_of(&world, "owner", "globex").refuses(READ, "42501");
}

#[test]
fn a_tenant_of_others_looks_like_one_that_does_not_exist() {
    let world = world_for_members();
    world.fixture.run("select tenancy.create_tenant('asleep'); select tenancy.suspend_tenant('asleep')");
    let mut client = session_of(&world, "owner", "");
    let said = ["globex", "asleep", "nobody_here"].map(|name| {
        let error = client.refuses(&format!("select tenancy.set_tenant('{name}', false)"), "42501");
        format!("{error:?}").replace(name, "…")
    });
    assert!(said[0] == said[1] && said[1] == said[2], "{said:#?}");
    world.fixture.run("select tenancy.add_member('asleep', 'owner')");
    client.refuses("select tenancy.set_tenant('asleep', false)", "55000");
}

#[test]
fn a_membership_that_ends_stops_open_transactions() {
    for level in ISOLATION_LEVELS {
        let world = world_for_members();
        let mut client = session_of(&world, "member", "acme");
        client.run(&format!("begin isolation level {level}"));
        assert_eq!(client.texts(READ).len(), 20);
        world.fixture.run("select tenancy.remove_member('acme', 'member')");
        client.refuses(READ, "42501");
        client.run("rollback");
        client.refuses("insert into notes_uuid (id, body) values (99, 'acme 99')", "42501");
        world.fixture.run("select tenancy.add_member('acme', 'member')");
        assert_eq!(client.texts(READ).len(), 20);
    }
}

#[test]
fn a_membership_that_ends_stops_statements_that_read_no_policy_anew() {
    let world = world_for_members();
    let mut client = session_of(&world, "member", "acme");
    client.run("set plan_cache_mode = force_generic_plan");
    let statement = client.prepare(READ).unwrap();
    client.run("begin; declare rows cursor for select body from notes_uuid; fetch 1 from rows");
    assert_eq!(client.query(&statement, &[]).unwrap().len(), 20);
    world.fixture.run("delete from tenancy.members where user_id = 'member'");
    client.run("savepoint one");
    client.refuses("fetch 1 from rows", "42501");
    client.run("rollback to one");
    assert_sqlstate(client.query(&statement, &[]), "42501");
    client.run("rollback to one");
    client.refuses("select 1", "42501");
}

#[test]
fn a_membership_that_ends_stops_a_loop_of_one_statement() {
    let world = world_for_members();
    let mut client = session_of(&world, "member", "acme");
    client.run(READ);
    std::thread::scope(|scope| {
        let loops = scope.spawn(|| {
            client.batch_execute(
                "do $$ declare started timestamptz := clock_timestamp(); begin
                   loop
                     perform count(*) from notes_uuid;
                     perform pg_sleep(0.01);
                     if clock_timestamp() > started + interval '10 s' then raise exception 'was never stopped'; end if;
                   end loop;
                 end $$",
            )
        });
        std::thread::sleep(std::time::Duration::from_millis(100));
        world.fixture.run("select tenancy.remove_member('acme', 'member')");
        assert_sqlstate(loops.join().expect("the session ends"), "42501");
    });
}

#[test]
fn a_prepared_transaction_ends_a_membership_when_it_is_committed() {
    let world = world_for_members();
    let mut client = session_of(&world, "member", "acme");
    assert_eq!(client.texts(READ).len(), 20);
    let gid = world.fixture.database();
    world
        .fixture
        .run(&format!("begin; delete from tenancy.members where user_id = 'member'; prepare transaction '{gid}'"));
    assert_eq!(client.texts(READ).len(), 20);
    world.fixture.run(&format!("commit prepared '{gid}'"));
    client.refuses(READ, "42501");
}

#[test]
fn changing_the_user_does_not_keep_the_tenant() {
    let world = world_for_members();
    let mut client = session_of(&world, "member", "acme");
    for change in [
        "set local tenancy.user_id = 'stranger'",
        "set tenancy.user_id = 'stranger'",
        "select set_config('tenancy.user_id', 'stranger', true)",
        "do $$ begin perform set_config('tenancy.user_id', 'stranger', false); end $$",
        "set local tenancy.user_id = ''",
        "reset tenancy.user_id",
    ] {
        for next in
            [READ, "select tenancy.current_tenant()", "update notes_uuid set body = 'mine'", "fetch 1 from rows"]
        {
            client.run("begin; declare rows cursor for select body from notes_uuid; fetch 1 from rows");
            client.run(change);
            client.refuses(next, "42501");
            client.run("rollback");
            assert_eq!(client.texts(READ).len(), 20, "{change}");
        }
    }
}

#[test]
fn the_user_of_a_function_is_asked_for_in_it() {
    let world = world_for_members();
    world.fixture.run(
        "create function as_stranger() returns bigint language sql set tenancy.user_id = 'stranger'
           as 'select count(*) from notes_uuid';
         create function as_owner() returns bigint language sql set tenancy.user_id = 'owner'
           as 'select count(*) from notes_uuid'",
    );
    let mut client = session_of(&world, "member", "acme");
    client.refuses("select as_stranger()", "42501");
    client.refuses("select as_stranger() from notes_uuid", "42501");
    assert_eq!(client.value("select as_owner()").as_deref(), Some("20"));
    assert_eq!(client.texts(READ).len(), 20);
}

#[test]
fn a_rolled_back_savepoint_brings_the_user_back() {
    let world = world_for_members();
    let mut client = session_of(&world, "member", "acme");
    client.run("begin; select tenancy.current_tenant(); savepoint one; set local tenancy.user_id = 'stranger'");
    client.refuses(READ, "42501");
    client.run("rollback to one");
    assert_eq!(client.texts(READ).len(), 20);
    client.run("set local tenancy.user_id = 'viewer'");
    assert_eq!(client.texts(READ).len(), 20);
}

fn can_act(client: &mut Client, user: &str) -> bool {
    client.run(&format!("set tenancy.user_id = '{user}'"));
    let outcome = client.batch_execute("begin; select tenancy.set_tenant('acme')");
    client.run("rollback");
    outcome.is_ok()
}

#[test]
fn grants_add_up_and_the_last_one_of_a_kind_counts() {
    let world = world_with_members();
    let (fixture, app) = (&world.fixture, &world.app);
    let mut client = world.connect();
    assert!(can_act(&mut client, "stranger"));
    fixture.run(&format!("select tenancy.grant_access('{app}', 'acme', require_membership => true)"));
    assert!(can_act(&mut client, "stranger"), "access to any tenant is access to this one");
    fixture.run(&format!("select tenancy.revoke_access('{app}')"));
    assert!(!can_act(&mut client, "stranger") && can_act(&mut client, "viewer"));
    fixture.run(&format!("select tenancy.grant_access('{app}', 'acme')"));
    assert!(can_act(&mut client, "stranger"));
    fixture.run(&format!("select tenancy.grant_access('{app}', 'acme', require_membership => true)"));
    assert!(!can_act(&mut client, "stranger") && can_act(&mut client, "viewer"));
    // Inherited from a group.
    let group = fixture.role("team");
    fixture.run(&format!("select tenancy.grant_access('{group}', require_membership => true)"));
    assert!(!can_act(&mut client, "stranger"));
    fixture.run(&format!("grant {group} to {app}; select tenancy.grant_access('{group}')"));
    assert!(can_act(&mut client, "stranger"));
    fixture.run(&format!("revoke {group} from {app}"));
    assert!(!can_act(&mut client, "stranger"));
    let events = fixture.superuser().texts(
        "select concat_ws(' ', detail->>'any_tenant', detail->>'require_membership') from tenancy.event_log
          where event = 'access.granted' order by id",
    );
    assert_eq!(events, ["true false", "false true", "false false", "false true", "true true", "true false"]);
}

#[test]
fn whoever_asks_for_members_no_more_is_told() {
    let world = world_with_members();
    let (fixture, app) = (&world.fixture, &world.app);
    let told = Arc::new(Mutex::new(Vec::new()));
    let mut config = fixture.cluster().client_config(fixture.database(), Cluster::SUPERUSER);
    let notices = Arc::clone(&told);
    config.notice_callback(move |notice| {
        notices.lock().unwrap().push(format!("{} {}", notice.severity(), notice.message()))
    });
    let mut admin = config.connect(NoTls).unwrap();
    for (arguments, count) in [
        (", require_membership => true", 0),
        (", require_membership => true", 0),
        (", 'acme'", 0),
        ("", 1),
        ("", 1),
        (", 'acme', require_membership => true", 1),
        (", mode => 'signed', require_membership => true", 1),
        (", 'acme'", 2),
        (", mode => 'signed'", 3),
    ] {
        admin.run(&format!("select tenancy.grant_access('{app}'{arguments})"));
        assert_eq!(told.lock().unwrap().len(), count, "{arguments}");
    }
    let message = format!("NOTICE role \"{app}\" may act for others than members from now on");
    assert!(told.lock().unwrap().iter().all(|notice| *notice == message), "{told:?}");
}

#[test]
fn superusers_and_default_tenants_need_no_member() {
    let world = world_for_members();
    let mut superuser = world.fixture.superuser();
    superuser.run("select tenancy.set_tenant('acme', false)");
    let mut client = world.connect();
    client.refuses("select tenancy.set_tenant('acme', false)", "42501");
    world.fixture.run(&format!("alter role {} set tenancy.default_tenant = 'acme'", world.app));
    assert_eq!(world.connect().texts(READ).len(), 20);
}

#[test]
fn a_definer_function_lends_no_membership() {
    let world = world_for_members();
    world.fixture.run(
        "create function counted() returns bigint language sql security definer set search_path = pg_catalog, pg_temp
           as 'select count(*) from public.notes_uuid where tenant_id = tenancy.current_tenant()'",
    );
    session_of(&world, "stranger", "acme").refuses("select counted()", "42501");
    assert_eq!(session_of(&world, "viewer", "acme").value("select counted()").as_deref(), Some("20"));
}

#[test]
fn a_sealed_session_ends_with_the_membership() {
    let world = world_for_members();
    let mut client = session_of(&world, "member", "acme");
    client.run("select tenancy.seal('a secret of sixteen bytes')");
    client.refuses("set tenancy.user_id = 'owner'", "42501");
    assert_eq!(client.texts(READ).len(), 20);
    world.fixture.run("select tenancy.remove_member('acme', 'member')");
    client.refuses(READ, "42501");
}

#[test]
fn parallel_workers_ask_too() {
    let world = world_for_members();
    let mut client = session_of(&world, "member", "acme");
    let setting = if world.fixture.major_version() >= 16 { "debug_parallel_query" } else { "force_parallel_mode" };
    client.run(&format!("set {setting} = on"));
    assert_eq!(client.texts(READ).len(), 20);
    assert!(is_true(&mut client, "tenancy.current_key() = 'acme'"));
    client.run("set tenancy.user_id = 'stranger'");
    client.refuses(READ, "42501");
}

#[test]
fn a_late_library_asks_too() {
    let fixture = Fixture::without_preload();
    let app = fixture.role("app");
    fixture.run(&format!(
        "create table notes (tenant_id uuid, body text); select tenancy.create_tenant('acme');
         select tenancy.protect('notes'); insert into notes select id, key from tenancy.tenants;
         grant select on notes to {app}; select tenancy.grant_access('{app}', require_membership => true);
         select tenancy.add_member('acme', 'alice')"
    ));
    for (user, passes) in [("alice", true), ("mallory", false)] {
        let options = format!("-c tenancy.tenant_id=acme -c tenancy.user_id={user}");
        let mut client = fixture.try_connect(&app, &options).expect("a session");
        let outcome = client.batch_execute("select body from notes");
        assert_eq!(outcome.is_ok(), passes, "{user}: {outcome:?}");
    }
}

#[test]
fn a_dump_takes_members_and_what_is_required_along() {
    let world = world_for_members();
    world.fixture.run("select tenancy.invite_member('acme', 'admin')");
    let script = world.fixture.cluster().run_tool("pg_dump", &[world.fixture.database()]);
    let target = Fixture::empty(world.fixture.cluster());
    let restored = world.fixture.cluster().psql(
        target.database(),
        tenancy_harness::Cluster::SUPERUSER,
        &String::from_utf8(script.stdout).unwrap(),
    );
    assert!(restored.status.success() && restored.stderr.is_empty(), "{restored:?}");
    for query in ["select m::text from tenancy.members m order by 1", "select i::text from tenancy.invitations i"] {
        assert_eq!(target.superuser().texts(query), world.fixture.superuser().texts(query));
    }
    let mut client = target.connect(&world.app);
    client.run("set tenancy.user_id = 'stranger'");
    client.refuses("select tenancy.set_tenant('acme', false)", "42501");
    client.run("set tenancy.user_id = 'viewer'; select tenancy.set_tenant('acme', false)");
    assert_eq!(client.texts(READ).len(), usize::try_from(World::MINE).unwrap());
}

#[test]
fn indexes_that_are_rebuilt_stop_nobody() {
    let world = world_for_members();
    let mut client = session_of(&world, "owner", "acme");
    let asks = format!(
        "select row(tenancy.has_role('owner'), tenancy.is_member('viewer'), tenancy.setting('a'), \
                    tenancy.resolve_host('a.example'), (select count(*) from ({READ}) as own))"
    );
    let mut admin = world.fixture.superuser();
    let said = client.value(&asks);
    let tables =
        ["members", "hosts", "plans", "default_settings", "access", "tenants", "protection", "audited", "quotas"];
    for table in tables {
        admin.run(&format!("reindex table concurrently tenancy.{table}"));
        assert_eq!(client.value(&asks), said, "{table}");
    }
    // What changes is still heard of.
    admin.run("select tenancy.suspend_tenant('acme')");
    client.refuses(READ, "55000");
}
