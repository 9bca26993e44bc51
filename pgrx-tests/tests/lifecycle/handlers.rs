//! Handlers of lifecycle events: when they are called, as whom, and what they can't do.

use std::time::Duration;

use tenancy_harness::{
    ACME, Cluster, Config, Fixture, Session,
    postgres::{Client, fallible_iterator::FallibleIterator},
};

use crate::fixture_with_tenants;

/// A table `heard` and a handler that writes down what it is told, registered for every event.
fn listening() -> Fixture<'static> {
    let fixture = fixture_with_tenants();
    fixture.run(
        "create table heard (n bigint generated always as identity, tenant uuid, what jsonb, who text);
         create function note(uuid, jsonb) returns void language sql
           begin atomic insert into public.heard (tenant, what, who) values ($1, $2, current_user); end;
         select tenancy.on_lifecycle(e, 'note(uuid, jsonb)')
           from unnest('{created,suspended,resumed,archived,settings,plan}'::text[]) e",
    );
    fixture
}

fn heard(client: &mut Client) -> Vec<String> {
    client.texts("select concat_ws(' ', what->>'event', what->>'key', what->>'reason', what->>'path', what->>'plan') from heard order by n")
}

#[test]
fn each_event_calls_its_handlers_in_the_same_transaction() {
    let fixture = listening();
    let mut client = fixture.superuser();
    client.run("begin; select tenancy.create_tenant('initech'); rollback");
    assert!(heard(&mut client).is_empty());
    client.run(
        "select tenancy.create_plan('gold');
         select tenancy.create_tenant('initech', plan => 'gold'); select tenancy.create_tenant(null, id => '99999999-0000-4000-8000-000000000009');
         select tenancy.suspend_tenant('initech', 'unpaid'); select tenancy.resume_tenant('initech');
         select tenancy.set_setting('a.b', '1', tenant => 'initech');
         select tenancy.set_setting('a.b', '1', tenant => 'initech');
         select tenancy.set_setting('a.b', '1');
         update tenancy.tenants set plan = 'gold';
         select tenancy.suspend_tenant('acme'); select tenancy.archive_tenant('acme', 'gone')",
    );
    assert_eq!(
        heard(&mut client),
        [
            "created initech gold",
            "created 99999999-0000-4000-8000-000000000009",
            "suspended initech unpaid",
            "resumed initech",
            "settings initech a.b",
            "plan acme gold",
            "plan globex gold",
            "plan 99999999-0000-4000-8000-000000000009 gold",
            "suspended acme",
            "archived acme gone",
        ]
    );
    let agrees = "select count(*) from heard h join tenancy.event_log e on e.id = (h.what->>'event_id')::bigint
                    and e.tenant_id = h.tenant";
    assert_eq!(client.value(agrees).as_deref(), Some("10"));
}

#[test]
fn entries_are_announced_at_commit_by_their_ids_alone() {
    let fixture = fixture_with_tenants();
    let mut listener = fixture.superuser();
    listener.run("listen tenancy");
    let mut client = fixture.superuser();
    client.run("begin; select tenancy.suspend_tenant('acme'); rollback");
    client.run("begin; savepoint s; select tenancy.suspend_tenant('acme'); rollback to s; select tenancy.suspend_tenant('globex', 'secret'); commit");
    let id = client.value("select id from tenancy.event_log where event = 'tenant.suspended'").unwrap();
    let mut notifications = listener.notifications();
    let mut next = |patience| notifications.timeout_iter(Duration::from_millis(patience)).next().unwrap();
    let notification = next(10_000).expect("a notification");
    assert_eq!((notification.channel(), notification.payload()), ("tenancy", id.as_str()));
    assert!(next(200).is_none());
}

#[test]
fn a_transaction_with_events_can_be_prepared() {
    let cluster = Cluster::start("prepared", &Config::default().set("max_prepared_transactions", "5"));
    let fixture = Fixture::on(&cluster);
    fixture.run(
        "create table heard (what jsonb);
         create function note(uuid, jsonb) returns void language sql
           begin atomic insert into public.heard values ($2); end;
         select tenancy.on_lifecycle('created', 'note(uuid, jsonb)')",
    );
    let mut client = fixture.superuser();
    client.run("begin; select tenancy.create_tenant('acme'); prepare transaction 'life'");
    assert_eq!(client.value("select count(*) from heard").as_deref(), Some("0"));
    client.run("commit prepared 'life'");
    assert_eq!(client.value("select count(*) from heard").as_deref(), Some("1"));
}

#[test]
fn what_a_handler_raises_fails_the_transaction_and_names_the_handler() {
    let fixture = fixture_with_tenants();
    fixture.run(
        "create function refuse(uuid, jsonb) returns void language plpgsql
           as $$ begin raise exception using errcode = '23514', message = 'not today', detail = 'd', hint = 'h'; end $$;
         select tenancy.on_lifecycle('suspended', 'refuse(uuid, jsonb)')",
    );
    let mut client = fixture.superuser();
    let error = client.refuses("select tenancy.suspend_tenant('acme')", "23514");
    let message = "handler public.refuse of lifecycle event \"suspended\" failed: not today";
    assert_eq!((error.message(), error.detail(), error.hint()), (message, Some("d"), Some("h")));
    assert_eq!(client.value("select status from tenancy.tenants where key = 'acme'").as_deref(), Some("active"));
}

#[test]
fn a_handler_that_was_dropped_or_renamed_fails_the_transaction_until_it_is_taken_away() {
    let fixture = listening();
    let mut client = fixture.superuser();
    for change in ["alter function note(uuid, jsonb) rename to noted", "drop function noted(uuid, jsonb)"] {
        client.run(change);
        let error = client.refuses("select tenancy.suspend_tenant('acme')", "55000");
        assert!(
            error.message().contains("public.note") && error.hint().is_some_and(|hint| hint.contains("off_lifecycle"))
        );
    }
    client.run("select tenancy.off_lifecycle('suspended'); select tenancy.suspend_tenant('acme')");
    client.refuses("select tenancy.resume_tenant('acme')", "55000");
}

#[test]
fn registering_is_checked() {
    let fixture = fixture_with_tenants();
    fixture.run(
        "create function good(uuid, jsonb) returns text language sql return $2::text;
         create function many(uuid, jsonb) returns setof text language sql begin atomic select 'x'; end;
         create function other(uuid, json) returns text language sql return 'x';
         create procedure proc(uuid, jsonb) language sql begin atomic select 1; end;
         create function variadic_one(uuid, variadic jsonb[]) returns text language sql return 'x'",
    );
    let mut client = fixture.superuser();
    for unsuitable in ["many(uuid, jsonb)", "other(uuid, json)", "proc(uuid, jsonb)", "variadic_one(uuid, jsonb[])"] {
        client.refuses(&format!("select tenancy.on_lifecycle('created', '{unsuitable}')"), "42809");
    }
    client.refuses("select tenancy.on_lifecycle('born', 'good(uuid, jsonb)')", "22023");
    client.refuses("select tenancy.on_lifecycle('created', 'missing(uuid, jsonb)')", "42883");
    client.refuses("select tenancy.on_lifecycle('created', 1::oid::regprocedure)", "42704");
    client.refuses("select tenancy.on_lifecycle('created', null)", "22023");
    client.refuses("select tenancy.on_lifecycle(null, 'good(uuid, jsonb)')", "22023");
    client.refuses("select tenancy.off_lifecycle('created', 'good(uuid, jsonb)')", "42704");
    client.run("select tenancy.on_lifecycle('created', 'good(uuid, jsonb)')");
    client.refuses("select tenancy.on_lifecycle('created', 'good(uuid, jsonb)')", "42710");
    client.run("select tenancy.off_lifecycle('created', 'good(uuid, jsonb)'); select tenancy.off_lifecycle('created')");
    assert_eq!(client.value("select count(*) from tenancy.lifecycle_handlers").as_deref(), Some("0"));
}

#[test]
fn only_administrators_register_and_only_functions_of_their_own() {
    let fixture = fixture_with_tenants();
    let (app, admin) = (fixture.app(), fixture.role("admin"));
    fixture.run(&format!(
        "select tenancy.grant_admin('{admin}'); create schema ops authorization {admin};
         create function run_anything(uuid, jsonb) returns void language plpgsql
           as $$ begin execute $2->>'reason'; end $$;
         create schema tenant authorization {app}"
    ));
    let mut client = fixture.connect(&app);
    client.run("create function tenant.spy(uuid, jsonb) returns void language sql begin atomic select 1; end");
    client.refuses("select tenancy.on_lifecycle('created', 'tenant.spy(uuid, jsonb)')", "42501");
    client.refuses("select tenancy.off_lifecycle('created')", "42501");
    client.refuses("insert into tenancy.lifecycle_handlers values ('created', 'tenant.spy')", "42501");
    client.refuses("select * from tenancy.lifecycle_handlers", "42501");
    let mut client = fixture.connect(&admin);
    // It would run as the superuser that made it.
    let error = client.refuses("select tenancy.on_lifecycle('suspended', 'run_anything(uuid, jsonb)')", "42501");
    assert!(error.hint().is_some());
    client.refuses("select tenancy.on_lifecycle('suspended', 'tenant.spy(uuid, jsonb)')", "42501");
    client.run(
        "create function ops.mine(uuid, jsonb) returns void language sql begin atomic select 1; end;
         select tenancy.on_lifecycle('suspended', 'ops.mine(uuid, jsonb)'); select tenancy.suspend_tenant('acme')",
    );
}

/// A handler of a role without rights, whose body is `body`, registered by a superuser for suspensions.
fn of_nobody(body: &str) -> (Fixture<'static>, String) {
    let fixture = fixture_with_tenants();
    let nobody = fixture.role("nobody");
    fixture.run(&format!("create schema \"Odd schema\" authorization {nobody}"));
    fixture.connect(&nobody).run(&format!(
        "create table \"Odd schema\".seen (who text, path text, what jsonb);
         create function \"Odd schema\".\"Odd name\"(uuid, jsonb) returns void language plpgsql as $f$ {body} $f$"
    ));
    fixture.run("select tenancy.on_lifecycle('suspended', '\"Odd schema\".\"Odd name\"(uuid, jsonb)')");
    (fixture, nobody)
}

#[test]
fn a_handler_runs_as_its_owner_with_a_safe_path() {
    let (fixture, nobody) = of_nobody(
        "begin insert into \"Odd schema\".seen values (current_user, current_setting('search_path'), $2);
               set search_path = 'evil'; set statement_timeout = '1h'; end",
    );
    let mut client = fixture.superuser();
    client.run("set search_path = public; select tenancy.suspend_tenant('acme')");
    let seen = "select concat_ws('|', who, path, what->>'key') from \"Odd schema\".seen";
    assert_eq!(client.value(seen), Some(format!("{nobody}|pg_catalog, pg_temp|{}", ACME.key)));
    assert_eq!(client.value("show search_path").as_deref(), Some("public"));
    assert_eq!(client.value("show statement_timeout").as_deref(), Some("0"));
}

#[test]
fn a_handler_gets_no_more_rights_than_its_owner_has() {
    for (body, state) in [
        ("begin alter role current_user superuser; end", "42501"),
        ("begin reset session authorization; end", "42501"),
        ("begin set role postgres; end", "42501"),
        ("begin perform tenancy.create_tenant('mine'); end", "42501"),
        ("begin perform 1 from tenancy.members; update tenancy.tenants set name = 'x'; end", "42501"),
        ("begin perform set_config('tenancy.tenant_id', 'globex', false); end", "42501"),
        ("begin create temporary table left_behind (); end", "42501"),
        ("begin execute 'declare held cursor with hold for select 1'; end", "42501"),
        ("begin insert into \"Odd schema\".later values (1); end", "42501"),
    ] {
        let (fixture, nobody) = of_nobody(body);
        fixture.connect(&nobody).run(
            "create table \"Odd schema\".later (n integer);
             create function \"Odd schema\".rise() returns trigger language plpgsql as
               $$ begin execute format('alter role %I superuser', tg_argv[0]); return null; end $$;
             create constraint trigger rise after insert on \"Odd schema\".later deferrable initially deferred
               for each row execute function \"Odd schema\".rise('x')",
        );
        let mut client = fixture.superuser();
        let outcome = client.batch_execute("select tenancy.suspend_tenant('acme')");
        let code = outcome.as_ref().err().and_then(|error| error.code()).map(|code| code.code().to_owned());
        assert_eq!(code.as_deref(), Some(state), "{body}: {outcome:?}");
        let superusers = client.texts("select rolname from pg_roles where rolsuper");
        assert_eq!(superusers.len(), 1, "{body}: {superusers:?}");
    }
}

#[test]
fn registrations_come_with_a_dump() {
    let fixture = listening();
    fixture.run(
        "create function gone(uuid, jsonb) returns void language sql begin atomic select 1; end;
         select tenancy.on_lifecycle('resumed', 'gone(uuid, jsonb)'); drop function gone(uuid, jsonb)",
    );
    let cluster = fixture.cluster();
    let script = String::from_utf8(cluster.run_tool("pg_dump", &[fixture.database()]).stdout).unwrap();
    let target = Fixture::empty(cluster);
    let restored = cluster.psql(target.database(), Cluster::SUPERUSER, &script);
    assert!(restored.status.success() && restored.stderr.is_empty(), "{restored:?}");
    let mut client = target.superuser();
    assert_eq!(heard(&mut client), Vec::<String>::new());
    client.run("select tenancy.suspend_tenant('acme')");
    assert_eq!(heard(&mut client), ["suspended acme"]);
    client.refuses("select tenancy.resume_tenant('acme')", "55000");
}
