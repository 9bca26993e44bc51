//! The extension's end: it says what would be unprotected, and what it leaves behind is closed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tenancy_harness::postgres::Client;
use tenancy_harness::{ACME, FAMILIES, Fixture, GLOBEX, Session, World, refuses_in_savepoint};

#[test]
fn without_cascade_the_protected_tables_are_named() {
    let world = World::new();
    world.fixture.run(
        "create schema \"Odd one\"; create table \"Odd one\".t (tenant_id uuid) partition by list (tenant_id);
         create table \"Odd one\".part partition of \"Odd one\".t default; select tenancy.protect('\"Odd one\".t')",
    );
    let mut superuser = world.fixture.superuser();
    for command in ["drop extension pg_tenancy", "drop extension if exists citext, pg_tenancy restrict"] {
        let error = superuser.refuses(command, "2BP01");
        let detail = error.detail().unwrap_or_default();
        for family in &FAMILIES {
            assert!(detail.contains(&format!("public.{}", family.table())), "{detail}");
        }
        assert!(detail.contains("\"Odd one\".t") && !detail.contains("part"), "{detail}");
        assert!(error.hint().is_some_and(|hint| hint.contains("CASCADE") && hint.contains("unprotect")), "{error:?}");
    }
    assert_eq!(superuser.value("select count(*) from tenancy.protected_tables").as_deref(), Some("8"));
}

#[test]
fn nobody_but_its_owner_learns_what_is_protected() {
    let world = World::new();
    let mut client = world.connect();
    let error = client.refuses("drop extension pg_tenancy", "42501");
    assert_eq!(error.detail(), None);
    world.fixture.superuser().run("create extension citext; drop extension citext");
}

#[test]
fn an_extension_that_protects_nothing_goes_at_once() {
    let fixture = Fixture::new();
    fixture.run("select tenancy.create_tenant('acme'); drop extension pg_tenancy");
    fixture.run("create extension pg_tenancy; drop extension pg_tenancy");
}

/// The floor has bounded a policy that lets everybody in; without it the table would be open.
#[test]
fn with_cascade_tables_stay_closed_whatever_policies_others_have_made() {
    let world = World::new();
    world.fixture.run(
        "create policy everybody on notes_uuid using (true) with check (true);
         create policy narrower on notes_text as restrictive using (id > 0);
         create table parts (id integer, tenant_id uuid) partition by range (id);
         create table part partition of parts default; insert into parts values (1, gen_random_uuid());
         select tenancy.protect('parts'); create policy everybody on part using (true);
         grant select on parts, part to public",
    );
    let mut client = world.connect();
    {
        let mut tx = World::begin(&mut client, ACME);
        assert_eq!(tx.texts("select distinct split_part(body, ' ', 1) from notes_uuid"), ["acme"]);
    }
    let output =
        world.fixture.cluster().psql(world.fixture.database(), "postgres", "drop extension pg_tenancy cascade");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("WARNING") && said.contains("public.notes_bigint"), "{said}");

    for table in ["notes_uuid", "notes_text", "notes_bigint", "parts", "part"] {
        assert_eq!(client.value(&format!("select count(*) from {table}")).as_deref(), Some("0"), "{table}");
    }
    client.refuses(&format!("insert into notes_uuid values (999, '{}', 'x')", ACME.id), "42501");
    let mut superuser = world.fixture.superuser();
    let forced = "select count(*) from pg_class where relname ~ '^(notes_|parts?$)' and relkind in ('r', 'p')
                  and not (relrowsecurity and relforcerowsecurity)";
    assert_eq!(superuser.value(forced).as_deref(), Some("0"));
    assert_eq!(superuser.value("select count(*) > 0 from notes_uuid").as_deref(), Some("t"), "nothing is lost");

    // Made and protected again, it is as before, and what kept it closed is gone.
    world.fixture.run(&format!(
        "create extension pg_tenancy; select tenancy.create_tenant('{}', id => '{}');
         select tenancy.create_tenant('{}', id => '{}'); select tenancy.grant_access('{}');
         select tenancy.protect('notes_uuid'), tenancy.protect('parts')",
        ACME.key, ACME.id, GLOBEX.key, GLOBEX.id, world.app
    ));
    let mut tx = World::begin(&mut client, ACME);
    assert_eq!(tx.texts("select distinct split_part(body, ' ', 1) from notes_uuid"), ["acme"]);
    assert_eq!(tx.value("select count(*) from parts").as_deref(), Some("0"));
    refuses_in_savepoint(&mut tx, &format!("insert into notes_uuid values (999, '{}', 'x')", GLOBEX.id), "42501");
    tx.run("insert into notes_uuid (id, body) values (999, 'acme 999')");
}

/// Who owns the extension may lose it with all else that is his.
#[test]
fn drop_owned_takes_the_extension_on_the_same_terms() {
    let fixture = Fixture::new();
    let keeper = fixture.role("keeper");
    fixture.run(&format!(
        "drop extension pg_tenancy; alter role {keeper} superuser; set role {keeper}; create extension pg_tenancy; reset role;
         create table orders (id integer, tenant_id uuid); select tenancy.protect('orders');
         create policy everybody on orders using (true); insert into orders values (1, gen_random_uuid())"
    ));
    let reader = fixture.role("reader");
    fixture.run(&format!("grant select on orders to {reader}"));
    let error = fixture.superuser().refuses(&format!("drop owned by {keeper}"), "2BP01");
    assert!(error.detail().is_some_and(|detail| detail.contains("public.orders")), "{error:?}");
    fixture.run(&format!("drop owned by {keeper} cascade"));
    assert_eq!(fixture.connect(&reader).value("select count(*) from orders").as_deref(), Some("0"));
    assert_eq!(fixture.superuser().value("select count(*) from orders").as_deref(), Some("1"));
}

/// Whoever owns a piece of the extension alone, or its schema, can't take it away with that.
#[test]
fn its_schema_and_its_tables_do_not_go_without_the_extension() {
    let world = World::new();
    let owner = world.fixture.role("owner");
    let mut superuser = world.fixture.superuser();
    superuser.run(&format!("alter schema tenancy owner to {owner}; alter table tenancy.numbers owner to {owner}"));
    for command in [
        "drop schema tenancy",
        "drop schema tenancy cascade",
        "drop table tenancy.protection cascade",
        "drop event trigger tenancy_guard_removal",
        &format!("drop owned by {owner} cascade"),
    ] {
        let error = superuser.refuses(command, "2BP01");
        assert!(error.message().contains("extension pg_tenancy requires it"), "{command}: {error:?}");
    }
    let mut client = world.connect();
    let mut tx = World::begin(&mut client, ACME);
    assert_eq!(tx.texts("select distinct split_part(body, ' ', 1) from notes_uuid"), ["acme"]);
}

/// Drops the extension in another session, which has to wait for the transaction of this one; then commits that.
#[track_caller]
fn drop_meanwhile(world: &World<'_>, holder: &mut Client) {
    let mut dropping = world.fixture.superuser();
    // Not for ever, where nobody is seen to wait below.
    dropping.run("set lock_timeout = '60s'");
    let backend = dropping.value("select pg_backend_pid()").unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| dropping.run("drop extension pg_tenancy cascade"));
        let waits = format!("exists (select from pg_locks where pid = {backend} and not granted)");
        world.fixture.cluster().wait_until(holder, &waits);
        holder.run("commit");
    });
}

/// Who protects a table meanwhile is waited for.
#[test]
fn a_table_that_is_protected_meanwhile_stays_closed_too() {
    let world = World::new();
    let mut superuser = world.fixture.superuser();
    superuser.run(&format!(
        "create table late (id integer, tenant_id uuid); insert into late values (1, '{}'); grant select on late to {}",
        ACME.id, world.app
    ));
    superuser.run("begin; select tenancy.protect('late'); create policy everybody on late using (true)");
    drop_meanwhile(&world, &mut superuser);
    assert_eq!(world.connect().value("select count(*) from late").as_deref(), Some("0"));
    assert_eq!(superuser.value("select count(*) from late").as_deref(), Some("1"));
}

/// The statement is the first of its session, which has no library yet.
#[test]
fn without_preloading_it_is_the_same() {
    let fixture = Fixture::without_preload();
    fixture.run("create table orders (id integer, tenant_id uuid); select tenancy.protect('orders')");
    let error = fixture.superuser().refuses("drop extension pg_tenancy", "2BP01");
    assert!(error.detail().is_some_and(|detail| detail.contains("public.orders")), "{error:?}");
    fixture.run("drop extension pg_tenancy cascade");
}

/// Whose a policy is, its dependencies tell, not its name.
#[test]
fn policies_of_others_that_bear_our_names_let_nobody_in_afterwards() {
    let world = World::new();
    let mut superuser = world.fixture.superuser();
    superuser.run(
        "set tenancy.guard_ddl = off; create policy tenant_isolation_shared on notes_uuid using (true);
         create policy tenant_isolation_closed on notes_text using (true)",
    );
    superuser.run("drop extension pg_tenancy cascade");
    let mut client = world.connect();
    for table in ["notes_uuid", "notes_text"] {
        assert_eq!(client.texts(&format!("select body from {table}")), Vec::<String>::new(), "{table}");
    }
}

/// Tables that the extension doesn't protect, and whose own policies ask it: directly, by a function, and by a view.
#[test]
fn tables_that_only_ask_the_extension_stay_closed_and_are_named() {
    let world = World::new();
    let mut policies = String::new();
    for (table, floor) in [
        ("direct", "tenant_id = tenancy.current_tenant()"),
        ("by_function", "mine(tenant_id)"),
        ("by_view", "exists (select from mine where id = tenant_id)"),
    ] {
        policies += &format!(
            "create table {table} (tenant_id uuid); alter table {table} enable row level security;
             insert into {table} values ('{}'); create policy everybody on {table} using (true);
             create policy floor on {table} as restrictive using ({floor});",
            ACME.id
        );
    }
    world.fixture.run(&format!(
        "create function mine(uuid) returns boolean stable language sql begin atomic select $1 = tenancy.current_tenant(); end;
         create view mine as select id from tenancy.tenants; grant select on mine to public; {policies}
         create table narrowed (tenant_id uuid); alter table narrowed enable row level security; insert into narrowed values (null);
         create policy everybody on narrowed using (tenant_id is null);
         create policy theirs on narrowed using (tenant_id = tenancy.current_tenant());
         create table dormant (tenant_id uuid); insert into dormant values (null);
         create policy everybody on dormant using (true);
         create policy floor on dormant as restrictive using (tenant_id = tenancy.current_tenant())"
    ));
    let mut superuser = world.fixture.superuser();
    let error = superuser.refuses("drop extension pg_tenancy", "2BP01");
    assert!(error.detail().is_some_and(|detail| detail.contains("public.by_view")), "{error:?}");
    let output =
        world.fixture.cluster().psql(world.fixture.database(), "postgres", "drop extension pg_tenancy cascade");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let warning = said.split("WARNING").nth(1).unwrap_or_default();
    let mut client = world.connect();
    for table in ["direct", "by_function", "by_view"] {
        assert!(warning.contains(&format!("public.{table}")), "{said}");
        assert_eq!(client.value(&format!("select count(*) from {table}")).as_deref(), Some("0"), "{table}");
    }
    // What it has not closed, it leaves alone.
    for table in ["narrowed", "dormant"] {
        assert!(!warning.contains(&format!("public.{table}")), "{said}");
        assert_eq!(client.value(&format!("select count(*) from {table}")).as_deref(), Some("1"), "{table}");
    }
}

/// An extension that requires ours, on its shelf until this is dropped.
struct Dependent([PathBuf; 2]);

impl Dependent {
    fn installed() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let pg_config = root.join(std::env::var_os("PG_TENANCY_PG_CONFIG").expect("the harness wants it as well"));
        let output = Command::new(pg_config).arg("--sharedir").output().expect("pg_config runs");
        let to = PathBuf::from(String::from_utf8(output.stdout).unwrap().trim()).join("extension");
        let files = Self(["tenancy_dependent.control", "tenancy_dependent--1.sql"].map(|name| to.join(name)));
        for (file, text) in files.0.iter().zip([
            "default_version = '1'\nrequires = 'pg_tenancy'\n",
            "create function anybody() returns uuid stable language plpgsql as 'begin return tenancy.current_tenant(); end';",
        ]) {
            fs::write(file, text).expect("the extension's directory can be written to");
        }
        files
    }
}

impl Drop for Dependent {
    fn drop(&mut self) {
        for file in &self.0 {
            let _ = fs::remove_file(file);
        }
    }
}

/// What goes with the extension though none of its members is asked: what was marked so, members of extensions that require
/// it, and what belongs to an extension one of whose members asks.
#[test]
fn tables_whose_floor_goes_by_way_of_an_extension_stay_closed_and_are_named() {
    let _files = Dependent::installed();
    let world = World::new();
    let mut policies = String::new();
    let ways = [("marked", "marked()"), ("required", "anybody()"), ("beside", "beside()")];
    for (table, function) in ways {
        policies += &format!(
            "create table {table} (tenant_id uuid); alter table {table} enable row level security;
             insert into {table} values ('{}'); create policy everybody on {table} using (true);
             create policy floor on {table} as restrictive using (tenant_id = {function});",
            ACME.id
        );
    }
    // A citext of which one function asks is dropped whole.
    world.fixture.run(&format!(
        "create function marked() returns uuid stable language plpgsql as 'begin return tenancy.current_tenant(); end';
         create function beside() returns uuid stable language plpgsql as 'begin return tenancy.current_tenant(); end';
         create function asking() returns uuid stable language sql begin atomic select tenancy.current_tenant(); end;
         alter function marked() depends on extension pg_tenancy; create extension tenancy_dependent; create extension citext;
         alter extension citext add function asking(); alter extension citext add function beside(); {policies}"
    ));
    let error = world.fixture.superuser().refuses("drop extension pg_tenancy", "2BP01");
    let output =
        world.fixture.cluster().psql(world.fixture.database(), "postgres", "drop extension pg_tenancy cascade");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let warning = said.split("WARNING").nth(1).unwrap_or_default();
    let mut superuser = world.fixture.superuser();
    let mut client = world.connect();
    for (table, _) in ways {
        let name = format!("public.{table}");
        let floor = format!("select count(*) from pg_policies where tablename = '{table}' and policyname = 'floor'");
        assert_eq!(superuser.value(&floor).as_deref(), Some("0"), "{table}");
        assert!(error.detail().is_some_and(|detail| detail.contains(&name)) && warning.contains(&name), "{said}");
        assert_eq!(client.value(&format!("select count(*) from {table}")).as_deref(), Some("0"), "{table}");
    }
}

/// Somebody has taken row security off, with the guard off; the message says that it is on.
#[test]
fn row_security_that_was_off_is_on_afterwards() {
    let world = World::new();
    let mut superuser = world.fixture.superuser();
    superuser.run(
        "set tenancy.guard_ddl = off; alter table notes_uuid disable row level security;
         alter table notes_text no force row level security;
         alter table notes_bigint disable row level security; alter table notes_bigint no force row level security",
    );
    superuser.run("drop extension pg_tenancy cascade");
    let off = "select relname from pg_class where relname ~ '^notes_' and relkind = 'r' and not (relrowsecurity and relforcerowsecurity)";
    assert_eq!(superuser.texts(off), Vec::<String>::new());
    let mut client = world.connect();
    for table in ["notes_uuid", "notes_text", "notes_bigint"] {
        assert_eq!(client.texts(&format!("select body from {table}")), Vec::<String>::new(), "{table}");
    }
}

/// A policy that was being made when the extension went.
#[test]
fn a_policy_that_is_made_meanwhile_lets_nobody_in_afterwards() {
    let world = World::new();
    let mut superuser = world.fixture.superuser();
    superuser.run("begin; create policy everybody on notes_uuid using (true)");
    drop_meanwhile(&world, &mut superuser);
    assert_eq!(world.connect().texts("select body from notes_uuid"), Vec::<String>::new());
}
