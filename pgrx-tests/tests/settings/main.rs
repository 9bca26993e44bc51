//! Settings: defaults, over them the plan's, over them the tenant's own.

mod own;

use tenancy_harness::postgres::Client;
use tenancy_harness::{ACME, Fixture, GLOBEX, Session, World};

/// A database with tenants acme (plan gold) and globex (none), settings on all levels, and an application's role.
struct Shop {
    fixture: Fixture<'static>,
    app: String,
}

impl Shop {
    fn new() -> Self {
        let fixture = Fixture::new();
        let app = fixture.app();
        fixture.run(&format!(
            "select tenancy.create_plan('gold', '{{\"seats\": 10, \"mail\": {{\"from\": \"gold\"}}}}');
             select tenancy.create_tenant('acme', id => '{}', plan => 'gold', settings => '{{\"mail\": {{\"reply\": \"acme\"}}}}');
             select tenancy.create_tenant('globex', id => '{}');
             select tenancy.set_setting('seats', '3');
             select tenancy.set_setting('mail.from', '\"default\"'), tenancy.set_setting('mail.copy', 'true')",
            ACME.id, GLOBEX.id
        ));
        Self { fixture, app }
    }

    fn acting(&self, tenant: &str) -> Client {
        let mut client = self.fixture.connect(&self.app);
        client.run(&format!("set tenancy.tenant_id = '{tenant}'"));
        client
    }
}

const ALL: &str = "select tenancy.settings()";

#[track_caller]
fn setting(client: &mut impl Session, path: &str) -> Option<String> {
    client.value(&format!("select tenancy.setting('{path}')"))
}

#[test]
fn the_tenants_own_come_over_the_plans_and_these_over_the_defaults() {
    let shop = Shop::new();
    let mut acme = shop.acting("acme");
    let merged = r#"{"mail": {"copy": true, "from": "gold", "reply": "acme"}, "seats": 10}"#;
    assert_eq!(acme.value(ALL).as_deref(), Some(merged));
    assert_eq!(setting(&mut acme, "mail.from").as_deref(), Some("\"gold\""));
    assert_eq!(setting(&mut acme, "mail").as_deref(), Some(r#"{"copy": true, "from": "gold", "reply": "acme"}"#));
    let mut globex = shop.acting("globex");
    assert_eq!(globex.value(ALL).as_deref(), Some(r#"{"mail": {"copy": true, "from": "default"}, "seats": 3}"#));
    // Without a tenant there are the defaults.
    let mut nobody = shop.acting("");
    assert_eq!(setting(&mut nobody, "seats").as_deref(), Some("3"));
    assert_eq!(setting(&mut nobody, "mail.reply"), None);
}

#[test]
fn what_is_not_set_is_the_fallback() {
    let shop = Shop::new();
    let mut acme = shop.acting("acme");
    for path in ["nothing", "mail.nothing", "seats.nothing", "mail.from.nothing"] {
        assert_eq!(setting(&mut acme, path), None, "{path}");
        let fallback = format!("select tenancy.setting('{path}', '[1, 2]')");
        assert_eq!(acme.value(&fallback).as_deref(), Some("[1, 2]"));
        let typed = format!(
            "select concat_ws(' ', tenancy.setting_text('{path}', 'text'), tenancy.setting_int('{path}', 7),
                    tenancy.setting_bool('{path}', true))"
        );
        assert_eq!(acme.value(&typed).as_deref(), Some("text 7 t"));
    }
    assert_eq!(acme.value("select tenancy.setting('seats', '99')").as_deref(), Some("10"));
    assert_eq!(acme.value("select tenancy.setting_int('nothing')"), None);
}

#[test]
fn readers_have_a_type() {
    let shop = Shop::new();
    shop.fixture.run(
        r#"select tenancy.set_setting('v', '{"s": "a \"word\"", "n": 42, "f": 1.50, "t": true, "z": null, "o": {}, "big": 1e30}')"#,
    );
    let mut acme = shop.acting("acme");
    let text = |client: &mut Client, name: &str| client.value(&format!("select tenancy.setting_text('v.{name}', '-')"));
    for (name, expected) in [("s", "a \"word\""), ("n", "42"), ("f", "1.50"), ("t", "true"), ("z", "-"), ("o", "{}")] {
        assert_eq!(text(&mut acme, name).as_deref(), Some(expected), "{name}");
    }
    assert_eq!(acme.value("select tenancy.setting_int('v.n') + tenancy.setting_int('v.z', 1)").as_deref(), Some("43"));
    assert_eq!(
        acme.value("select tenancy.setting_bool('v.t') and not tenancy.setting_bool('v.z', false)").as_deref(),
        Some("t")
    );
    for refused in
        ["int('v.s')", "int('v.f')", "int('v.t')", "int('v.o')", "int('v.big')", "bool('v.n')", "bool('v.s')"]
    {
        acme.refuses(&format!("select tenancy.setting_{refused}"), "22023");
    }
    // A null that is set is a value for who asks for JSON.
    assert_eq!(acme.value("select tenancy.setting('v.z', '1')").as_deref(), Some("null"));
}

#[test]
fn a_feature_is_on_or_off() {
    let shop = Shop::new();
    shop.fixture.run(
        "select tenancy.set_setting('features.export', 'true', plan => 'gold'),
                tenancy.set_setting('features.beta', 'true'), tenancy.set_setting('features.beta', 'false', 'acme'),
                tenancy.set_setting('features.odd', '1')",
    );
    let features =
        "select format('%s %s %s', tenancy.feature('export'), tenancy.feature('beta'), tenancy.feature('none'))";
    assert_eq!(shop.acting("acme").value(features).as_deref(), Some("t f f"));
    assert_eq!(shop.acting("globex").value(features).as_deref(), Some("f t f"));
    shop.acting("acme").refuses("select tenancy.feature('odd')", "22023");
    shop.acting("acme").refuses("select tenancy.feature('')", "22023");
}

#[test]
fn null_removes_what_is_set_on_that_level() {
    let shop = Shop::new();
    let mut acme = shop.acting("acme");
    shop.fixture.run("select tenancy.set_setting('seats', '5', 'acme')");
    assert_eq!(setting(&mut acme, "seats").as_deref(), Some("5"));
    shop.fixture.run("select tenancy.set_setting('seats', null, tenant => 'acme')");
    assert_eq!(setting(&mut acme, "seats").as_deref(), Some("10"));
    shop.fixture.run("select tenancy.set_setting('seats', null, plan => 'gold')");
    assert_eq!(setting(&mut acme, "seats").as_deref(), Some("3"));
    shop.fixture.run("select tenancy.set_setting('seats', null), tenancy.set_setting('nothing.at.all', null)");
    assert_eq!(setting(&mut acme, "seats"), None);
    // An object goes with the last that was in it.
    shop.fixture.run("select tenancy.set_setting('mail.reply', null, 'acme')");
    let own = "select settings::text from tenancy.tenants";
    assert_eq!(acme.value(own).as_deref(), Some("{}"));
}

#[test]
fn a_change_on_any_level_is_seen_at_the_next_statement() {
    for level in ["read committed", "repeatable read", "serializable"] {
        let shop = Shop::new();
        let mut acme = shop.acting("acme");
        acme.run(&format!("begin isolation level {level}"));
        assert_eq!(setting(&mut acme, "seats").as_deref(), Some("10"));
        for (change, seen) in [
            ("select tenancy.set_setting('seats', '11', plan => 'gold')", "11"),
            ("select tenancy.set_setting('seats', '12', 'acme')", "12"),
            ("update tenancy.tenants set settings = '{}'", "11"),
            ("update tenancy.plans set settings = '{\"seats\": 13}'", "13"),
            ("update tenancy.tenants set plan = null", "3"),
            ("select tenancy.set_setting('seats', '14')", "14"),
            (
                "truncate tenancy.default_settings; insert into tenancy.default_settings values (true, '{\"seats\": 15}')",
                "15",
            ),
        ] {
            shop.fixture.run(change);
            assert_eq!(setting(&mut acme, "seats").as_deref(), Some(seen), "{level}: {change}");
        }
    }
}

#[test]
fn what_a_transaction_takes_back_never_was() {
    let shop = Shop::new();
    let mut admin = shop.fixture.superuser();
    admin
        .run("set tenancy.tenant_id = 'acme'; begin; savepoint one; select tenancy.set_setting('seats', '77', 'acme')");
    assert_eq!(setting(&mut admin, "seats").as_deref(), Some("77"));
    admin.run("rollback to one");
    assert_eq!(setting(&mut admin, "seats").as_deref(), Some("10"));
    admin.run("select tenancy.set_setting('seats', '78')");
    assert_eq!(setting(&mut shop.acting("globex"), "seats").as_deref(), Some("3"));
    admin.run("rollback");
    assert_eq!(setting(&mut shop.acting("globex"), "seats").as_deref(), Some("3"));
}

#[test]
fn two_who_set_at_once_both_have_set() {
    let shop = Shop::new();
    std::thread::scope(|scope| {
        for number in 0..4 {
            let fixture = &shop.fixture;
            scope.spawn(move || {
                for round in 0..10 {
                    fixture.run(&format!(
                        "select tenancy.set_setting('n{number}.r{round}', '1'), tenancy.set_setting('n{number}.r{round}', '1', 'acme')"
                    ));
                }
            });
        }
    });
    let mut acme = shop.acting("acme");
    for source in ["tenancy.default_settings", "tenancy.tenants"] {
        let mut reader = shop.fixture.superuser();
        let count = format!(
            "select sum((select count(*) from jsonb_object_keys(settings->('n' || n)))) from {source}, generate_series(0, 3) n
              where settings ? 'n0'"
        );
        assert_eq!(reader.value(&count).as_deref(), Some("40"), "{source}");
    }
    assert_eq!(setting(&mut acme, "n3.r9").as_deref(), Some("1"));
}

#[test]
fn a_tenant_reads_its_own_and_no_others() {
    let shop = Shop::new();
    shop.fixture.run("select tenancy.set_setting('canary', '\"globex alone\"', 'globex')");
    let mut acme = shop.acting("acme");
    assert_eq!(setting(&mut acme, "canary"), None);
    assert!(!acme.value(ALL).unwrap().contains("globex"));
    assert_eq!(
        acme.texts("select key from tenancy.tenants where settings::text like '%globex%'"),
        Vec::<String>::new()
    );
    for closed in ["select * from tenancy.plans", "select * from tenancy.default_settings"] {
        acme.refuses(closed, "42501");
    }
    // Who may act for nobody reads no tenant's.
    let stranger = shop.fixture.role("stranger");
    let mut client = shop.fixture.connect(&stranger);
    client.run("set tenancy.tenant_id = 'globex'");
    client.refuses("select tenancy.setting('canary')", "42501");
    // One tenant after another in one session.
    acme.run("set tenancy.tenant_id = 'globex'");
    assert_eq!(setting(&mut acme, "canary").as_deref(), Some("\"globex alone\""));
    acme.run("set tenancy.tenant_id = 'acme'");
    assert_eq!(setting(&mut acme, "canary"), None);
}

#[test]
fn settings_are_set_by_administrators_alone() {
    let shop = Shop::new();
    let mut acme = shop.acting("acme");
    for change in [
        "select tenancy.set_setting('seats', '99', 'acme')",
        "select tenancy.set_setting('seats', '99')",
        "update tenancy.tenants set settings = '{}'",
        "update tenancy.default_settings set settings = '{}'",
    ] {
        acme.refuses(change, "42501");
    }
    shop.fixture.run(&format!("select tenancy.grant_admin('{}')", shop.app));
    acme.run("select tenancy.set_setting('seats', '99', 'acme')");
    assert_eq!(setting(&mut acme, "seats").as_deref(), Some("99"));
}

#[test]
fn what_can_not_be_set_is_refused() {
    let shop = Shop::new();
    let mut admin = shop.fixture.superuser();
    for (call, sqlstate) in [
        ("set_setting('', '1')", "22023"),
        ("set_setting('a..b', '1')", "22023"),
        ("set_setting('a.', '1')", "22023"),
        ("set_setting(e'a\\nb', '1')", "22023"),
        ("set_setting(repeat('a', 256), '1')", "22023"),
        ("set_setting(repeat('a.', 16) || 'a', '1')", "22023"),
        ("set_setting('seats.of.what', '1')", "22023"),
        ("set_setting('a', '1', tenant => 'acme', plan => 'gold')", "22023"),
        ("set_setting(null, '1')", "22023"),
        ("set_setting('a', '1', tenant => 'nobody_here')", "42704"),
        ("set_setting('a', '1', plan => 'lead')", "42704"),
        ("setting('a..b')", "22023"),
        ("setting(null)", "22023"),
    ] {
        admin.refuses(&format!("select tenancy.{call}"), sqlstate);
    }
}

#[test]
fn values_are_kept_to_the_last_digit() {
    let shop = Shop::new();
    let number = format!("0.{}1", "0".repeat(200));
    shop.fixture.run(&format!(
        "select tenancy.set_setting('n', '{number}', 'acme'), tenancy.set_setting('other', '1', 'acme')"
    ));
    let mut acme = shop.acting("acme");
    assert_eq!(setting(&mut acme, "n").as_deref(), Some(number.as_str()));
    // Large ones, stored elsewhere, and names that need quoting.
    shop.fixture.run(
        "select tenancy.set_setting('large', to_jsonb(string_agg(md5(n::text), '')), 'acme') from generate_series(1, 10000) n;
         select tenancy.set_setting('größe \"in\" cm.a\\b', '1', 'acme')",
    );
    assert_eq!(acme.value("select length(tenancy.setting_text('large'))").as_deref(), Some("320000"));
    assert_eq!(setting(&mut acme, "größe \"in\" cm.a\\b").as_deref(), Some("1"));
}

#[test]
fn a_change_is_an_event_and_its_value_is_not_told() {
    let shop = Shop::new();
    shop.fixture.run(
        "select tenancy.set_setting('key', '\"hush\"', 'acme'), tenancy.set_setting('key', '\"hush\"', 'acme'),
                tenancy.set_setting('key', null, 'acme'), tenancy.set_setting('key', null, 'acme')",
    );
    let mut acme = shop.acting("acme");
    let events =
        acme.texts("select event || ' ' || object from tenancy.event_log where event like 'setting.%' order by id");
    assert_eq!(events, ["setting.set key", "setting.removed key"]);
    assert_eq!(
        acme.value("select count(*) from tenancy.event_log e where e::text like '%hush%'").as_deref(),
        Some("0")
    );
}

#[test]
fn parallel_workers_and_prepared_plans_read_them() {
    let world = World::new();
    world.fixture.run("select tenancy.set_setting('least', '15', 'acme'), tenancy.set_setting('least', '99')");
    let setting = if world.fixture.major_version() >= 16 { "debug_parallel_query" } else { "force_parallel_mode" };
    let mut client = world.connect();
    client
        .run(&format!("set {setting} = on; set plan_cache_mode = force_generic_plan; set tenancy.tenant_id = 'acme'"));
    let query = "select count(*) from notes_uuid where id >= tenancy.setting_int('least')";
    let statement = client.prepare(query).unwrap();
    let count = |client: &mut Client| -> i64 { client.query_one(&statement, &[]).unwrap().get(0) };
    assert_eq!(count(&mut client), 6);
    world.fixture.run("select tenancy.set_setting('least', '20', 'acme')");
    assert_eq!(count(&mut client), 1);
}

#[test]
fn a_dump_takes_them_along() {
    let shop = Shop::new();
    let cluster = shop.fixture.cluster();
    let script = String::from_utf8(cluster.run_tool("pg_dump", &[shop.fixture.database()]).stdout).unwrap();
    let target = Fixture::empty(cluster);
    let restored = cluster.psql(target.database(), tenancy_harness::Cluster::SUPERUSER, &script);
    assert!(restored.status.success() && restored.stderr.is_empty(), "{restored:?}");
    let mut client = target.connect(&shop.app);
    client.run("set tenancy.tenant_id = 'acme'");
    assert_eq!(client.value(ALL), shop.acting("acme").value(ALL));
}

/// A row's place in the table is known from the memory that sessions share, and VACUUM FULL tells that memory nothing.
#[test]
fn a_row_that_lies_elsewhere_by_now_is_found() {
    let shop = Shop::new();
    let fill = |name: &str| {
        let load = "insert into tenancy.tenants (key, settings) select '{name}-' || n, '{\"seats\": 1}' from generate_series(1, 300) n";
        shop.fixture.run(&load.replace("{name}", name));
    };
    fill("before");
    shop.fixture.run("select tenancy.set_setting('seats', '11', tenant => 'acme')");
    fill("behind");
    // First another tenant's row comes to lie where acme's was, then nothing does.
    for gone in ["before-1%", "be%"] {
        shop.fixture.run(&format!("delete from tenancy.tenants where key like '{gone}'"));
        assert_eq!(setting(&mut shop.acting("acme"), "seats").as_deref(), Some("11"));
        shop.fixture.run("vacuum full tenancy.tenants");
        assert_eq!(setting(&mut shop.acting("acme"), "seats").as_deref(), Some("11"), "{gone}");
    }
}
