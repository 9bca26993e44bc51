//! `tenancy.index_advice`: each code is found, its statements make it go, and what it says of the planner is so.

use tenancy_harness::postgres::Client;
use tenancy_harness::{ACME, Cluster, Fixture, Session, World};

use crate::fixture_with_tenants;

/// A row of the advice.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Advice {
    table: String,
    code: String,
    detail: String,
    size: i64,
    ddl: Option<String>,
}

#[track_caller]
fn advice(client: &mut Client) -> Vec<Advice> {
    let rows = client.query("select tbl::text, code, detail, size_bytes, ddl from tenancy.index_advice()", &[]);
    let rows = rows.unwrap_or_else(|error| panic!("{error:?}"));
    let advice = rows.iter().map(|row| Advice {
        table: row.get(0),
        code: row.get(1),
        detail: row.get(2),
        size: row.get(3),
        ddl: row.get(4),
    });
    advice.collect()
}

fn codes(client: &mut Client) -> Vec<(String, String)> {
    advice(client).into_iter().map(|one| (one.code, one.table)).collect()
}

/// What psql's `\gexec` does with the statements.
fn execute_all(fixture: &Fixture<'_>) {
    let script = "select ddl from tenancy.index_advice() \\gexec\n";
    let output = fixture.cluster().psql(fixture.database(), Cluster::SUPERUSER, script);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A database without anything to advise, broken by `broken_by`: the codes with their tables, in order. Those that have
/// one answer are gone once the statements have run.
#[track_caller]
fn advises(broken_by: &str, expected: &[(&str, &str)]) {
    let (fixture, _) = fixture_with_tenants();
    fixture.run(
        "create table countries (code text primary key); select tenancy.classify('countries', 'global');
         create table orders (tenant_id uuid, id integer, email text, country text, primary key (tenant_id, id));
         select tenancy.protect('orders')",
    );
    let mut superuser = fixture.superuser();
    assert_eq!(codes(&mut superuser), []);
    superuser.run(broken_by);
    let expected: Vec<_> = expected.iter().map(|(code, table)| ((*code).to_owned(), (*table).to_owned())).collect();
    assert_eq!(codes(&mut superuser), expected);
    execute_all(&fixture);
    let unanswered = |(code, _): &(String, String)| code.ends_with("UNUSABLE");
    let expected: Vec<_> = expected.into_iter().filter(unanswered).collect();
    assert_eq!(codes(&mut superuser), expected, "after the statements");
}

#[test]
fn a_table_without_an_index_led_by_the_tenant() {
    advises(
        "create table t (tenant_id uuid, body text); select tenancy.protect('t', create_index => false);
         create index on t (body)",
        &[("INDEX_NOT_TENANT_LED", "t")],
    );
}

#[test]
fn an_index_that_only_seems_to_be_led_by_the_tenant() {
    for index in [
        "create index on t (tenant_id collate \"C\")",
        "create index on t (tenant_id) where body <> ''",
        "create index on t using hash (tenant_id)",
    ] {
        advises(
            &format!(
                "create table t (tenant_id text, body text);
                 select tenancy.protect('t', create_index => false); {index}"
            ),
            &[("INDEX_NOT_TENANT_LED", "t")],
        );
    }
}

#[test]
fn a_partitioned_table_gets_its_index_partition_by_partition() {
    advises(
        "create table p (id integer, tenant_id uuid, at date) partition by range (at);
         create table \"P 1\" partition of p for values from ('2026-01-01') to ('2026-02-01');
         create table p_2 (at date, dropped text, tenant_id uuid, id integer); alter table p_2 drop column dropped;
         alter table p attach partition p_2 for values from ('2026-02-01') to ('2026-03-01');
         create table p_3 partition of p default partition by hash (id);
         create table p_3_1 partition of p_3 for values with (modulus 1, remainder 0);
         select tenancy.protect('p', create_index => false);
         create index on p_2 (tenant_id)",
        &[("INDEX_NOT_TENANT_LED", "\"P 1\""), ("INDEX_NOT_TENANT_LED", "p_3_1"), ("INDEX_NOT_TENANT_LED", "p")],
    );
}

/// Its index is led by the tenant too, and so makes the table's other one superfluous.
#[test]
fn a_foreign_key_without_an_index() {
    let (fixture, _) = fixture_with_tenants();
    fixture.run(
        "create table orders (tenant_id uuid, id integer, primary key (tenant_id, id)); select tenancy.protect('orders');
         create table lines (order_id integer, tenant_id uuid, foreign key (order_id, tenant_id) references orders (id, tenant_id));
         select tenancy.protect('lines')",
    );
    let mut superuser = fixture.superuser();
    let found = advice(&mut superuser);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0].ddl.as_deref(), Some("CREATE INDEX CONCURRENTLY ON public.lines (tenant_id, order_id)"));
    execute_all(&fixture);
    assert_eq!(codes(&mut superuser), [("INDEX_REDUNDANT".into(), "lines".into())]);
    execute_all(&fixture);
    assert_eq!(codes(&mut superuser), []);
}

#[test]
fn one_index_for_a_foreign_key_and_for_the_tenant() {
    let (fixture, _) = fixture_with_tenants();
    fixture.run(
        "create table orders (tenant_id uuid, id integer, primary key (tenant_id, id)); select tenancy.protect('orders');
         create table lines (tenant_id uuid, order_id integer, foreign key (tenant_id, order_id) references orders);
         select tenancy.protect('lines', create_index => false)",
    );
    let mut superuser = fixture.superuser();
    let found = advice(&mut superuser);
    let ddl: Vec<_> = found.iter().map(|one| (one.code.as_str(), one.ddl.as_deref())).collect();
    assert_eq!(
        ddl,
        [
            ("INDEX_NOT_TENANT_LED", None),
            ("FK_NO_INDEX", Some("CREATE INDEX CONCURRENTLY ON public.lines (tenant_id, order_id)"))
        ]
    );
    execute_all(&fixture);
    assert_eq!(codes(&mut superuser), []);
}

#[test]
fn a_foreign_key_to_a_table_without_tenants() {
    advises("alter table orders add foreign key (country) references countries", &[("FK_NO_INDEX", "orders")]);
}

#[test]
fn foreign_keys_that_have_an_index() {
    advises(
        "alter table orders add foreign key (country) references countries;
         create index on orders (country, email) where country is not null;
         create table lines (tenant_id uuid, order_id integer, foreign key (tenant_id, order_id) references orders);
         create index on lines (order_id, tenant_id); create index on lines (tenant_id, order_id);
         select tenancy.protect('lines')",
        &[],
    );
}

#[test]
fn a_foreign_key_of_a_partitioned_table() {
    advises(
        "create table p (tenant_id uuid, at date, order_id integer, foreign key (tenant_id, order_id) references orders)
           partition by range (at);
         create table p_1 partition of p default; create index on p (tenant_id, at); select tenancy.protect('p')",
        &[("FK_NO_INDEX", "p_1"), ("FK_NO_INDEX", "p")],
    );
}

#[test]
fn an_index_that_is_there_twice() {
    advises(
        "create index a on orders (tenant_id, lower(email) desc) include (country) where id > 5;
         create index b on orders (tenant_id, lower(email) desc) include (country) where (id) > 5;
         create unique index c on orders (tenant_id, email); create index d on orders (tenant_id, email);
         create index e on orders (tenant_id, id);
         create index different on orders (tenant_id, lower(email)) include (country) where id > 5",
        &[
            ("INDEX_DUPLICATE", "orders"),
            ("INDEX_DUPLICATE", "orders"),
            ("INDEX_DUPLICATE", "orders"),
            ("INDEX_PARTLY_UNUSABLE", "orders"),
            ("INDEX_PARTLY_UNUSABLE", "orders"),
        ],
    );
}

#[test]
fn what_something_hangs_on_is_kept() {
    let (fixture, _) = fixture_with_tenants();
    fixture.run(
        "create table t (tenant_id uuid not null, id integer not null, n integer, primary key (tenant_id, id));
         create index z_before_the_key on t (tenant_id, id); create unique index replicated on t (tenant_id, id);
         alter table t replica identity using index replicated;
         create index clustered on t (n); cluster t using clustered; create index on t (tenant_id, n);
         alter table t add unique (tenant_id, id);
         select tenancy.protect('t')",
    );
    let mut superuser = fixture.superuser();
    let ddl: Vec<_> = advice(&mut superuser).into_iter().map(|one| (one.code, one.ddl)).collect();
    let duplicate = |ddl: Option<&str>| ("INDEX_DUPLICATE".to_owned(), ddl.map(str::to_owned));
    let expected =
        [duplicate(None), duplicate(None), duplicate(Some("DROP INDEX CONCURRENTLY public.z_before_the_key"))];
    assert_eq!(ddl, expected);
    execute_all(&fixture);
    assert_eq!(advice(&mut superuser).len(), 2);
}

#[test]
fn an_index_on_one_column_that_one_led_by_the_tenant_can_stand_for() {
    advises(
        "create index on orders (email); create index on orders (tenant_id); create index on orders (country desc);
         create index on orders (lower(email) text_pattern_ops);
         create index on orders (tenant_id, email, country); create index on orders (tenant_id, country)",
        &[
            ("INDEX_REDUNDANT", "orders"),
            ("INDEX_REDUNDANT", "orders"),
            ("INDEX_REDUNDANT", "orders"),
            ("INDEX_UNUSABLE", "orders"),
        ],
    );
}

#[test]
fn an_index_on_one_column_that_is_of_use_beside_one_led_by_the_tenant() {
    advises(
        "create index on orders (tenant_id, email); create index on orders (tenant_id, country);
         create unique index on orders (email); create index on orders (email desc nulls last);
         create index on orders (email collate \"C\"); create index on orders (email text_pattern_ops);
         create index on orders (email) where id > 5; create index on orders (email) include (id);
         create index on orders using hash (email);
         create index on orders (country); alter table orders add foreign key (country) references countries",
        &[],
    );
}

#[test]
fn all_that_is_advised_can_be_run_at_once() {
    let (fixture, _) = fixture_with_tenants();
    fixture.run(
        "create table countries (code text primary key); select tenancy.classify('countries', 'global');
         create table p (tenant_id uuid, at date, country text references countries) partition by range (at);
         create table p_1 partition of p default; create index on p (country, at); create index on p (country, at);
         create table t (tenant_id uuid, a integer, b numeric, c text references countries, d text);
         create index on t (a); create index on t (a); create index on t (tenant_id, a); create index on t (b);
         create index on t (d); create index on t (d);
         select tenancy.protect('p', create_index => false), tenancy.protect('t')",
    );
    let mut superuser = fixture.superuser();
    let first = advice(&mut superuser);
    assert_eq!(first.iter().filter(|one| one.ddl.is_some()).count(), 7, "{first:#?}");
    execute_all(&fixture);
    let left = advice(&mut superuser);
    assert!(left.iter().all(|one| one.ddl.is_none()), "{left:#?}");
    assert_eq!(left.len(), 1, "{left:#?}");
}

/// Types whose operators are leakproof, and others, as the catalogs of this server say.
#[test]
fn indexes_that_row_security_does_not_let_be_used() {
    let (fixture, app) = fixture_with_tenants();
    fixture.run(
        "create extension btree_gin; create extension pg_trgm; create extension btree_gist;
         create type color as enum ('red', 'blue');
         create table t (tenant_id uuid, a integer, b text, n numeric, e color, d jsonb, v tsvector, at timestamptz, r int4range,
                         s text[], u uuid);
         create index i_int on t (a); create index i_text on t (b); create index i_at on t using brin (at);
         create index i_uuid on t using hash (u); create index i_led on t (tenant_id, at, a, b);
         create index i_numeric on t (n); create index i_enum on t (e); create index i_array on t using gin (s);
         create index i_json on t using gin (d); create index i_words on t using gin (v); create index i_range on t using gist (r);
         create index i_expr on t (lower(b)); create index i_brin on t using brin (n);
         create index i_trigram on t using gin (b gin_trgm_ops); create index i_part on t (tenant_id, u, n);
         create index i_json_led on t using gin (tenant_id, d); create index i_mixed on t (n, a);
         select tenancy.protect('t')",
    );
    let mut superuser = fixture.superuser();
    let mut found: Vec<(String, String)> = advice(&mut superuser)
        .into_iter()
        .map(|one| {
            let index = one.detail.split("public.").nth(1).unwrap().split(&[':', ' ']).next().unwrap().to_owned();
            assert_eq!((one.table.as_str(), one.ddl), ("t", None));
            assert!(one.size > 0 && one.detail.contains("LEAKPROOF"), "{index}");
            (one.code, index)
        })
        .collect();
    found.sort();
    let of = |code: &str, indexes: &[&str]| -> Vec<(String, String)> {
        indexes.iter().map(|index| (code.to_owned(), (*index).to_owned())).collect()
    };
    let mut expected = of("INDEX_PARTLY_UNUSABLE", &["i_json_led", "i_mixed", "i_part", "i_trigram"]);
    expected.extend(of(
        "INDEX_UNUSABLE",
        &["i_array", "i_brin", "i_enum", "i_expr", "i_json", "i_numeric", "i_range", "i_words"],
    ));
    assert_eq!(found, expected);

    // What is said is so: the planner uses these indexes without row security, and not under it.
    fixture.run(&format!("insert into t (tenant_id) values ('{}'); analyze t", ACME.id));
    let conditions_on_indexes = |session: &mut Client, condition: &str| {
        session.run("set enable_seqscan = off");
        let plan = session.texts(&format!("explain (costs off) select * from t where {condition}"));
        plan.into_iter().filter(|line| line.contains("Index Cond")).collect::<String>()
    };
    for (condition, printed) in [
        ("n = 5", "n = "),
        ("e = 'red'", "e = "),
        ("s @> '{x}'", "s @> "),
        ("d @> '{\"x\": 1}'", "d @> "),
        ("v @@ 'x'::tsquery", "v @@ "),
        ("r && '[1,2]'", "r && "),
        ("lower(b) = 'x'", "lower(b) = "),
        ("b like '%xyz%'", "b ~~ "),
    ] {
        let found = conditions_on_indexes(&mut superuser, condition);
        assert!(found.contains(printed), "{condition}, by a superuser: {found}");
        let mut client = fixture.connect(&app);
        client.run("set tenancy.tenant_id = 'acme'");
        let found = conditions_on_indexes(&mut client, condition);
        assert!(!found.contains(printed), "{condition}: {found}");
    }
    for (condition, printed) in [("a = 5", "a = 5"), ("b = 'x'", "b = 'x'")] {
        let mut client = fixture.connect(&app);
        client.run("set tenancy.tenant_id = 'acme'");
        let found = conditions_on_indexes(&mut client, condition);
        assert!(found.contains(printed), "{condition}: {found}");
    }
}

/// One of the ways out: the function is declared leakproof, which only a superuser can do.
#[test]
fn an_index_whose_operators_became_leakproof_is_usable() {
    let (fixture, app) = fixture_with_tenants();
    fixture.run(&format!(
        "create table t (tenant_id uuid, n numeric); create index by_n on t (n); select tenancy.protect('t');
         insert into t values ('{}', 1); analyze t",
        ACME.id
    ));
    let mut superuser = fixture.superuser();
    assert_eq!(codes(&mut superuser), [("INDEX_UNUSABLE".into(), "t".into())]);
    for function in ["eq", "lt", "le", "gt", "ge"] {
        superuser.run(&format!("alter function pg_catalog.numeric_{function}(numeric, numeric) leakproof"));
    }
    assert_eq!(codes(&mut superuser), []);
    let mut client = fixture.connect(&app);
    client.run("set enable_seqscan = off; set enable_bitmapscan = off; set enable_sort = off");
    let mut tx = World::begin(&mut client, ACME);
    let plan = tx.texts("explain (costs off) select * from t where n > 5 order by n").join("\n");
    assert!(plan.contains("Index Cond: (n >"), "{plan}");
}

/// Advice runs nothing of a table owner's: the expressions of his indexes are looked at, not evaluated.
#[test]
fn expressions_are_looked_at_and_not_run() {
    let (fixture, _) = fixture_with_tenants();
    let owner = fixture.role("owner");
    fixture.run(&format!("grant create on schema public to {owner}"));
    fixture.connect(&owner).run(
        "create function trap(integer) returns integer immutable language plpgsql as
           'begin if current_user = ''postgres'' then raise exception ''caught''; end if; return 1; end';
         create table t (tenant_id uuid, body text, n integer); create index on t ((n + trap(1))) where trap(2) > 0",
    );
    fixture.run("select tenancy.protect('t')");
    assert_eq!(codes(&mut fixture.superuser()), [("INDEX_UNUSABLE".into(), "t".into())]);
}

#[test]
fn one_table_can_be_asked_about_and_administrators_ask() {
    let (fixture, app) = fixture_with_tenants();
    fixture.run(
        "create table a (tenant_id uuid, n numeric); create table b (tenant_id uuid) partition by list (tenant_id);
         create table b_1 partition of b default; create table plain (tenant_id uuid);
         create index on a (n); select tenancy.protect('a'), tenancy.protect('b', create_index => false)",
    );
    let mut superuser = fixture.superuser();
    let about = |session: &mut Client, table: &str| {
        session.texts(&format!("select tbl || ' ' || code from tenancy.index_advice('{table}')"))
    };
    assert_eq!(about(&mut superuser, "a"), ["a INDEX_UNUSABLE"]);
    assert_eq!(about(&mut superuser, "b"), ["b_1 INDEX_NOT_TENANT_LED", "b INDEX_NOT_TENANT_LED"]);
    assert_eq!(about(&mut superuser, "b_1"), ["b_1 INDEX_NOT_TENANT_LED"]);
    superuser.refuses("select * from tenancy.index_advice('plain')", "55000");
    superuser.refuses("select * from tenancy.index_advice(1::oid)", "42P01");
    fixture.connect(&app).refuses("select * from tenancy.index_advice()", "42501");
    let admin = fixture.role("admin");
    fixture.run(&format!("select tenancy.grant_admin('{admin}')"));
    let mut admin = fixture.connect(&admin);
    admin.run("begin read only; set search_path = ''; set quote_all_identifiers = on");
    assert_eq!(admin.texts("select code from tenancy.index_advice()").len(), 3);
}

#[test]
fn thousands_of_tables_take_seconds() {
    let (fixture, _) = fixture_with_tenants();
    fixture.run(
        "do $$ begin for i in 1..1000 loop
           execute format('create table t_%s (tenant_id uuid, id integer, n numeric, primary key (tenant_id, id))', i);
           execute format('create index on t_%s (n)', i);
           insert into tenancy.protection (relation, kind, tenant_column)
             values (format('t_%s', i)::regclass, 'tenant', 'tenant_id');
         end loop; end $$",
    );
    let mut superuser = fixture.superuser();
    let since = std::time::Instant::now();
    assert_eq!(advice(&mut superuser).len(), 1000);
    assert!(since.elapsed().as_secs() < 20, "{:?}", since.elapsed());
}
