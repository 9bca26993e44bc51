//! `has_role` and `is_member`: what policies ask.

use tenancy_harness::postgres::Client;
use tenancy_harness::{ACME, GLOBEX, Session, refuses_in_savepoint};

use crate::{ISOLATION_LEVELS, READ, is_true, session_of, world_for_members, world_with_members};

const ROLES: [&str; 4] = ["viewer", "member", "admin", "owner"];

#[test]
fn each_role_has_what_those_below_it_have() {
    let world = world_with_members();
    for (height, user) in ROLES.iter().enumerate() {
        let mut client = session_of(&world, user, "acme");
        for (wanted, role) in ROLES.iter().enumerate() {
            assert_eq!(is_true(&mut client, &format!("tenancy.has_role('{role}')")), height >= wanted, "{user} {role}");
        }
        assert!(is_true(&mut client, "tenancy.is_member()"));
        client.run("set tenancy.tenant_id = 'globex'");
        assert!(!is_true(&mut client, "tenancy.has_role('viewer') or tenancy.is_member()"));
    }
}

#[test]
fn without_tenant_or_user_nobody_has_a_role() {
    let world = world_with_members();
    let mut client = world.connect();
    let nobody = "tenancy.has_role('viewer') or tenancy.is_member()";
    assert!(!is_true(&mut client, nobody));
    client.run("set tenancy.user_id = 'owner'");
    assert!(!is_true(&mut client, nobody));
    client.run("reset tenancy.user_id; set tenancy.tenant_id = 'acme'");
    assert!(!is_true(&mut client, nobody));
    client.run("set tenancy.user_id = 'OWNER'");
    assert!(!is_true(&mut client, nobody));
    // A superuser is no member by being one.
    let mut superuser = world.fixture.superuser();
    superuser.run("set tenancy.tenant_id = 'acme'");
    assert!(!is_true(&mut superuser, nobody));
}

#[test]
fn what_is_no_role_is_an_error_and_null_is_null() {
    let world = world_with_members();
    let mut client = session_of(&world, "owner", "acme");
    client.refuses("select tenancy.has_role('root')", "22023");
    client.refuses("select tenancy.has_role('')", "22023");
    client.refuses("select tenancy.has_role(repeat('owner', 100000))", "22023");
    assert_eq!(client.value("select tenancy.has_role(null)"), None);
    // However the text is stored.
    world.fixture.run(
        "create table words (word text, long text); insert into words values ('admin', repeat('owner', 100000));
         create table random_words (long text); alter table random_words alter long set storage external;
         insert into random_words select string_agg(md5(n::text), '') from generate_series(1, 1000) n;
         grant select on words, random_words to public",
    );
    assert!(is_true(&mut client, "bool_and(tenancy.has_role(word)) from words"));
    client.refuses("select tenancy.has_role(long) from words", "22023");
    client.refuses("select tenancy.has_role(long) from random_words", "22023");
    assert!(is_true(&mut client, "tenancy.has_role('owner')"));
}

#[test]
fn a_policy_of_the_users_own_may_ask() {
    let world = world_with_members();
    world.fixture.run(
        "create policy editors on notes_uuid as restrictive for update using (tenancy.has_role('member'));
         create policy admins on notes_uuid as restrictive for delete using (tenancy.has_role('admin'))",
    );
    for (user, updates, deletes) in [("viewer", 0, 0), ("member", 20, 0), ("admin", 20, 20), ("stranger", 0, 0)] {
        let mut client = session_of(&world, user, "acme");
        client.run("begin");
        assert_eq!(client.affected("update notes_uuid set body = body"), updates, "{user}");
        assert_eq!(client.affected("delete from notes_uuid"), deletes, "{user}");
        client.run("rollback");
    }
}

#[test]
fn a_role_that_changes_is_felt_at_the_next_statement() {
    for level in ISOLATION_LEVELS {
        let world = world_with_members();
        let mut client = session_of(&world, "member", "acme");
        client.run(&format!("begin isolation level {level}"));
        assert!(!is_true(&mut client, "tenancy.has_role('admin')"));
        world.fixture.run("select tenancy.add_member('acme', 'member', 'admin')");
        assert!(is_true(&mut client, "tenancy.has_role('admin')"), "{level}");
        world.fixture.run("update tenancy.members set role = 'viewer' where user_id = 'member'");
        assert!(!is_true(&mut client, "tenancy.has_role('member')"), "{level}");
        world.fixture.run("select tenancy.remove_member('acme', 'member')");
        assert!(!is_true(&mut client, "tenancy.is_member() or tenancy.has_role('viewer')"), "{level}");
        world.fixture.run("truncate tenancy.members");
        world.fixture.run("insert into tenancy.members values (tenancy.create_tenant('late'), 'member')");
        world.fixture.run(&format!("insert into tenancy.members values ('{}', 'member')", ACME.id));
        assert!(is_true(&mut client, "tenancy.has_role('member')"), "{level}");
    }
}

#[test]
fn a_role_that_changes_is_felt_within_a_loop_of_one_statement() {
    let world = world_with_members();
    let mut client = session_of(&world, "member", "acme");
    client.run("select tenancy.has_role('member')");
    std::thread::scope(|scope| {
        let loops = scope.spawn(|| {
            client.batch_execute(
                "do $$ declare started timestamptz := clock_timestamp(); begin
                   while tenancy.has_role('member') loop
                     perform count(*) from notes_uuid;
                     perform pg_sleep(0.01);
                     if clock_timestamp() > started + interval '10 s' then raise exception 'was never told'; end if;
                   end loop;
                 end $$",
            )
        });
        std::thread::sleep(std::time::Duration::from_millis(100));
        world.fixture.run("select tenancy.remove_member('acme', 'member')");
        loops.join().expect("the session ends").expect("it was told");
    });
}

#[test]
fn what_a_transaction_takes_back_never_was() {
    let world = world_with_members();
    let mut client = world.fixture.superuser();
    client.run("set tenancy.user_id = 'newcomer'; set tenancy.tenant_id = 'acme'; begin; savepoint one");
    assert!(!is_true(&mut client, "tenancy.has_role('viewer')"));
    client.run("select tenancy.add_member('acme', 'newcomer', 'viewer')");
    assert!(is_true(&mut client, "tenancy.has_role('viewer')"));
    client.run("rollback to one");
    assert!(!is_true(&mut client, "tenancy.has_role('viewer')"));
    client.run("select tenancy.add_member('acme', 'newcomer', 'admin')");
    assert!(is_true(&mut client, "tenancy.has_role('admin')"));
    assert!(!is_true(&mut session_of(&world, "newcomer", "acme"), "tenancy.has_role('viewer')"));
    client.run("rollback");
    assert!(!is_true(&mut client, "tenancy.has_role('viewer')"));
}

#[test]
fn the_user_follows_the_transaction() {
    let world = world_with_members();
    let mut client = session_of(&world, "viewer", "acme");
    let is_admin = |client: &mut Client| is_true(client, "tenancy.has_role('admin')");
    assert!(!is_admin(&mut client));
    client.run("begin; set local tenancy.user_id = 'admin'");
    assert!(is_admin(&mut client));
    client.run("savepoint one; set local tenancy.user_id = 'member'");
    assert!(!is_admin(&mut client));
    client.run("rollback to one");
    assert!(is_admin(&mut client));
    assert!(!is_true(&mut client, "tenancy.has_role('owner')"));
    client.run("select set_config('tenancy.user_id', 'owner', true)");
    assert!(is_true(&mut client, "tenancy.has_role('owner')"));
    client.run("commit");
    assert!(!is_admin(&mut client));
    client.run("begin; set tenancy.user_id = 'admin'; commit");
    assert!(is_admin(&mut client));
    client.run("reset tenancy.user_id");
    assert!(!is_admin(&mut client));
}

#[test]
fn a_procedure_that_commits_goes_on_as_who_it_is() {
    let world = world_with_members();
    world.fixture.run(
        "create procedure steps(out seen text) language plpgsql as $$ begin
           seen := tenancy.has_role('admin'); commit;
           seen := seen || tenancy.has_role('admin');
           perform set_config('tenancy.user_id', 'admin', false);
           seen := seen || tenancy.has_role('admin'); commit;
           seen := seen || tenancy.has_role('admin');
         end $$",
    );
    let mut client = session_of(&world, "viewer", "acme");
    assert_eq!(client.value("call steps(null)").as_deref(), Some("falsefalsetruetrue"));
}

#[test]
fn parallel_workers_know_the_user() {
    let world = world_with_members();
    world
        .fixture
        .run("create policy readers on notes_uuid as restrictive for select using (tenancy.has_role('viewer'))");
    let settings = "set min_parallel_table_scan_size = 0; set parallel_setup_cost = 0; set parallel_tuple_cost = 0;
         set max_parallel_workers_per_gather = 2; set parallel_leader_participation = off; set enable_indexscan = off;
         set enable_bitmapscan = off";
    for (user, rows) in [("viewer", 20), ("stranger", 0)] {
        let mut client = session_of(&world, user, "acme");
        client.run(settings);
        let query = "select body from notes_uuid where tenancy.has_role('viewer') and tenancy.is_member()";
        let plan = client.texts(&format!("explain (analyze, costs off, timing off, summary off) {query}")).join("\n");
        assert!(plan.contains("Workers Launched: ") && !plan.contains("Workers Launched: 0"), "{plan}");
        assert_eq!(client.texts(query).len(), rows, "{user}");
    }
}

#[test]
fn one_is_asked_about_by_name() {
    let world = world_with_members();
    let mut client = world.connect();
    // Before there is a tenant, for a page on which one is chosen.
    assert!(is_true(&mut client, "tenancy.is_member('viewer', 'acme')"));
    assert!(is_true(&mut client, &format!("tenancy.is_member('viewer', '{}'::uuid)", ACME.id)));
    assert!(!is_true(&mut client, "tenancy.is_member('viewer', 'globex')"));
    assert!(!is_true(&mut client, "tenancy.is_member('stranger', 'acme')"));
    assert!(!is_true(&mut client, "tenancy.is_member('viewer')"));
    client.refuses("select tenancy.is_member('viewer', ' acme')", "22023");
    client.run("set tenancy.user_id = 'owner'");
    assert!(!is_true(&mut client, "tenancy.is_member()"));
    client.run("set tenancy.tenant_id = 'acme'");
    assert!(is_true(&mut client, "tenancy.is_member()"));
    assert!(is_true(&mut client, "tenancy.is_member('viewer') and not tenancy.is_member('stranger')"));
}

#[test]
fn a_tenant_learns_nothing_of_another_ones_members() {
    let world = world_with_members();
    world.fixture.run("select tenancy.add_member('globex', 'rival', 'owner')");
    let mut client = session_of(&world, "owner", "acme");
    let mut tx = client.transaction().unwrap();
    for other in ["globex", "nobody_here"] {
        refuses_in_savepoint(&mut tx, &format!("select tenancy.is_member('rival', '{other}')"), "42501");
    }
    refuses_in_savepoint(&mut tx, &format!("select tenancy.is_member('rival', '{}'::uuid)", GLOBEX.id), "42501");
    assert_eq!(tx.texts("select user_id from tenancy.members order by 1"), ["admin", "member", "owner", "viewer"]);
    refuses_in_savepoint(&mut tx, "select * from tenancy.invitations", "42501");
    // Nor when it has left its own, within the transaction or sealed.
    tx.run("reset tenancy.tenant_id");
    refuses_in_savepoint(&mut tx, "select tenancy.is_member('rival', 'globex')", "42501");
    drop(tx);
    // Nor when it has merely named it.
    for other in ["globex", "nobody_here"] {
        client.run("begin; set local tenancy.tenant_id = 'acme'; set local tenancy.tenant_id = ''");
        client.refuses(&format!("select tenancy.is_member('rival', '{other}')"), "42501");
        client.run("rollback");
    }
    client.run("select tenancy.seal('a secret of sixteen bytes'); reset tenancy.tenant_id");
    client.refuses("select tenancy.is_member('rival', 'globex')", "42501");
    client.run("select tenancy.is_member('owner', 'acme'), tenancy.unseal('a secret of sixteen bytes')");
    assert_eq!(client.texts("select user_id from tenancy.members"), Vec::<String>::new());

    // Whom the role may not act for is as unknown as one that does not exist.
    let stranger = world.fixture.role("stranger");
    let mut client = world.fixture.connect(&stranger);
    for tenant in ["acme", "nobody_here"] {
        assert!(!is_true(&mut client, &format!("tenancy.is_member('owner', '{tenant}')")), "{tenant}");
    }
    world.fixture.run("select tenancy.suspend_tenant('globex')");
    assert!(!is_true(&mut world.connect(), "tenancy.is_member('rival', 'globex')"));
}

#[test]
fn who_may_act_for_members_alone_asks_about_the_user_alone() {
    let world = world_for_members();
    let mut client = world.connect();
    let asked = ["owner", "viewer", "nobody"].map(|user| format!("tenancy.is_member('{user}', 'acme')"));
    assert!(asked.iter().all(|asked| !is_true(&mut client, asked)));
    client.run("set tenancy.user_id = 'viewer'");
    assert_eq!(asked.map(|asked| is_true(&mut client, &asked)), [false, true, false]);
    client.run("set tenancy.tenant_id = 'acme'");
    assert!(is_true(&mut client, "tenancy.is_member('owner', 'acme')"));
}

#[test]
fn null_is_no_user() {
    let world = world_with_members();
    let mut client = session_of(&world, "owner", "acme");
    for asked in [
        "is_member(null)",
        "is_member(null, 'acme')",
        "is_member('owner', null::text)",
        "is_member('owner', null::uuid)",
    ] {
        assert_eq!(client.value(&format!("select tenancy.{asked}")), None, "{asked}");
    }
    // A policy that asks about a column shows no row without one.
    world.fixture.run(
        "alter table notes_uuid add assignee text;
         create policy assigned on notes_uuid as restrictive using (tenancy.is_member(assignee))",
    );
    assert_eq!(client.texts(READ), Vec::<String>::new());
}

#[test]
fn asking_about_endless_users_takes_no_memory() {
    let world = world_with_members();
    let mut client = world.fixture.superuser();
    client.run("set tenancy.tenant_id = 'acme'");
    let pages = "select split_part(pg_read_file('/proc/self/statm'), ' ', 2)::int from (select tenancy.is_member('owner')) as warm";
    let megabytes = |client: &mut Client| client.value(pages).unwrap().parse::<u64>().unwrap() * 4 / 1024;
    let before = megabytes(&mut client);
    assert!(!is_true(
        &mut client,
        "bool_or(tenancy.is_member(repeat('x', 1000000) || n)) from generate_series(1, 300) as n"
    ));
    let after = megabytes(&mut client);
    assert!(after < before + 100, "from {before} to {after} MB");
}

#[test]
fn members_are_changed_by_administrators_alone() {
    let world = world_with_members();
    let mut client = session_of(&world, "owner", "acme");
    for change in [
        "select tenancy.add_member('acme', 'stranger')",
        "select tenancy.remove_member('acme', 'viewer')",
        "select tenancy.invite_member('acme')",
        "insert into tenancy.members (tenant_id, user_id) values (tenancy.current_tenant(), 'stranger')",
        "update tenancy.members set role = 'owner'",
        "delete from tenancy.members",
    ] {
        client.refuses(change, "42501");
    }
    world.fixture.run(&format!("select tenancy.grant_admin('{}')", world.app));
    client.run("select tenancy.add_member('acme', 'stranger'); select tenancy.remove_member('acme', 'viewer')");
}

#[test]
fn what_can_not_be_a_member_is_refused() {
    let world = world_with_members();
    let mut admin = world.fixture.superuser();
    admin.refuses("select tenancy.add_member('nobody_here', 'alice')", "42704");
    admin.refuses("select tenancy.add_member('acme', 'alice', 'root')", "22023");
    admin.refuses("select tenancy.add_member('acme', '')", "22023");
    admin.refuses("select tenancy.add_member('acme', e'a\\nb')", "22023");
    admin.refuses("select tenancy.add_member('acme', repeat('a', 256))", "22023");
    admin.refuses("select tenancy.add_member('acme', null)", "22023");
    admin.refuses("select tenancy.remove_member('acme', 'stranger')", "42704");
    admin.refuses("select tenancy.remove_member('nobody_here', 'owner')", "42704");
}

#[test]
fn every_change_is_an_event_of_the_tenant() {
    let world = world_with_members();
    world.fixture.run(
        "select tenancy.add_member('globex', 'alice'), tenancy.add_member('globex', 'alice'),
                tenancy.add_member('globex', 'alice', 'admin'), tenancy.remove_member('globex', 'alice')",
    );
    let mut client = session_of(&world, "alice", "globex");
    let events = client.texts(
        "select concat_ws(' ', event, object, detail->>'role') from tenancy.event_log
          where event like 'member.%' order by id",
    );
    assert_eq!(events, ["member.added alice member", "member.changed alice admin", "member.removed alice"]);
}
