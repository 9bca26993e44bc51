//! Tenants, hosts and members that come in bulk, by plain SQL: as good as those that the functions register.

use std::io::Write;

use tenancy_harness::postgres::Client;
use tenancy_harness::{ACME, Session, sqlstate};

use crate::fixture_with_tenants;

/// Copies lines of text into a table; what came of it.
fn copy(client: &mut Client, into: &str, lines: &str) -> Result<u64, tenancy_harness::postgres::Error> {
    let mut writer = client.copy_in(&format!("copy {into} from stdin"))?;
    writer.write_all(lines.as_bytes()).expect("lines are sent");
    writer.finish()
}

const LOADS: &str = "select concat_ws(' ', event, tenant_id, detail->>'rows', role_name) from tenancy.event_log
                      where event like '%.loaded' order by id";

#[test]
fn what_is_loaded_is_there_for_open_sessions_and_noted_once() {
    let (fixture, app) = fixture_with_tenants();
    let mut superuser = fixture.superuser();
    let mut open = fixture.connect(&app);
    open.run("set tenancy.user_id = 'user-7'; set tenancy.tenant_id = 'acme'");
    assert_eq!(open.value("select tenancy.has_role('viewer')").as_deref(), Some("f"));
    open.run("reset tenancy.tenant_id");
    open.refuses("select tenancy.set_tenant('tenant-7', false)", "42501");
    assert_eq!(open.value("select tenancy.resolve_host('shop-7.example')"), None);
    superuser.run(
        "begin;
         insert into tenancy.tenants (key) select 'tenant-' || n from generate_series(1, 1000) n;
         insert into tenancy.hosts (host, tenant_id)
         select tenancy.normalize_host('Shop-' || substr(key, 8) || '.Example.:443'), id from tenancy.tenants where key like 'tenant-%';
         insert into tenancy.members (tenant_id, user_id, role)
         select id, 'user-' || n, r from tenancy.tenants, (values (7, 'member'), (8, 'owner')) v(n, r) where key like 'tenant-%';
         commit",
    );
    let lines: String = (1001..=1010).map(|number| format!("tenant-{number}\tcopied\n")).collect();
    assert_eq!(copy(&mut superuser, "tenancy.tenants (key, name)", &lines).expect("copied"), 10);
    assert_eq!(
        copy(&mut superuser, "tenancy.members (tenant_id, user_id)", &format!("{}\tuser-7\n", ACME.id))
            .expect("copied"),
        1
    );
    // The functions make an entry for each, and nothing is noted where nothing comes.
    superuser.run(
        "select tenancy.create_tenant('one'), tenancy.add_host('one.example', 'one'), tenancy.add_member('one', 'user-7');
         insert into tenancy.tenants (key) select 'none' where false;
         insert into tenancy.tenants (key) values ('one') on conflict do nothing",
    );
    assert_eq!(
        superuser.texts(LOADS),
        [
            "tenants.loaded 1000 postgres",
            "hosts.loaded 1000 postgres",
            "members.loaded 2000 postgres",
            "tenants.loaded 10 postgres",
            "members.loaded 1 postgres"
        ]
    );

    for tenant in ["acme", "tenant-7"] {
        open.run(&format!("set tenancy.tenant_id = '{tenant}'"));
        assert_eq!(open.value("select tenancy.has_role('viewer')").as_deref(), Some("t"), "{tenant}");
    }
    open.run("reset tenancy.tenant_id");
    assert_eq!(
        open.value("select tenancy.resolve_host('shop-7.example') = tenancy.set_tenant('tenant-7', false)").as_deref(),
        Some("t")
    );
    open.run("reset tenancy.tenant_id; select tenancy.set_tenant_by_host('SHOP-8.example', false)");
    assert_eq!(open.value("select tenancy.current_key()").as_deref(), Some("tenant-8"));
    open.run("reset tenancy.tenant_id; select tenancy.set_tenant('tenant-1010', false)");
    assert_eq!(open.texts(LOADS), Vec::<String>::new(), "a tenant sees entries of others");
    superuser.refuses("delete from tenancy.members where user_id = 'user-8'", "55000");
    superuser.refuses("update tenancy.members set role = 'admin' where user_id = 'user-8'", "55000");
}

#[test]
fn no_malformed_key_comes_in() {
    let (fixture, _) = fixture_with_tenants();
    let mut superuser = fixture.superuser();
    let long = "x".repeat(256);
    let token = "eyJhbGciOiJIUzI1NiJ9.eyJ0ZW5hbnRfaWQiOiJhY21lIn0.c2lnbmF0dXJl";
    for key in [
        "",
        " ",
        " acme",
        "acme ",
        "acme\u{a0}",
        "\u{2003}acme",
        "ac\u{85}me",
        "ac\u{7f}me",
        &long,
        ACME.id,
        "{cccccccc-0000-4000-8000-000000000003}",
        "cccccccc000040008000000000000003",
        token,
    ] {
        let is_key = superuser.query_one("select tenancy.is_tenant_key($1)", &[&key]).expect("an answer");
        let inserted = superuser.execute("insert into tenancy.tenants (key) values ($1)", &[&key]);
        assert!(!is_key.get::<_, bool>(0), "{key:?}");
        assert_eq!(sqlstate(&inserted), Some("23514"), "{key:?}");
        let copied = copy(&mut superuser, "tenancy.tenants (key)", &format!("fine\n{key}\n"));
        assert_eq!(sqlstate(&copied), Some("23514"), "{key:?}");
    }
    assert_eq!(superuser.value("select count(*) from tenancy.tenants where key = 'fine'").as_deref(), Some("0"));
    let own = "cccccccc-0000-4000-8000-000000000003";
    superuser.run(&format!("insert into tenancy.tenants (id, key) values ('{own}', '{own}')"));
    for (arguments, answer) in [
        (format!("'{own}', '{own}'"), Some("t")),
        (format!("'{own}'"), Some("f")),
        ("null".into(), None),
        ("'größe'".into(), Some("t")),
    ] {
        assert_eq!(
            superuser.value(&format!("select tenancy.is_tenant_key({arguments})")).as_deref(),
            answer,
            "{arguments}"
        );
    }
}

#[test]
fn no_host_comes_in_that_nobody_would_find() {
    let (fixture, _) = fixture_with_tenants();
    let mut superuser = fixture.superuser();
    let refused = [
        "",
        "WWW.acme.example",
        "acme.example.",
        "acme.example:443",
        "b\u{fc}cher.example",
        "[2001:db8:0:0::1]",
        "[2001:DB8::1]",
        "*.*.example",
        "*.0.0.1",
        "xn--\u{e4}.example",
        "xn--a.example",
        "a..example",
        "a b.example",
        "http://acme.example",
    ];
    for host in refused {
        let inserted = superuser
            .execute("insert into tenancy.hosts (host, tenant_id) select $1, id from tenancy.tenants", &[&host]);
        assert_eq!(sqlstate(&inserted), Some("23514"), "{host:?}");
        let copied = copy(
            &mut superuser,
            "tenancy.hosts (host, tenant_id)",
            &format!("fine.example\t{0}\n{host}\t{0}\n", ACME.id),
        );
        assert_eq!(sqlstate(&copied), Some("23514"), "{host:?}");
    }
    for (host, normal) in [
        ("WWW.Acme.Example.:443", Some("www.acme.example")),
        ("*.B\u{fc}cher.example", Some("*.xn--bcher-kva.example")),
        ("[2001:DB8:0:0::1]:443", Some("[2001:db8::1]")),
        ("127.0.0.1", Some("127.0.0.1")),
        ("a b.example", None),
        ("*", None),
    ] {
        let found = superuser.query_one("select tenancy.normalize_host($1)", &[&host]).expect("an answer");
        assert_eq!(found.get::<_, Option<&str>>(0), normal, "{host}");
        if let Some(normal) = normal {
            let load = format!("insert into tenancy.hosts (host, tenant_id) values ('{normal}', '{}')", ACME.id);
            superuser.run(&load);
        }
    }
    superuser
        .refuses("insert into tenancy.hosts values (tenancy.normalize_host('no host'), gen_random_uuid())", "23502");
    superuser.refuses("insert into tenancy.hosts values ('fine.example', gen_random_uuid())", "23503");
    superuser.refuses("insert into tenancy.members values (gen_random_uuid(), 'alice')", "23503");
    superuser.refuses(&format!("insert into tenancy.members values ('{}', E'a\nb')", ACME.id), "23514");
    superuser.refuses(&format!("insert into tenancy.members values ('{}', 'alice', 'root')", ACME.id), "23514");
}

#[test]
fn settings_of_one_level_have_a_limit() {
    let (fixture, _) = fixture_with_tenants();
    let mut superuser = fixture.superuser();
    let text = |length: usize| format!("to_jsonb(repeat('x', {length}))");
    superuser.run("select tenancy.create_plan('pro')");
    for level in ["tenant => 'acme'", "plan => 'pro'", "tenant => null"] {
        // {"a": "…"} has nine characters more.
        superuser.run(&format!("select tenancy.set_setting('a', {}, {level})", text(1_048_567)));
        let error = superuser.refuses(&format!("select tenancy.set_setting('b', '1', {level})"), "22023");
        assert!(error.message().contains("1048576"), "{error:?}");
        superuser
            .run(&format!("select tenancy.set_setting('a', null, {level}), tenancy.set_setting('b', '1', {level})"));
    }
    let (most, more) = (
        format!("jsonb_build_object('a', {})", text(1_048_567)),
        format!("jsonb_build_object('a', {})", text(1_048_568)),
    );
    superuser
        .run(&format!("select tenancy.create_tenant('most', settings => {most}), tenancy.create_plan('most', {most})"));
    superuser.refuses(&format!("select tenancy.create_tenant('more', settings => {more})"), "22023");
    superuser.refuses(&format!("select tenancy.create_plan('more', {more})"), "22023");
    for table in ["tenants", "plans", "default_settings"] {
        superuser.refuses(&format!("update tenancy.{table} set settings = {more}"), "23514");
    }
}
