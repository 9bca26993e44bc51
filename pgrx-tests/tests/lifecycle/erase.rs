//! Erasing a tenant: everything of its own goes, nothing of others, and nothing half.

use std::time::Duration;

use tenancy_harness::{ACME, Cluster, Config, FAMILIES, Fixture, Session, World, postgres::Client};

/// What must not be found in a dump once the tenant is erased.
const CANARY: &str = "Kanarienvogel";

/// A tenant with rows in every kind of table, and entries in every table of the extension's own; `globex` has the same.
fn full() -> Fixture<'static> {
    let fixture = Fixture::new();
    fixture.run(
        r#"select tenancy.create_plan('gold');
        create schema "Odd ""schema";
        create table parents (tenant_id uuid, id integer, boss integer, body text, primary key (tenant_id, id),
            foreign key (tenant_id, boss) references parents on delete restrict);
        create table children (tenant_id uuid, id integer, parent integer not null, body text, primary key (tenant_id, id),
            foreign key (tenant_id, parent) references parents on delete restrict);
        create table chickens (tenant_id uuid, id integer, egg integer, primary key (tenant_id, id));
        create table eggs (tenant_id uuid, id integer, chicken integer not null, primary key (tenant_id, id),
            foreign key (tenant_id, chicken) references chickens);
        alter table chickens add foreign key (tenant_id, egg) references eggs;
        create table late (tenant_id uuid, id integer, primary key (tenant_id, id));
        create table later (tenant_id uuid, id integer,
            foreign key (tenant_id, id) references late deferrable initially deferred);
        create table "Odd ""schema"."Odd table" ("the tenant" text, body text);
        create table numbered (tenant_id bigint, body text);
        create table days (tenant_id uuid, day date, body text) partition by range (day);
        create table days_1 partition of days for values from ('2020-01-01') to ('2021-01-01');
        create table days_2 partition of days default;
        create table base (tenant_id uuid, body text); create table derived (more text) inherits (base);
        create table prices (tenant_id uuid, body text); create table log (tenant_id uuid, body text);
        create table countries (id integer, body text); insert into countries values (1, 'all');
        select tenancy.protect(t) from unnest('{parents,children,chickens,eggs,late,later,numbered,days,base}'::regclass[]) t;
        select tenancy.protect('"Odd ""schema"."Odd table"', 'the tenant');
        select tenancy.protect('prices', kind => 'shared'); select tenancy.protect('log', kind => 'append_only');
        select tenancy.classify('countries', 'global');
        insert into prices values (null, 'for all');
        select tenancy.audit('parents'); select tenancy.audit('days');
        select tenancy.create_resource('parents', 'rows'), tenancy.create_resource('calls', 'counter');
        select tenancy.attach_quota('parents', 'parents')"#,
    );
    for (key, id) in [("acme", ACME.id), ("77", "bbbbbbbb-0000-4000-8000-000000000002")] {
        fill(&fixture, key, id);
    }
    fixture
}

fn fill(fixture: &Fixture<'_>, key: &str, id: &str) {
    let word = if key == "acme" { CANARY } else { "other" };
    let role = format!("role_{word}_{}", fixture.database()).to_lowercase();
    let name = if key == "acme" { format!("{CANARY}_key") } else { key.to_owned() };
    fixture.run(&format!(
        r#"select tenancy.create_tenant('{name}', id => '{id}', name => '{word} Ltd', plan => 'gold', settings => '{{"a": "{word}"}}');
        create role {role} login; select tenancy.grant_access('{role}', '{name}');
        insert into parents select '{id}', n, nullif(n - 1, 0), '{word}' from generate_series(1, 10) n;
        insert into children select '{id}', n, n, '{word}' from generate_series(1, 10) n;
        begin; insert into chickens select '{id}', n, null from generate_series(1, 5) n; insert into eggs select '{id}', n, n from generate_series(1, 5) n;
        update chickens set egg = id where tenant_id = '{id}'; commit;
        insert into late values ('{id}', 1); insert into later values ('{id}', 1);
        insert into "Odd ""schema"."Odd table" values ('{name}', '{word}'), ('{name}', '{word}');
        insert into days values ('{id}', '2020-05-05', '{word}'), ('{id}', '2024-05-05', '{word}');
        insert into base values ('{id}', '{word}'); insert into derived values ('{id}', '{word}', '{word}');
        insert into prices values ('{id}', '{word}'); insert into log values ('{id}', '{word}');
        select tenancy.add_member('{name}', '{word}@example.com', 'owner'), tenancy.invite_member('{name}'),
               tenancy.add_host('{word}.example', '{name}'), tenancy.set_number('{name}', '{word}', 41),
               tenancy.set_quota('{name}', 'parents', 100), tenancy.set_setting('b', '"{word}"', tenant => '{name}');
        begin; set local tenancy.allow_switch = on; set local tenancy.user_id = '{word}'; set local tenancy.request_id = '{word}';
        select tenancy.set_tenant('{name}'); select tenancy.consume('calls', 3, '{word}'); commit;
        begin; set local tenancy.user_id = '{word}'; update parents set body = body || '.' where tenant_id = '{id}'; commit;
        select tenancy.meter_usage(); select tenancy.suspend_tenant('{name}', '{word} did not pay'); select tenancy.resume_tenant('{name}')"#
    ));
    if key != "acme" {
        fixture.run(&format!("insert into numbered values ({key}, 'other')"));
    }
}

fn archive(fixture: &Fixture<'_>, tenant: &str) {
    fixture.run(&format!(
        "select tenancy.suspend_tenant('{tenant}'); select tenancy.archive_tenant('{tenant}', '{CANARY} left')"
    ));
}

fn counts(client: &mut Client, call: &str) -> Vec<String> {
    client.texts(&format!("select concat_ws(' ', tbl, rows) from {call} order by tbl::text"))
}

/// The dump without what differs from one to the next.
fn dump(fixture: &Fixture<'_>) -> String {
    let output = fixture.cluster().run_tool("pg_dump", &[fixture.database()]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .filter(|line| !["restrict ", ".setval(", "bypass.declared"].iter().any(|text| line.contains(text)))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn everything_of_the_tenant_goes_and_nothing_of_others() {
    let fixture = full();
    let mut client = fixture.superuser();
    let others = "select md5(string_agg(r, '' order by r)) from (
        select p::text r from parents p where body not like 'Kan%' union all select p::text from children p where body not like 'Kan%'
        union all select d::text from days d where body not like 'Kan%' union all select d::text from derived d where body not like 'Kan%'
        union all select p::text from prices p where body not like 'Kan%' union all select n::text from numbered n
        union all select m::text from tenancy.members m where user_id not like 'Kan%' union all select h::text from tenancy.hosts h where host like 'other%') r";
    let before = client.value(others);
    archive(&fixture, ACME.id);
    client.run("select tenancy.audit_seal()");
    assert!(dump(&fixture).contains(CANARY));
    let key = format!("{CANARY}_key");
    let untouched = dump(&fixture);
    let dry = counts(&mut client, &format!("tenancy.erase_tenant('{key}', erase_audit => true)"));
    assert!(dump(&fixture) == untouched);

    let done = counts(&mut client, &format!("tenancy.erase_tenant('{key}', '{key}', false, erase_audit => true)"));

    let own = |line: &&String| !line.starts_with("tenancy.");
    assert_eq!(done.iter().filter(own).collect::<Vec<_>>(), dry.iter().filter(own).collect::<Vec<_>>());
    let expected = [
        "\"Odd \"\"schema\".\"Odd table\" 2",
        "base 2",
        "chickens 5",
        "children 10",
        "days 2",
        "eggs 5",
        "late 1",
        "later 1",
        "log 1",
        "numbered 0",
        "parents 10",
        "prices 1",
    ];
    assert_eq!(done.iter().filter(own).map(String::as_str).collect::<Vec<_>>(), expected);
    for table in [
        "access",
        "consumptions",
        "hosts",
        "invitations",
        "members",
        "numbers",
        "quota_slots",
        "quotas",
        "usage_history",
    ] {
        let line = done.iter().find(|line| line.starts_with(&format!("tenancy.{table} ")));
        assert!(line.is_some_and(|line| !line.ends_with(" 0")), "{table}: {done:?}");
    }
    assert_eq!(client.value(others), before);
    let text = dump(&fixture).to_lowercase().replace(&format!("role_{CANARY}").to_lowercase(), "");
    let found: Vec<_> = text.lines().filter(|line| line.contains(&CANARY.to_lowercase())).collect();
    assert!(found.is_empty(), "{found:?}");
    let left = format!(
        "select concat_ws('|', key, coalesce(name, '-'), status, coalesce(plan, '-'), settings) from tenancy.tenants where id = '{}'",
        ACME.id
    );
    assert_eq!(client.value(&left), Some(format!("{}|-|erased|-|{{}}", ACME.id)));
    // The chain still holds, before and after more is sealed.
    for _ in 0..2 {
        let verdict = client.texts("select ok || ' ' || detail from tenancy.audit_verify()");
        assert!(
            verdict.len() == 1 && verdict[0].starts_with("true") && verdict[0].contains("Erased with their tenants"),
            "{verdict:?}"
        );
        client.run("select tenancy.audit_seal()");
    }
    client.refuses("delete from tenancy.audit_erased", "42501");
}

#[test]
fn the_certificate_can_be_checked() {
    let fixture = full();
    archive(&fixture, ACME.id);
    let mut client = fixture.superuser();
    client.run(&format!("select tenancy.erase_tenant('{}', '{CANARY}_key', false)", ACME.id));
    let agrees = "select e.detail->>'digest' = encode(sha256(convert_to(e.tenant_id || E'\n' ||
                     (select string_agg(key || ' ' || value || E'\n', '' order by key collate \"C\")
                        from jsonb_each_text(e.detail->'tables')), 'UTF8')), 'hex')
                  and (e.detail->>'rows')::bigint = (select sum(value::bigint) from jsonb_each_text(e.detail->'tables'))
                  and e.detail->'tables'->>'public.children' = '10' and e.detail->>'audit' = 'kept'
                  from tenancy.event_log e where event = 'tenant.erased'";
    assert_eq!(client.value(agrees).as_deref(), Some("t"));
    let kept = format!("select count(*) > 0 from tenancy.audit_log where tenant_id = '{}' and op = 'DELETE'", ACME.id);
    assert_eq!(client.value(&kept).as_deref(), Some("t"));
    let told = format!(
        "select count(*) from tenancy.event_log where tenant_id = '{}' and event <> 'tenant.erased'
                          and num_nonnulls(object, user_id, request_id, reason, detail) > 0",
        ACME.id
    );
    assert_eq!(client.value(&told).as_deref(), Some("0"));
}

#[test]
fn the_key_is_free_again_and_the_id_is_not() {
    let fixture = full();
    archive(&fixture, ACME.id);
    let mut client = fixture.superuser();
    client.run(&format!("select tenancy.erase_tenant('{}', '{CANARY}_key', false)", ACME.id));
    client.refuses(&format!("select tenancy.create_tenant('x', id => '{}')", ACME.id), "42710");
    client.run(&format!("select tenancy.create_tenant('{CANARY}_key')"));
    for call in [
        "add_member('{}', 'u')",
        "grant_access('postgres', '{}')",
        "set_setting('a', '1', tenant => '{}')",
        "add_host('h.example', '{}')",
    ] {
        client.refuses(&format!("select tenancy.{}", call.replace("{}", ACME.id)), "42704");
    }
    for call in [
        "resume_tenant('{}')",
        "suspend_tenant('{}')",
        "archive_tenant('{}')",
        "erase_tenant('{}')",
        "erase_tenant('{0}', '{0}', false)",
    ] {
        client.refuses(&format!("select tenancy.{}", call.replace("{}", ACME.id).replace("{0}", ACME.id)), "55000");
    }
}

#[test]
fn it_wants_an_archived_tenant_its_key_and_an_administrator() {
    let fixture = full();
    let app = fixture.app();
    let key = format!("{CANARY}_key");
    let mut client = fixture.superuser();
    client.refuses(&format!("select tenancy.erase_tenant('{key}', '{key}', false)"), "55000");
    archive(&fixture, ACME.id);
    for confirm in ["null", "''", "'77'", &format!("'{}'", ACME.id)] {
        client.refuses(&format!("select tenancy.erase_tenant('{key}', {confirm}, false)"), "22023");
    }
    client.refuses("select tenancy.erase_tenant('nobody', 'nobody', false)", "42704");
    client.refuses("select tenancy.erase_tenant(null)", "22023");
    client.refuses(&format!("select tenancy.erase_tenant('{key}', '{key}', null)"), "22023");
    fixture.connect(&app).refuses(&format!("select tenancy.erase_tenant('{key}')"), "42501");
    client.run("begin isolation level repeatable read");
    client.refuses(&format!("select tenancy.erase_tenant('{key}', '{key}', false)"), "55000");
    client.run("rollback; create table forgotten (\"the tenant\" text)");
    let error = client.refuses(&format!("select tenancy.erase_tenant('{key}', '{key}', false)"), "55000");
    assert!(error.detail().is_some_and(|detail| detail.contains("public.forgotten")), "{error:?}");
    client.run("select tenancy.classify('forgotten', 'global')");
    client.run(&format!("select tenancy.erase_tenant('{key}', '{key}', false)"));
}

#[test]
fn every_type_of_tenant_column_is_known() {
    let world = World::new();
    let fixture = &world.fixture;
    let mut client = fixture.superuser();
    for family in &FAMILIES {
        let tenant = family.mine;
        let state = client.value(&format!("select status from tenancy.tenants where id = '{}'", tenant.id)).unwrap();
        if state == "active" {
            client.run(&format!(
                "select tenancy.suspend_tenant('{0}'); select tenancy.archive_tenant('{0}');
                 select tenancy.erase_tenant('{0}', '{0}', false)",
                tenant.key
            ));
        }
        let rows = world.true_rows(&family.table());
        assert_eq!(rows.len(), usize::try_from(World::OTHERS).unwrap(), "{}", family.column_type);
    }
}

#[test]
fn what_keeps_rows_fails_it_and_nothing_is_erased() {
    let fixture = full();
    archive(&fixture, ACME.id);
    let before = dump(&fixture);
    let mut client = fixture.superuser();
    client.run(
        "create function keep() returns trigger language plpgsql as $$ begin return null; end $$;
         create trigger keep before delete on log for each row execute function keep()",
    );
    let erase = format!("select tenancy.erase_tenant('{}', '{CANARY}_key', false)", ACME.id);
    let error = client.refuses(&erase, "55000");
    assert!(error.message().contains("public.log") && error.hint().is_some(), "{error:?}");
    client.run(
        "drop trigger keep on log; create table holds (p integer, t uuid, foreign key (t, p) references parents);
                insert into holds select id, tenant_id from parents where body like 'Kan%' limit 1",
    );
    client.refuses(&erase, "23503");
    client.run("drop table holds; drop function keep()");
    let after = dump(&fixture);
    let differs: Vec<_> = before.lines().zip(after.lines()).filter(|(one, other)| one != other).take(3).collect();
    assert!(differs.is_empty() && before.len() == after.len(), "{differs:?}");
    client.run(&erase);
}

#[test]
fn triggers_run_with_the_rights_of_the_tables_owner_alone() {
    let fixture = full();
    let owner = fixture.role("owner");
    fixture.run(&format!("create schema theirs authorization {owner}; select tenancy.grant_admin('{owner}')"));
    let mut client = fixture.connect(&owner);
    client.run(
        "create table theirs.things (tenant_id uuid, body text); select tenancy.protect('theirs.things');
         create table theirs.seen (who text, path text);
         create function theirs.rise() returns trigger language plpgsql as
           $$ begin insert into theirs.seen values (current_user, current_setting('search_path'));
                    perform set_config('work_mem', '1GB', false); execute tg_argv[0]; return null; end $$;
         create trigger rise after delete on theirs.things for each row execute function theirs.rise('select 1')",
    );
    fixture.run(&format!("insert into theirs.things values ('{}', '{CANARY}')", ACME.id));
    archive(&fixture, ACME.id);
    let mut superuser = fixture.superuser();
    for attack in [
        "alter role current_user superuser",
        "set role postgres",
        "create temporary table t ()",
        "delete from public.prices",
    ] {
        client.run(&format!("drop trigger rise on theirs.things; create trigger rise after delete on theirs.things for each row execute function theirs.rise('{attack}')"));
        superuser.refuses(&format!("select tenancy.erase_tenant('{}', '{CANARY}_key', false)", ACME.id), "42501");
    }
    client.run("drop trigger rise on theirs.things; create trigger rise after delete on theirs.things for each row execute function theirs.rise('select 1')");
    superuser
        .run(&format!("set search_path = public; select tenancy.erase_tenant('{}', '{CANARY}_key', false)", ACME.id));
    let seen = superuser.value("select concat_ws('|', who, path) from theirs.seen");
    assert_eq!(seen, Some(format!("{owner}|pg_catalog, pg_temp")));
    assert_ne!(superuser.value("show work_mem").as_deref(), Some("1GB"));
}

#[test]
fn what_is_written_meanwhile_is_erased_too() {
    let fixture = full();
    let mut writer = fixture.superuser();
    archive(&fixture, ACME.id);
    writer.run(&format!("begin; insert into log values ('{}', '{CANARY} meanwhile')", ACME.id));
    std::thread::scope(|scope| {
        let erasing = scope.spawn(|| {
            fixture.superuser().value(&format!(
                "select rows from tenancy.erase_tenant('{}', '{CANARY}_key', false) where tbl = 'log'::regclass",
                ACME.id
            ))
        });
        std::thread::sleep(Duration::from_millis(700));
        writer.run("commit");
        assert_eq!(erasing.join().unwrap().as_deref(), Some("2"));
    });
    let left = format!("select count(*) from log where tenant_id = '{}'", ACME.id);
    assert_eq!(writer.value(&left).as_deref(), Some("0"));
}

#[test]
fn hostile_settings_of_the_caller_change_nothing() {
    let fixture = full();
    archive(&fixture, ACME.id);
    let mut client = fixture.superuser();
    client.run(
        "create schema evil; create function evil.eq(uuid, uuid) returns boolean language sql return true;
         create operator evil.= (leftarg = uuid, rightarg = uuid, function = evil.eq);
         set search_path = evil, pg_catalog; set standard_conforming_strings = off; set quote_all_identifiers = on",
    );
    client.run(&format!("select tenancy.erase_tenant('{}', '{CANARY}_key', false)", ACME.id));
    let others = "select (select count(*) from public.parents) || ' ' || (select count(*) from public.children)";
    assert_eq!(client.value(others).as_deref(), Some("10 10"));
}

#[test]
fn a_crash_or_a_cancel_in_the_middle_leaves_all_and_it_can_be_done_again() {
    let cluster = Cluster::start("crash", &Config::default());
    let fixture = Fixture::on(&cluster);
    fixture.run(&format!(
        "select tenancy.create_tenant('acme', id => '{}');
         create table first (tenant_id uuid, body text); create table last (tenant_id uuid, body text);
         select tenancy.protect('first'); select tenancy.protect('last');
         insert into first select '{0}', n from generate_series(1, 1000) n; insert into last values ('{0}', 'x');
         create function slow() returns trigger language plpgsql as $$ begin perform pg_sleep(60); return null; end $$;
         create trigger slow after delete on last for each row execute function slow();
         select tenancy.suspend_tenant('acme'); select tenancy.archive_tenant('acme')",
        ACME.id
    ));
    const ERASE: &str = "select tenancy.erase_tenant('acme', 'acme', false)";
    let state = "select concat_ws(' ', (select count(*) from first), (select count(*) from last),
                                  (select status from tenancy.tenants))";
    let mut client = fixture.superuser();
    let cancel = client.cancel_token();
    std::thread::scope(|scope| {
        let erasing = scope.spawn(move || client.refuses(ERASE, "57014"));
        std::thread::sleep(Duration::from_millis(700));
        cancel.cancel_query(tenancy_harness::postgres::NoTls).unwrap();
        erasing.join().unwrap();
    });
    assert_eq!(fixture.superuser().value(state).as_deref(), Some("1000 1 archived"));
    let mut client = fixture.superuser();
    std::thread::scope(|scope| {
        let erasing = scope.spawn(move || client.batch_execute(ERASE).is_err());
        std::thread::sleep(Duration::from_millis(700));
        cluster.kill9();
        assert!(erasing.join().unwrap());
    });
    cluster.restart();
    let mut client = fixture.superuser();
    assert_eq!(client.value(state).as_deref(), Some("1000 1 archived"));
    client.run("drop trigger slow on last");
    client.run(ERASE);
    assert_eq!(client.value(state).as_deref(), Some("0 0 erased"));
}

#[test]
fn handlers_of_the_end_are_told_the_key_and_can_fail_it() {
    let fixture = full();
    archive(&fixture, ACME.id);
    let mut client = fixture.superuser();
    client.run(
        "create table ended (what jsonb);
         create function ended(uuid, jsonb) returns void language sql begin atomic insert into public.ended values ($2); end;
         create function never(uuid, jsonb) returns void language plpgsql as $$ begin raise exception 'never'; end $$;
         select tenancy.on_lifecycle('erased', 'ended(uuid, jsonb)'); select tenancy.on_lifecycle('erased', 'never(uuid, jsonb)')",
    );
    let erase = format!("select tenancy.erase_tenant('{}', '{CANARY}_key', false)", ACME.id);
    client.refuses(&erase, "P0001");
    let state = format!("select status from tenancy.tenants where id = '{}'", ACME.id);
    assert_eq!(client.value(&state).as_deref(), Some("archived"));
    client.run("select tenancy.off_lifecycle('erased', 'never(uuid, jsonb)')");
    client.run(&erase);
    assert_eq!(client.value("select what->>'key' from ended"), Some(format!("{CANARY}_key")));
}
