//! Creating tenants, and who sees them.

use tenancy_harness::{ACME, Fixture, GLOBEX, Session, sqlstate};

use crate::fixture_with_tenants;

#[test]
fn a_created_tenant_is_active_and_has_what_it_was_given() {
    let fixture = Fixture::new();
    let mut superuser = fixture.superuser();
    superuser.run("select tenancy.create_plan('gold')");
    let id = superuser.value(
        "select tenancy.create_tenant('acme', name => 'Acme Ltd', plan => 'gold', region => 'eu', settings => '{\"a\": 1}')",
    );
    let row = superuser.texts(
        "select format('%s %s %s %s', key, name, status, region) from tenancy.tenants where settings = '{\"a\": 1}'",
    );
    assert_eq!(row, ["acme Acme Ltd active eu"]);
    assert_eq!(superuser.value("select id from tenancy.tenants where key = 'acme'"), id);
}

#[test]
fn a_tenant_without_a_key_is_known_by_its_id() {
    let fixture = Fixture::new();
    let mut superuser = fixture.superuser();
    let id = superuser.value("select tenancy.create_tenant(null)").expect("an id");
    assert_eq!(superuser.value("select key from tenancy.tenants"), Some(id));
    superuser.run(&format!("select tenancy.create_tenant(null, id => '{}')", ACME.id));
    let key = format!("select key from tenancy.tenants where id = '{}'", ACME.id);
    assert_eq!(superuser.value(&key).as_deref(), Some(ACME.id));
}

#[test]
fn a_key_or_an_id_that_is_taken_is_refused() {
    let (fixture, _) = fixture_with_tenants();
    let mut superuser = fixture.superuser();
    superuser.refuses("select tenancy.create_tenant('acme')", "42710");
    superuser.refuses(&format!("select tenancy.create_tenant('other', id => '{}')", ACME.id), "42710");
    superuser.refuses(&format!("select tenancy.create_tenant('acme', id => '{}')", ACME.id), "42710");
    superuser.refuses("select tenancy.create_plan('gold'), tenancy.create_plan('gold')", "42710");
}

#[test]
fn a_malformed_key_is_refused() {
    let fixture = Fixture::new();
    let mut superuser = fixture.superuser();
    for key in [
        "''",
        "' '",
        "' acme'",
        "'acme '",
        "E'\\u00a0acme'",
        "E'ac\\nme'",
        "E'ac\\x1fme'",
        "E'ac\\x7fme'",
        "repeat('x', 256)",
        "repeat('ü', 256)",
    ] {
        superuser.refuses(&format!("select tenancy.create_tenant({key})"), "22023");
    }
    assert_eq!(superuser.value("select count(*) from tenancy.tenants").unwrap(), "0");
}

#[test]
fn a_key_that_reads_as_a_uuid_must_be_the_tenants_own_id() {
    let (fixture, _) = fixture_with_tenants();
    let mut superuser = fixture.superuser();
    let bare = ACME.id.replace('-', "");
    for key in [ACME.id.to_owned(), ACME.id.to_uppercase(), bare.clone(), format!("{{{}}}", ACME.id)] {
        superuser.refuses(&format!("select tenancy.create_tenant('{key}', id => gen_random_uuid())"), "22023");
    }
    let own = "99999999-0000-4000-8000-000000000009";
    superuser.run(&format!("select tenancy.create_tenant('{own}', id => '{own}')"));
}

#[test]
fn an_unknown_plan_is_refused() {
    let fixture = Fixture::new();
    fixture.superuser().refuses("select tenancy.create_tenant('acme', plan => 'nowhere')", "42704");
}

#[test]
fn plain_sql_on_the_registry_keeps_the_rules_of_a_key() {
    let (fixture, _) = fixture_with_tenants();
    let mut superuser = fixture.superuser();
    for statement in [
        "update tenancy.tenants set key = ' acme' where key = 'acme'".to_owned(),
        "update tenancy.tenants set key = '' where key = 'acme'".to_owned(),
        format!("update tenancy.tenants set key = '{}' where key = 'acme'", GLOBEX.id),
        "update tenancy.tenants set status = 'nonsense' where key = 'acme'".to_owned(),
        "update tenancy.tenants set key = 'globex' where key = 'acme'".to_owned(),
    ] {
        let outcome = superuser.batch_execute(&statement);
        assert!(sqlstate(&outcome).is_some(), "{statement}");
    }
    assert_eq!(superuser.texts("select key from tenancy.tenants order by 1"), ["acme", "globex"]);
}

#[test]
fn a_role_sees_its_current_tenant_only() {
    let (fixture, app) = fixture_with_tenants();
    let mut client = fixture.connect(&app);
    assert_eq!(client.texts("select key from tenancy.tenants").len(), 0);
    for tenant in [ACME, GLOBEX] {
        client.run(&format!("begin; select tenancy.set_tenant('{}')", tenant.key));
        assert_eq!(client.texts("select key from tenancy.tenants"), [tenant.key]);
        client.run("commit");
    }
}

#[test]
fn a_role_that_bypasses_row_security_sees_all_tenants() {
    let (fixture, _) = fixture_with_tenants();
    let auditor = fixture.role("auditor");
    fixture.run(&format!("alter role {auditor} bypassrls"));
    let mut client = fixture.connect(&auditor);
    assert_eq!(client.texts("select key from tenancy.tenants order by 1"), ["acme", "globex"]);
}

#[test]
fn nothing_in_the_schema_shows_one_tenant_another() {
    let (fixture, app) = fixture_with_tenants();
    fixture.run(
        "create table t (tenant_id uuid); select tenancy.protect('t');
         select tenancy.suspend_tenant('globex', 'secret reason'); select tenancy.resume_tenant('globex')",
    );
    let mut client = fixture.connect(&app);
    let relations = client.texts(
        "select oid::regclass from pg_class where relnamespace = 'tenancy'::regnamespace
            and relkind in ('r', 'p', 'v', 'm') and has_table_privilege(oid, 'select')",
    );
    assert!(relations.iter().any(|relation| relation == "tenancy.tenants"), "{relations:?}");
    for context in ["select 1", "select tenancy.set_tenant('acme')"] {
        for relation in &relations {
            client.run(&format!("begin; {context}"));
            let rows = client.texts(&format!("select r::text from {relation} r")).join("\n");
            for foreign in ["globex", GLOBEX.id, "secret reason"] {
                assert!(!rows.contains(foreign), "{relation} after {context}: {rows}");
            }
            client.run("rollback");
        }
    }
}

#[test]
fn a_key_that_was_spoilt_behind_the_constraints_is_acted_for_by_nobody() {
    let (fixture, app) = fixture_with_tenants();
    let mut superuser = fixture.superuser();
    superuser.run(
        "alter table tenancy.tenants drop constraint tenants_key_is_valid;
         create table t (tenant_id text, body text); select tenancy.protect('t')",
    );
    for key in ["''", "' acme'", "E'ac\\tme'", "repeat('x', 256)", "'cccccccc-0000-4000-8000-000000000003'"] {
        let mut open = fixture.connect(&app);
        open.run(&format!("set tenancy.tenant_id = '{}'; select tenancy.current_tenant()", ACME.id));
        superuser.run(&format!("update tenancy.tenants set key = {key} where id = '{}'", ACME.id));
        let error = open.refuses("select body from t", "55000");
        assert!(error.message().contains(ACME.id) && error.message().contains("malformed"), "{error:?}");
        let mut client = fixture.connect(&app);
        client.refuses(&format!("select tenancy.set_tenant('{}', false)", ACME.id), "55000");
        client.run("select tenancy.set_tenant('globex', false)");
        client.refuses("select tenancy.set_tenant('cccccccc-0000-4000-8000-000000000003', false)", "42501");
        // Who administers may still stop it.
        superuser.run(&format!("select tenancy.suspend_tenant('{0}'); select tenancy.resume_tenant('{0}')", ACME.id));
        superuser.run(&format!("update tenancy.tenants set key = 'acme' where id = '{}'", ACME.id));
        assert_eq!(open.value("select tenancy.current_key()").as_deref(), Some("acme"));
    }
}

#[test]
fn settings_are_kept_as_they_are_however_large_or_deep() {
    let fixture = Fixture::new();
    let mut superuser = fixture.superuser();
    let deep = r#"('{"a": ' || repeat('[', 300) || repeat(']', 300) || '}')::jsonb"#;
    for (key, settings) in [("large", r#"'{"n": 1e400, "m": 12345678901234567890.10}'::jsonb"#), ("deep", deep)] {
        superuser.run(&format!(
            "select tenancy.create_plan('{key}', {settings}), tenancy.create_tenant('{key}', settings => {settings})"
        ));
        for table in ["tenants where key", "plans where name"] {
            let kept =
                superuser.value(&format!("select settings::text = ({settings})::text from tenancy.{table} = '{key}'"));
            assert_eq!(kept.as_deref(), Some("t"), "{table} {key}");
        }
    }
    for wrong in ["'1e400'", "(repeat('[', 300) || repeat(']', 300))::jsonb", "'null'"] {
        superuser.refuses(&format!("select tenancy.create_plan('wrong', {wrong})"), "22023");
        superuser.refuses(&format!("select tenancy.create_tenant('wrong', settings => {wrong})"), "22023");
    }
    superuser.run("select tenancy.create_plan('none', null), tenancy.create_tenant('none', settings => null)");
    let none = "select concat(t.settings, p.settings) from tenancy.tenants t, tenancy.plans p where t.key = 'none' and p.name = 'none'";
    assert_eq!(superuser.value(none).as_deref(), Some("{}{}"));
}
