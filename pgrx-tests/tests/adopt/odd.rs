//! Tables of every sort: what is adopted, and what is left alone, with the reason.

use tenancy_harness::{ACME, Fixture, GLOBEX, Session};

pub const ODD: &str = r#"
create schema "My App";
set search_path = "My App";
create table "Mixed Case" ("Id" integer generated always as identity primary key, "Sum" integer generated always as (2 * 3) stored, note text unique);
insert into "Mixed Case" (note) values ('a'), ('b');
create unlogged table cache (key text primary key, value jsonb);
insert into cache values ('a', '{}');
create table parent (id integer); create table child (extra text) inherits (parent); create table late (tenant_id uuid) inherits (parent);
insert into parent values (1); insert into child values (2, 'x'); insert into late values (3, null);
create table touched (id integer primary key, touched integer not null default 0, tenant_id uuid);
create function touch() returns trigger language plpgsql as 'begin new.touched := new.touched + 1; return new; end';
create trigger touch before update on touched for each row execute function touch();
insert into touched select n from generate_series(1, 3000) n;
create type line_type as (a integer); create table typed of line_type; insert into typed values (1);
create table cycle_a (id integer primary key, b integer); create table cycle_b (id integer primary key, a integer references cycle_a);
alter table cycle_a add foreign key (b) references cycle_b;
insert into cycle_a values (1); insert into cycle_b values (1, 1); update cycle_a set b = 1;
create view seen as select * from "Mixed Case";
create materialized view summed as select count(*) from seen;
create foreign data wrapper nothing; create server nowhere foreign data wrapper nothing;
create foreign table remote (id integer) server nowhere;
create table sharded (id integer) partition by range (id);
create foreign table sharded_1 partition of sharded for values from (1) to (9) server nowhere;
create table grouped (id integer primary key, name text);
create view asked with (security_invoker) as select * from seen;
create view by_key as select id, name from grouped group by id;
"#;

/// Of tables with rows, how many are there, and how many of them are acme's.
const ROWS: &str = r#"select count(*) || ' ' || count(*) filter (where tenant_id = 'aaaaaaaa-0000-4000-8000-000000000001') from "My App".{}"#;

fn fixture() -> Fixture<'static> {
    let fixture = Fixture::new();
    fixture.register(&[ACME, GLOBEX]);
    fixture
}

#[test]
fn tables_of_every_sort() {
    let fixture = fixture();
    fixture.run(ODD);
    let mut superuser = fixture.superuser();
    let steps = superuser.texts("select ddl from tenancy.adopt_plan('My App', 'acme') order by step");
    for part in [
        "-- \"My App\".remote is left alone: it is a foreign table",
        "-- \"My App\".typed is left alone: its columns are those of a type",
        "-- \"My App\".sharded is left alone: its part \"My App\".sharded_1 is a foreign table",
        "-- materialized view \"My App\".summed knows no row security",
        "-- view \"My App\".seen shows the rows of all tenants",
        "-- grouped_pkey ON \"My App\".grouped stays as it is",
    ] {
        assert!(steps.iter().any(|step| step.starts_with(part)), "{part}: {steps:#?}");
    }
    assert!(!steps.iter().any(|step| step.contains("asked")), "{steps:#?}");
    for step in &steps {
        superuser.run(step);
    }
    let left = superuser.texts("select ddl from tenancy.adopt_plan('My App', 'acme')");
    assert_eq!(left, Vec::<String>::new());
    let rows = |table: &str| fixture.superuser().value(&ROWS.replace("{}", table)).expect("counts");
    for (table, counts) in [
        ("\"Mixed Case\"", "2 2"),
        ("cache", "1 1"),
        ("parent", "3 3"),
        ("late", "1 1"),
        ("touched", "3000 3000"),
        ("cycle_a", "1 1"),
    ] {
        assert_eq!(rows(table), counts, "{table}");
    }
    // Triggers of users are not set off.
    assert_eq!(superuser.value("select max(touched) from \"My App\".touched").as_deref(), Some("0"));
    let keys = "select conrelid::regclass || ' ' || pg_get_constraintdef(oid) from pg_constraint
                where connamespace = '\"My App\"'::regnamespace and contype in ('p', 'u', 'f') order by 1";
    assert_eq!(
        superuser.texts(keys),
        [
            "\"My App\".\"Mixed Case\" PRIMARY KEY (tenant_id, \"Id\")",
            "\"My App\".\"Mixed Case\" UNIQUE (tenant_id, note)",
            "\"My App\".cache PRIMARY KEY (tenant_id, key)",
            "\"My App\".cycle_a FOREIGN KEY (tenant_id, b) REFERENCES \"My App\".cycle_b(tenant_id, id)",
            "\"My App\".cycle_a PRIMARY KEY (tenant_id, id)",
            "\"My App\".cycle_b FOREIGN KEY (tenant_id, a) REFERENCES \"My App\".cycle_a(tenant_id, id)",
            "\"My App\".cycle_b PRIMARY KEY (tenant_id, id)",
            "\"My App\".grouped PRIMARY KEY (id)",
            "\"My App\".touched PRIMARY KEY (tenant_id, id)",
        ]
    );
    let open =
        "select relname::text from pg_class where relnamespace = '\"My App\"'::regnamespace and relkind in ('r', 'p')
                and not (relrowsecurity and relforcerowsecurity) order by 1";
    assert_eq!(superuser.texts(open), ["sharded", "typed"]);
}

#[test]
fn the_column_has_the_type_that_others_have() {
    let fixture = Fixture::new();
    fixture.run(
        "select tenancy.create_tenant('42'); create schema app;
         create table app.a (id int primary key, tenant_id integer); insert into app.a values (1, null);
         create table app.b (a_id int references app.a); insert into app.b values (1)",
    );
    let mut superuser = fixture.superuser();
    superuser.run("select tenancy.adopt('app', '42')");
    assert_eq!(superuser.texts("select pg_typeof(tenant_id) || ' ' || tenant_id from app.b"), ["integer 42"]);
    let key = "select pg_get_constraintdef(oid) from pg_constraint where contype = 'f' and connamespace = 'app'::regnamespace";
    assert_eq!(superuser.value(key).as_deref(), Some("FOREIGN KEY (tenant_id, a_id) REFERENCES app.a(tenant_id, id)"));
}

#[test]
fn what_is_replicated_by_the_key_goes_on_being_changed() {
    let fixture = fixture();
    fixture.run(
        "create schema app; create table app.a (id int primary key, v text unique); insert into app.a values (1, 'a');
         create table app.b (id int primary key); insert into app.b values (1);
         set client_min_messages = error; create publication part for table app.a (id), app.b",
    );
    let mut superuser = fixture.superuser();
    let steps = superuser.texts("select ddl from tenancy.adopt_plan('app', 'acme') order by step");
    for step in &steps {
        superuser.run(step);
        superuser.run("update app.a set v = v; update app.b set id = id");
    }
    assert!(steps.iter().any(|step| step.starts_with("-- a_pkey ON app.a stays as it is")), "{steps:#?}");
    let keys = "select pg_get_constraintdef(oid) from pg_constraint where connamespace = 'app'::regnamespace and contype in ('p', 'u') order by 1";
    assert_eq!(superuser.texts(keys), ["PRIMARY KEY (id)", "PRIMARY KEY (tenant_id, id)", "UNIQUE (tenant_id, v)"]);
}

#[test]
fn what_comes_meanwhile_is_in_the_next_plan() {
    let fixture = fixture();
    fixture.run("create schema app; create table app.a (id int primary key); insert into app.a values (1)");
    let mut superuser = fixture.superuser();
    let plan = "select ddl from tenancy.adopt_plan('app', 'acme') order by step";
    let steps = superuser.texts(plan);
    superuser
        .run("create table app.b (id int primary key, a_id int references app.a); insert into app.b values (1, 1)");
    // The key of the first table can't be replaced any more: the step fails, and the rest of the plan goes on.
    let failed = steps.iter().filter(|step| superuser.batch_execute(step).is_err()).count();
    assert_eq!(failed, 1);
    for step in superuser.texts(plan) {
        superuser.run(&step);
    }
    assert_eq!(superuser.texts(plan), Vec::<String>::new());
    let keys = "select pg_get_constraintdef(oid) from pg_constraint where connamespace = 'app'::regnamespace and contype in ('p', 'f') order by 1";
    assert_eq!(
        superuser.texts(keys),
        [
            "FOREIGN KEY (tenant_id, a_id) REFERENCES app.a(tenant_id, id)",
            "PRIMARY KEY (tenant_id, id)",
            "PRIMARY KEY (tenant_id, id)"
        ]
    );
}

#[test]
fn tables_with_rows_of_several_tenants_keep_them() {
    let fixture = fixture();
    fixture.run(&format!(
        "create schema app; create table app.kept (id int, tenant_id uuid);
         insert into app.kept values (1, '{}'), (2, null);
         create table app.done (id int, tenant_id uuid not null); insert into app.done values (1, '{}'); select tenancy.protect('app.done', kind => 'shared')",
        GLOBEX.id, GLOBEX.id
    ));
    let mut superuser = fixture.superuser();
    for step in superuser.texts("select ddl from tenancy.adopt_plan('app', 'acme') order by step") {
        superuser.run(&step);
    }
    assert_eq!(superuser.texts("select tenant_id::text from app.kept order by id"), [GLOBEX.id, ACME.id]);
    assert_eq!(
        superuser.value("select kind from tenancy.protected_tables where relation = 'app.done'::regclass").as_deref(),
        Some("shared")
    );
    assert_eq!(superuser.texts("select ddl from tenancy.adopt_plan('app', 'acme')"), Vec::<String>::new());
}
