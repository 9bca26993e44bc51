//! Nothing is left behind, and the caller's transaction is as it was.

use crate::{Lab, open, prove};
use tenancy_harness::{ACME, GLOBEX, Session, refuses_in_savepoint};

/// Everything that attacks and their preparation touch.
const STATE: [&str; 12] = [
    "select string_agg(t::text, ';' order by t::text) from tenancy.tenants t",
    "select string_agg(a::text, ';' order by a::text) from tenancy.access a",
    // The superuser's own reading of tables is recorded by another process, some time.
    "select count(*)::text from tenancy.event_log where event not like 'bypass%'",
    "select count(*)::text from pg_roles where rolname like 'tenancy%'",
    "select string_agg(nspname, ';' order by nspname) from pg_namespace where nspname !~ '^pg_'",
    "select string_agg(c.oid || ' ' || coalesce(relacl::text, ''), ';' order by c.oid) from pg_class c where c.oid >= 16384",
    "select string_agg(p::text, ';' order by p::text) from pg_policy p",
    "select string_agg(schemaname || sequencename || coalesce(last_value, 0), ';' order by 1) from pg_sequences
     where sequencename <> 'event_log_id_seq' group by ()",
    "select string_agg(o::text, ';' order by o::text) from app.orders o",
    "select count(*)::text from app.lines",
    "select count(*)::text from app.events",
    "select string_agg(name || '=' || setting, ';' order by name) from pg_settings where name not like 'plpgsql.%'",
];

/// Locks on relations of the database.
const LOCKS: &str = "select string_agg(relation::regclass || mode, ';' order by relation, mode) from pg_locks
                     where pid = pg_backend_pid() and locktype = 'relation' and relation >= 16384";

fn state(client: &mut impl Session) -> Vec<Option<String>> {
    STATE.iter().map(|query| client.value(query)).collect()
}

/// Compares piece by piece: the whole is too much to read.
#[track_caller]
fn assert_same(before: &[Option<String>], after: &[Option<String>]) {
    for ((query, before), after) in STATE.iter().zip(before).zip(after) {
        let pieces =
            |text: &Option<String>| text.iter().flat_map(|t| t.split(';')).map(str::to_owned).collect::<Vec<_>>();
        let (before, after) = (pieces(before), pieces(after));
        let gone: Vec<_> = before.iter().filter(|piece| !after.contains(piece)).collect();
        let new: Vec<_> = after.iter().filter(|piece| !before.contains(piece)).collect();
        assert!(gone.is_empty() && new.is_empty(), "{query}\ngone: {gone:?}\nnew: {new:?}");
    }
}

#[test]
fn everything_is_as_it_was() {
    let lab = Lab::new();
    lab.run("insert into app.lines (tenant_id, order_id) select tenant_id, id from app.orders");
    let mut client = lab.fixture.superuser();
    let before = state(&mut client);
    assert_eq!(open(&prove(&mut client, "tenancy.prove()")), [""; 0]);
    assert_same(&before, &state(&mut client));
}

#[test]
fn a_transaction_keeps_its_tenant_its_role_and_its_locks() {
    let lab = Lab::new();
    let mut client = lab.fixture.superuser();
    let mut transaction = client.transaction().unwrap();
    transaction.run(&format!("set local role {}", lab.app));
    transaction
        .run("select tenancy.set_tenant('acme'); insert into app.orders (id, email) values (99, 'new@example.com')");
    transaction.run("reset role");
    let locks = transaction.value(LOCKS);
    let findings = transaction.query("select attack from tenancy.prove() where blocked is not true", &[]).unwrap();
    assert!(findings.is_empty(), "{findings:?}");
    assert_eq!(transaction.value(LOCKS), locks);
    assert_eq!(transaction.value("select current_setting('tenancy.tenant_id')").as_deref(), Some("acme"));
    assert_eq!(transaction.value("select current_user || ' ' || session_user").as_deref(), Some("postgres postgres"));
    transaction.run(&format!("set local role {}", lab.app));
    assert_eq!(transaction.value("select tenancy.current_tenant()::text").as_deref(), Some(ACME.id));
    assert_eq!(transaction.value("select count(*) from app.orders").as_deref(), Some("4"));
    refuses_in_savepoint(&mut transaction, "select tenancy.set_tenant('globex')", "42501");
    transaction.commit().unwrap();
    assert_eq!(client.value("select count(*) from app.orders where id = 99").as_deref(), Some("1"));
}

#[test]
fn a_role_that_was_set_is_still_set() {
    let lab = Lab::new();
    lab.run(&format!("grant {0} to postgres; select tenancy.grant_admin('{0}')", lab.app));
    let mut client = lab.fixture.superuser();
    client.run(&format!("set role {}; set tenancy.tenant_id = 'acme'", lab.app));
    let findings = prove(&mut client, "tenancy.prove('app.orders')");
    assert_eq!(open(&findings), [""; 0]);
    assert_eq!(client.value("select current_user::text"), Some(lab.app.clone()));
    assert_eq!(client.value("select count(*) from app.orders").as_deref(), Some("3"));
    assert_eq!(client.value("show is_superuser").as_deref(), Some("off"));
    client.run("reset role");
    assert_eq!(client.value("show is_superuser").as_deref(), Some("on"));
}

#[test]
fn a_transaction_without_a_tenant_may_still_take_any() {
    let lab = Lab::new();
    let mut client = lab.fixture.superuser();
    let mut transaction = client.transaction().unwrap();
    transaction.query("select * from tenancy.prove('app.orders')", &[]).unwrap();
    assert_eq!(transaction.value("select current_setting('tenancy.tenant_id')").as_deref(), Some(""));
    assert_eq!(transaction.value("select tenancy.current_tenant()::text"), None);
    transaction.run("select tenancy.set_tenant('globex')");
    assert_eq!(transaction.value("select tenancy.current_tenant()::text").as_deref(), Some(GLOBEX.id));
}

#[test]
fn what_the_session_holds_is_neither_in_the_way_nor_lost() {
    let lab = Lab::new();
    let mut client = lab.fixture.superuser();
    client.run("begin; select tenancy.set_tenant('acme'); commit");
    client.run(
        "create temporary table scratch (n integer); prepare mine as select 1;
                create temporary sequence drawn; select nextval('drawn')",
    );
    for mode in ["error", "discard"] {
        client.run(&format!("set tenancy.on_leftovers = {mode}; set tenancy.allow_switch = on"));
        let findings = prove(&mut client, "tenancy.prove('app.orders')");
        assert_eq!(open(&findings), ["second_tenant"], "{findings:#?}");
        client.run("execute mine; select * from scratch");
        assert_eq!(client.value("select lastval()").as_deref(), Some("1"));
    }
    // They still belong to the tenant that the session acted for.
    client.run("reset tenancy.allow_switch; set tenancy.on_leftovers = error");
    client.refuses("begin; select tenancy.set_tenant('globex')", "55000");
}

#[test]
fn guards_of_the_session_are_neither_in_the_way_nor_set_off() {
    let lab = Lab::new();
    let mut client = lab.fixture.superuser();
    client.run("set tenancy.on_bypass = error; set tenancy.on_missing = error; set application_name = 'prover'");
    let findings = prove(&mut client, "tenancy.prove()");
    assert!(findings.iter().all(|found| found.blocked == Some(true)), "{findings:#?}");
    assert!(!lab.fixture.cluster().log().contains("application \"prover\""));
    client.refuses("select from app.orders", "42501");
    assert!(lab.fixture.cluster().log().contains("application \"prover\""));
    client.run("select tenancy.set_tenant('acme', false)");
    client.refuses("alter table app.orders no force row level security", "42501");
}

#[test]
fn no_message_reaches_the_client() {
    let lab = Lab::new();
    lab.run(
        "drop policy tenant_isolation_floor on app.orders;
         create function app.loud(uuid) returns boolean language plpgsql as
             'begin raise notice ''%'', $1; raise warning ''%'', $1; return true; end';
         create policy loud on app.orders using (app.loud(tenant_id))",
    );
    let output = lab.fixture.cluster().psql(
        lab.fixture.database(),
        "postgres",
        "select count(*) > 20 from tenancy.prove('app.orders');",
    );
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "t");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn other_sessions_go_on_meanwhile() {
    let lab = Lab::new();
    let mut writer = lab.fixture.superuser();
    writer.run("begin; update app.orders set note = 'busy'; insert into app.journal values (1, 'x')");
    let mut client = lab.fixture.superuser();
    client.run("set statement_timeout = '60s'");
    let findings = prove(&mut client, "tenancy.prove()");
    assert!(findings.iter().all(|found| found.blocked == Some(true)), "{findings:#?}");
    writer.run("commit");
    let mut prover = lab.fixture.superuser();
    prover.run("begin; select * from tenancy.prove()");
    writer.run("set lock_timeout = '1s'; alter table app.orders add column extra integer; drop table app.lines");
    prover.run("commit");
}

#[test]
fn a_cancelled_proof_leaves_nothing_either() {
    let lab = Lab::new();
    lab.run(
        "create function app.slow() returns boolean stable language plpgsql as
             'begin perform pg_sleep(0.2); return true; end';
         create policy slow on app.orders as restrictive using (app.slow())",
    );
    let mut client = lab.fixture.superuser();
    client.run("set tenancy.tenant_id = 'acme'; set statement_timeout = '700ms'");
    let before = state(&mut client);
    client.refuses("select * from tenancy.prove('app.orders')", "57014");
    assert_same(&before, &state(&mut client));
    assert_eq!(client.value("select tenancy.current_tenant()::text").as_deref(), Some(ACME.id));
    assert_eq!(client.value("select current_user::text").as_deref(), Some("postgres"));
}
