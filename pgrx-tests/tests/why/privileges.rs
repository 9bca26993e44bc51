//! What policies call runs as the role that asks, and never with more rights.

use crate::{Shop, of, why};
use tenancy_harness::Session;

/// A function that rings a bell, which no rollback silences, when it runs with rights that are not the application's,
/// or can get them.
fn with_spy(shop: &Shop) {
    shop.run(&format!(
        "create sequence bell; grant all on sequence bell to public; select setval('bell', 100);
         create function spy() returns boolean language plpgsql as $$
         begin
             begin execute 'reset role'; perform nextval('public.bell'); exception when others then null; end;
             begin execute 'set role postgres'; perform nextval('public.bell'); exception when others then null; end;
             begin execute 'set session authorization default'; perform nextval('public.bell');
             exception when others then null; end;
             if current_user <> '{0}' then perform nextval('public.bell'); end if;
             return true;
         end $$;
         create policy spying on orders as restrictive using (spy()) with check (spy())",
        shop.app
    ));
}

#[track_caller]
fn is_silent(shop: &Shop) {
    assert_eq!(shop.fixture.superuser().value("select last_value from bell").as_deref(), Some("100"));
}

#[test]
fn policies_run_as_the_role_that_was_taken() {
    let shop = Shop::new();
    with_spy(&shop);
    for key in [r#"{"id": 2}"#, r#"{"id": 3}"#] {
        let checks = shop.told_to_admin(key);
        assert_eq!(of(&checks, "policy spying USING").0, (key.contains('2')).then_some(true));
        let mut client = shop.fixture.superuser();
        why(&mut client, "orders", key);
    }
    is_silent(&shop);
}

#[test]
fn what_hangs_on_the_table_never_runs_as_a_superuser() {
    let shop = Shop::new();
    let owner = shop.fixture.role("owner");
    shop.run(&format!(
        "create sequence bell; grant all on sequence bell to public; select setval('bell', 100);
         create function spy(anyelement) returns boolean immutable language plpgsql as $$
         begin
             if exists (select from pg_roles where rolname = current_user and rolsuper) then
                 perform nextval('public.bell');
             end if;
             return true;
         end $$;
         create domain spied as integer check (spy(value));
         create table t (id integer primary key, tenant_id uuid, n spied);
         select tenancy.protect('t');
         insert into t select 1, id, null from tenancy.tenants where key = 'acme';
         alter table t add check (spy(7)), add check (spy(id)); create index on t (id) where spy(7);
         create policy spying on t as restrictive using (spy(id)) with check (spy(id));
         alter table t owner to {owner}; select setval('bell', 100)"
    ));
    let mut client = shop.fixture.superuser();
    client.run("set constraint_exclusion = on; select setval('bell', 100)");
    let checks = why(&mut client, "t", r#"{"id": 1}"#);
    assert_eq!(of(&checks, "row").0, Some(true));
    client.run(&format!("set role {}", shop.app));
    why(&mut client, "t", r#"{"id": 1, "n": null}"#);
    client.run("reset role");
    is_silent(&shop);
}

#[test]
fn a_policy_finds_what_the_caller_s_search_path_leads_to() {
    let shop = Shop::new();
    shop.run(
        "create schema lists; grant usage on schema lists to public; create table lists.open (body text);
         grant select on lists.open to public; insert into lists.open values ('secret of acme');
         create function listed(text) returns boolean stable language plpgsql
             as 'begin return exists (select from open where body = $1); end';
         create policy listed on orders as restrictive using (listed(body))",
    );
    let mut client = shop.as_app();
    client.run("set search_path = lists, public");
    let checks = why(&mut client, "orders", r#"{"id": 1}"#);
    assert_eq!(of(&checks, "policy listed USING").0, Some(true));
    assert_eq!(of(&checks, "can_select").0, Some(true));
    // Without it, the query fails, and so does the policy: to the application the row is not there.
    client.run("set search_path = public");
    client.refuses("select * from public.orders where id = 1", "42P01");
    assert_eq!(of(&why(&mut client, "public.orders", r#"{"id": 1}"#), "row").0, Some(false));
}

/// A cast is code of whoever made it; a superuser who asks must not run it as himself.
#[test]
fn casts_do_not_run_with_the_rights_of_who_asks() {
    let shop = Shop::new();
    let stranger = shop.fixture.role("stranger");
    shop.fixture.run(&format!("create schema strange authorization {stranger}"));
    shop.fixture.connect(&stranger).run(&format!(
        "create type strange.state as enum ('x');
         create function strange.cast(text) returns strange.state language plpgsql as $$
         begin
             begin execute 'alter role {stranger} superuser'; exception when others then null; end;
             if (select rolsuper from pg_roles where rolname = current_user) then
                 raise exception 'with the rights of %', current_user using errcode = 'ZZ001';
             end if;
             return (enum_range(null::strange.state))[1];
         end $$;
         create cast (text as strange.state) with function strange.cast(text);
         create table strange.t (id strange.state);
         create function strange.image(strange.t) returns text language plpgsql as $$
         begin
             if (select rolsuper from pg_roles where rolname = current_user) then
                 raise exception 'with the rights of %', current_user using errcode = 'ZZ001';
             end if;
             return 'image';
         end $$;
         create cast (strange.t as text) with function strange.image(strange.t);
         insert into strange.t select (enum_range(null::strange.state))[1]"
    ));
    let mut superuser = shop.fixture.superuser();
    let found =
        superuser.value("select passed from tenancy.why('strange.t', '{\"id\": \"x\"}') where check_name = 'row'");
    assert_eq!(found.as_deref(), Some("t"));
}

/// What a type runs when it reads a value, it runs as who asks; and not at all where that would be more than looking.
#[test]
fn no_type_runs_with_more_rights_than_who_asks() {
    let shop = Shop::new();
    let stranger = shop.fixture.role("stranger");
    shop.fixture.run(&format!("create schema lab authorization {stranger}; grant usage on schema lab to public"));
    // Counts the calls as somebody else than the application: a sequence keeps what a rollback takes back.
    shop.fixture.connect(&stranger).run(&format!(
        "create sequence lab.calls; grant all on sequence lab.calls to public;
         create function lab.check(v text) returns boolean language plpgsql as $$ begin
           if v = 'go' and current_user <> '{}' then perform nextval('lab.calls'); end if; return true;
         end $$;
         create domain lab.tag as text check (lab.check(value)); create type lab.pair as (a lab.tag, b int);
         create domain lab.word as text check (lab.check(value)); create type lab.words as range (subtype = lab.word)",
        shop.app
    ));
    shop.fixture.run(&format!(
        "create table tagged (id integer, tenant_id uuid, tags lab.tag[], pairs lab.pair, plain lab.word, words lab.words, tag lab.tag);
         select tenancy.protect('tagged'); grant select on tagged to {}",
        shop.app
    ));
    let keys = [r#"{"tags": "{go}"}"#, r#"{"pairs": "(go,1)"}"#, r#"{"words": "[go,go]"}"#];
    let asking = |key: &str| format!("select count(*) from tenancy.why('tagged', '{key}')");
    let mut superuser = shop.fixture.superuser();
    let mut admin = shop.fixture.connect(&shop.admin);
    for key in keys {
        superuser.run("reset role");
        superuser.refuses(&asking(key), "0A000");
        admin.run("reset role");
        admin.refuses(&asking(key), "0A000");
        // He can go back.
        for client in [&mut superuser, &mut admin] {
            client.run(&format!("set role {}", shop.app));
            client.refuses(&asking(key), "0A000");
        }
        shop.as_app().run(&asking(key));
    }
    superuser.run("reset role");
    for key in [r#"{"plain": "go", "tag": "go"}"#, r#"{"tags": null, "id": 1}"#] {
        superuser.run(&asking(key));
        admin.run(&asking(key));
    }
    assert_eq!(superuser.value("select is_called from lab.calls").as_deref(), Some("f"));
}

/// A row goes from query to query as it is: a domain in it is not asked again.
#[test]
fn no_row_is_read_again_by_its_types() {
    let shop = Shop::new();
    let stranger = shop.fixture.role("stranger");
    shop.fixture.run(&format!("create schema lab authorization {stranger}; grant usage on schema lab to public"));
    shop.fixture.connect(&stranger).run(
        "create sequence lab.calls; grant all on sequence lab.calls to public;
         create function lab.check(v text) returns boolean language plpgsql as
           $$ begin perform nextval('lab.calls'); return true; end $$;
         create domain lab.tag as text check (lab.check(value))",
    );
    shop.fixture.run(&format!(
        "create table tagged (id integer, tenant_id uuid, wanted lab.tag);
         insert into tagged select row_number() over (order by key), id, 'secret of ' || key from tenancy.tenants;
         select tenancy.protect('tagged'); create policy tags on tagged as restrictive using (wanted <> '');
         grant select on tagged to {}; alter sequence lab.calls restart",
        shop.app
    ));
    let mut admin = shop.fixture.connect(&shop.admin);
    admin.run("set tenancy.tenant_id = 'acme'");
    for key in [r#"{"id": 1}"#, r#"{"id": 2}"#] {
        assert_eq!(of(&why(&mut admin, "tagged", key), "policy tags USING").0, Some(true));
    }
    assert_eq!(of(&why(&mut shop.as_app(), "tagged", r#"{"id": 1}"#), "policy tags USING").0, Some(true));
    assert_eq!(shop.fixture.superuser().value("select is_called from lab.calls").as_deref(), Some("f"));
}
