//! Restores that leave something out or alive: tables without their records, triggers that fire less often than they did.

use tenancy_harness::{ACME, Fixture, GLOBEX, Session, World};

use crate::assert_clean;

const DOCTOR: &str = "select concat_ws(' ', code, object) from tenancy.doctor()
                      where severity in ('critical', 'high') and code <> 'SERVER_TOO_OLD' order by 1";

/// Runs every fix that the doctor has, in its order, until there is nothing left to run; not for ever.
#[track_caller]
fn heal(fixture: &Fixture<'_>, codes: &str) {
    let fixes = format!("select fix from tenancy.doctor() where fix is not null and code ~ '^({codes})$'");
    for _ in 0..3 {
        for fix in fixture.superuser().texts(&fixes) {
            fixture.run(&fix);
        }
    }
    assert_eq!(fixture.superuser().texts(&fixes), Vec::<String>::new());
}

fn protected(client: &mut impl Session, but_for: &str) -> Vec<String> {
    client.texts(&format!(
        "select concat_ws(' ', relation::regclass, kind, tenant_column) from tenancy.protection
         where relation::text <> '{but_for}' order by 1"
    ))
}

fn policies(client: &mut impl Session) -> Vec<String> {
    client.texts(
        "select concat_ws(' ', tablename, policyname, permissive, cmd, qual, with_check) from pg_policies
         where tablename <> 'big_log' order by 1",
    )
}

/// One of the tables isn't in the dump, so that PostgreSQL takes none of the records.
#[test]
fn tables_that_come_without_their_records_are_told_of_and_protected_again() {
    let world = World::new();
    world.fixture.run(
        "create table big_log (tenant_id uuid, line text); select tenancy.protect('big_log');
         create table prices (org text, body text); select tenancy.protect('prices', 'org', 'shared');
         create table journal (tenant_id uuid, body text) partition by range (body);
         create table journal_1 partition of journal default; select tenancy.protect('journal', kind => 'append_only');
         create table below (tenant_id uuid, body text); select tenancy.protect('below', kind => 'tree');
         create table countries (code text); select tenancy.classify('countries', 'global')",
    );
    let mut source = world.fixture.superuser();
    let cluster = world.fixture.cluster();
    let file = cluster.directory().join(format!("{}.without", world.fixture.database()));
    let file = file.to_str().unwrap();
    cluster.run_tool("pg_dump", &["-Fc", "-T", "public.big_log", "-f", file, world.fixture.database()]);
    let target = Fixture::empty(cluster);
    let output = cluster.tool("pg_restore").args(["-d", target.database(), file]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("\"public.big_log\" does not exist"), "{said}");

    let mut superuser = target.superuser();
    assert_eq!(protected(&mut superuser, ""), Vec::<String>::new());
    assert_eq!(policies(&mut superuser), policies(&mut source));
    let found = superuser.texts(DOCTOR);
    for table in ["notes_uuid", "notes_bigint", "prices", "journal", "below"] {
        assert!(found.contains(&format!("RECORD_MISSING public.{table}")), "{found:#?}");
    }
    let others = |one: &String| !one.starts_with("RECORD_MISSING") || one.contains("journal_1");
    assert_eq!(found.iter().filter(|one| others(one)).collect::<Vec<_>>(), Vec::<&String>::new());
    let health = "select detail from tenancy.health() where \"check\" = 'protection' and not ok";
    let detail = superuser.value(health).unwrap();
    assert!(detail.contains("no record, of public.below, public.journal,"), "{detail}");

    heal(&target, "RECORD_MISSING");
    assert_eq!(superuser.texts(DOCTOR), Vec::<String>::new());
    assert_eq!(superuser.texts(health), Vec::<String>::new());
    let recorded = |name: &String| name != "countries global";
    let expected: Vec<_> = protected(&mut source, "big_log").into_iter().filter(recorded).collect();
    assert_eq!(protected(&mut superuser, ""), expected);
    assert_eq!(policies(&mut superuser), policies(&mut source));
    superuser.refuses("alter table prices disable row level security", "42501");
    superuser.refuses("alter table journal_1 disable row level security", "42501");
}

/// A policy of somebody's own that calls the extension is no protection of the extension's.
#[test]
fn policies_of_ones_own_are_not_taken_for_lost_records() {
    let fixture = Fixture::new();
    fixture.run(
        "create table own (org uuid); alter table own enable row level security; alter table own force row level security;
         create policy own on own using (org = tenancy.current_tenant());
         create table classified (org uuid); select tenancy.classify('classified', 'global');
         create policy tenant_isolation on classified using (org = tenancy.current_tenant())",
    );
    let mut superuser = fixture.superuser();
    let found = "select object from tenancy.doctor() where code = 'RECORD_MISSING'";
    assert_eq!(superuser.texts(found), Vec::<String>::new());
    assert_eq!(superuser.value("select ok from tenancy.health() where \"check\" = 'protection'").as_deref(), Some("t"));
}

/// Of policies that bear the extension's names, its own alone tell what to protect as: what would be replaced by them, or
/// can't be, is for who knows the table.
#[test]
fn only_policies_of_the_extensions_making_tell_what_a_table_was_protected_as() {
    let fixture = Fixture::new();
    fixture.run(
        "set tenancy.guard_ddl = off;
         create domain key as text; create domain customer as key; create domain customer_id as uuid;
         create table kept (\"Org\" customer, body text); select tenancy.protect('kept', 'Org', 'shared');
         create table seen (org customer_id); select tenancy.protect('seen', 'org', 'tree');
         create table numbered (org smallint); select tenancy.protect('numbered', 'org', 'append_only');
         create table short (org varchar(9)); select tenancy.protect('short', 'org');
         create table orders (id integer, tenant_id uuid); select tenancy.protect('orders');
         create table mended (org uuid); select tenancy.protect('mended', 'org');
         create policy tenant_isolation_closed on mended as restrictive using (false);
         alter policy tenant_isolation on mended using (org = tenancy.current_tenant() or org is null);
         create table beside (org uuid, other uuid); select tenancy.protect('beside', 'org');
         alter policy tenant_isolation on beside using (other = tenancy.current_tenant());
         delete from tenancy.protection where relation <> 'orders'::regclass;
         create collation fuzzy (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
         create table items (order_id integer); create table padded (org char(8)); create table loose (org text collate fuzzy);
         create table dated (org date); create table made (id uuid, org uuid generated always as (id) stored);
         create policy tenant_isolation on items using (exists (select from orders o
             where o.id = order_id and o.tenant_id = tenancy.current_tenant()));
         create policy tenant_isolation on padded using (org = tenancy.current_key());
         create policy tenant_isolation on loose using (org = tenancy.current_key());
         create policy tenant_isolation on dated using (org = (tenancy.current_key()::date));
         create policy tenant_isolation on made using (org = tenancy.current_tenant())",
    );
    let found = "select concat_ws(' ', object, fix) from tenancy.doctor() where code = 'RECORD_MISSING' order by 1";
    let mut superuser = fixture.superuser();
    assert_eq!(
        superuser.texts(found),
        [
            "public.beside",
            "public.dated",
            "public.items",
            "public.kept SELECT tenancy.protect('public.kept', 'Org', 'shared')",
            "public.loose",
            "public.made",
            "public.mended",
            "public.numbered SELECT tenancy.protect('public.numbered', 'org', 'append_only')",
            "public.padded",
            "public.seen SELECT tenancy.protect('public.seen', 'org', 'tree')",
            "public.short SELECT tenancy.protect('public.short', 'org', 'tenant')",
        ]
    );
    // Row security is off in some of these, and the fix for that would be the same.
    let others =
        "select object from tenancy.doctor() where fix ~ 'tenancy.protect' and object !~ '(kept|seen|numbered|short)$'";
    assert_eq!(superuser.texts(others), Vec::<String>::new());
    let made = policies(&mut superuser);
    heal(&fixture, "RECORD_MISSING");
    assert_eq!(policies(&mut superuser), made);
}

/// Whoever may make temporary tables would have the operator called.
#[test]
fn policies_of_temporary_tables_and_of_extensions_are_no_lost_records() {
    let world = World::new();
    let mut client = world.connect();
    client.run(
        "create temporary table mine (tenant_id uuid);
         create policy tenant_isolation on mine using (tenant_id = tenancy.current_tenant())",
    );
    let mut superuser = world.fixture.superuser();
    superuser.run(
        "create table theirs (tenant_id uuid);
         create policy tenant_isolation on theirs using (tenant_id = tenancy.current_tenant())",
    );
    let well = "select ok from tenancy.health() where \"check\" = 'protection'";
    assert_eq!(superuser.value(well).as_deref(), Some("f"));
    superuser.run("create extension citext; alter extension citext add table theirs");
    assert_eq!(superuser.value(well).as_deref(), Some("t"));
    let found = "select object from tenancy.doctor() where code = 'RECORD_MISSING'";
    assert_eq!(superuser.texts(found), Vec::<String>::new());
}

/// pg_restore takes the triggers off, and puts them back as plain ones.
#[test]
fn triggers_that_a_restore_has_disabled_are_put_back_by_the_doctor() {
    let watched = "select tenancy.create_resource('notes', 'rows'), tenancy.attach_quota('notes_uuid', 'notes'),
                          tenancy.set_quota('acme', 'notes', 50), tenancy.audit('notes_uuid')";
    let world = World::new();
    let cluster = world.fixture.cluster();
    let file = |kind: &str| {
        let path = cluster.directory().join(format!("{}.{kind}", world.fixture.database()));
        path.to_str().unwrap().to_owned()
    };
    let (schema, data) = (file("tables"), file("rows"));
    let database = world.fixture.database();
    cluster.run_tool("pg_dump", &["-Fc", "--schema-only", "-f", &schema, database]);
    cluster.run_tool("pg_dump", &["-Fc", "--data-only", "-n", "public", "-f", &data, database]);
    let target = Fixture::empty(cluster);
    assert_clean("pg_restore", &cluster.run_tool("pg_restore", &["-d", target.database(), &schema]));
    target.register(&[ACME, GLOBEX]);
    target.run(&format!(
        "select tenancy.grant_access('{}'); select tenancy.protect_schema('public'); {watched}",
        world.app
    ));
    let triggers = "select concat_ws(' ', tgrelid::regclass, tgname, tgenabled) from pg_trigger
                    where not tgisinternal and tgrelid::regclass::text ~ '^notes_' order by 1";
    let mut superuser = target.superuser();
    let before = superuser.texts(triggers);
    assert!(before.len() >= 14 && before.iter().all(|trigger| trigger.ends_with(" A")), "{before:#?}");

    let mut restore = cluster.tool("pg_restore");
    restore.env("PGOPTIONS", "-c tenancy.guard_ddl=off");
    restore.args(["--exit-on-error", "--disable-triggers", "-d", target.database(), &data]);
    assert_clean("pg_restore", &restore.output().unwrap());
    let demoted = superuser.texts(triggers);
    assert!(demoted.iter().all(|trigger| trigger.ends_with(" O")), "{demoted:#?}");

    heal(&target, "POLICY_DRIFT|TRIGGER_NOT_ALWAYS|AUDIT_TRIGGER_MISSING|QUOTA_NOT_COUNTED");
    assert_eq!(superuser.texts(triggers), before);
    let used = "select used from tenancy.quota_usage where tenant = 'acme' and resource = 'notes'";
    assert_eq!(superuser.value(used).as_deref(), Some("20"));
    let mut client = target.connect(&world.app);
    let mut tx = World::begin(&mut client, ACME);
    tx.run("insert into notes_uuid (id, body) values (900, 'acme 900')");
    tx.commit().unwrap();
    assert_eq!(superuser.value("select count(*) from tenancy.audit_log").as_deref(), Some("1"));
}
