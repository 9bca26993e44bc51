//! One index condition, and plans that follow tenant and tree.

use tenancy_harness::{Session, postgres};

use crate::{Forest, ROWS, TYPES, begin, family, id, literal, seen};

/// More executions than the five after which PostgreSQL may switch to a generic plan.
const SWITCHES: usize = 8;

#[test]
fn reading_is_one_index_condition() {
    let forest = Forest::new();
    let mut client = forest.connect();
    client.run("set enable_seqscan = off; set enable_bitmapscan = off");
    for column_type in TYPES {
        let function = match column_type {
            "uuid" => "visible_tenants",
            "text" | "varchar" => "visible_keys",
            _ => "visible_key_ints",
        };
        let column = if column_type == "varchar" { "(tenant_id)::text" } else { "tenant_id" };
        let mut tx = begin(&mut client, 1);
        let plan = tx.texts(&format!("explain (costs off) select body from t_{column_type}")).join("\n");
        let condition = format!("Index Cond: ({column} = ANY (tenancy.{function}()))");
        assert!(plan.contains(&condition) && !plan.contains("Filter"), "{plan}");
        let plan = tx.texts(&format!("explain (costs off) update t_{column_type} set body = ''")).join("\n");
        assert!(plan.contains("Index Cond") && plan.contains(&format!("{column} = tenancy.current_")), "{plan}");
    }
}

#[test]
fn other_kinds_are_as_they_were() {
    let forest = Forest::new();
    let mut superuser = forest.fixture.superuser();
    superuser.run("create table plain (tenant_id uuid, body text); select tenancy.protect('plain')");
    let policies = superuser.texts(
        "select concat_ws('|', polname, polcmd, polpermissive, pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid))
           from pg_policy where polrelid = 'plain'::regclass order by polname",
    );
    let own = "(tenant_id = tenancy.current_tenant())";
    assert_eq!(
        policies,
        [format!("tenant_isolation|*|t|{own}|{own}"), format!("tenant_isolation_floor|*|f|{own}|{own}")]
    );
    let (one, two) = (literal("uuid", 1), literal("uuid", 11));
    superuser.run(&format!("insert into plain values ({one}, '1 1'), ({two}, '11 1')"));
    let mut client = forest.connect();
    assert_eq!(seen(&mut begin(&mut client, 1), "plain"), ["1"]);
}

#[test]
fn a_cached_plan_follows_the_tenant_and_the_tree() {
    let forest = Forest::new();
    for mode in ["auto", "force_custom_plan", "force_generic_plan"] {
        for column_type in TYPES {
            let mut client = forest.connect();
            client.run(&format!("set plan_cache_mode = {mode}"));
            let all =
                client.prepare(&format!("select distinct body from t_{column_type} where id = $1 order by 1")).unwrap();
            for _ in 0..SWITCHES {
                for key in [1, 11, 2, 3] {
                    let mut tx = begin(&mut client, key);
                    let bodies: Vec<String> = tx.query(&all, &[&1_i32]).unwrap().iter().map(|row| row.get(0)).collect();
                    let expected: Vec<String> = family(key).iter().map(|key| format!("{key} 1")).collect();
                    let mut sorted = expected.clone();
                    sorted.sort();
                    let mut found = bodies.clone();
                    found.sort();
                    assert_eq!(found, sorted, "{mode} {column_type} as {key}");
                }
            }
            assert!(client.query(&all, &[&1_i32]).unwrap().is_empty(), "rows without a tenant");
        }
    }
    let mut client = forest.connect();
    client.run("set plan_cache_mode = force_generic_plan");
    let count = client.prepare("select count(*) from t_bigint").unwrap();
    let counted = |client: &mut postgres::Client| {
        let mut tx = begin(client, 2);
        tx.query_one(&count, &[]).unwrap().get::<_, i64>(0)
    };
    assert_eq!(counted(&mut client), 2 * ROWS as i64);
    forest.fixture.run("select tenancy.set_parent('3', '21')");
    assert_eq!(counted(&mut client), 3 * ROWS as i64);
    forest.fixture.run("select tenancy.set_parent('21', null)");
    assert_eq!(counted(&mut client), ROWS as i64);
}

#[test]
fn parallel_workers_read_the_same() {
    let forest = Forest::new();
    let mut client = forest.connect();
    client.run(
        "set min_parallel_table_scan_size = 0; set min_parallel_index_scan_size = 0; set parallel_setup_cost = 0;
         set parallel_tuple_cost = 0; set max_parallel_workers_per_gather = 2; set parallel_leader_participation = off",
    );
    let forced = if forest.fixture.major_version() >= 16 { "debug_parallel_query" } else { "force_parallel_mode" };
    for (scan, settings) in [
        ("seqscan", "set enable_indexscan = off; set enable_bitmapscan = off; set enable_indexonlyscan = off"),
        ("indexscan", &format!("reset enable_indexscan; set enable_seqscan = off; set {forced} = on")),
    ] {
        client.run(settings);
        for column_type in TYPES {
            for key in [1, 11, 2] {
                let mut tx = begin(&mut client, key);
                let query =
                    format!("select count(*), string_agg(distinct split_part(body, ' ', 1), ',') from t_{column_type}");
                let plan = tx.texts(&format!(
                    "explain (analyze, costs off, timing off, summary off) select count(body) from t_{column_type}"
                ));
                let plan = plan.join("\n");
                assert!(plan.contains("Workers Launched: ") && !plan.contains("Workers Launched: 0"), "{plan}");
                let row = tx.query_one(&query, &[]).unwrap();
                assert_eq!(row.get::<_, i64>(0), (family(key).len() * ROWS) as i64, "{scan} {column_type} {key}");
                assert_eq!(row.get::<_, String>(1), family(key).join(","));
            }
        }
    }
}

#[test]
fn ten_thousand_tenants_below_are_read_by_index() {
    let forest = Forest::new();
    let mut superuser = forest.fixture.superuser();
    superuser.run(&format!(
        "insert into tenancy.tenants (id, key, parent)
           select ('00000000-0000-4000-9000-' || lpad(n::text, 12, '0'))::uuid, (100000 + n)::text, '{}' from generate_series(1, 10000) n;
         create table many (tenant_id uuid, body text);
         insert into many select ('00000000-0000-4000-9000-' || lpad((1 + n % 10000)::text, 12, '0'))::uuid, n::text from generate_series(1, 100000) n;
         select tenancy.protect('many', kind => 'tree')",
        id(3)
    ));
    superuser.run(&format!("insert into many values ('{}', '2 1')", id(2)));
    superuser.run("vacuum analyze many");
    let mut client = forest.connect();
    let mut tx = begin(&mut client, 3);
    tx.run("set local statement_timeout = '20s'");
    assert_eq!(tx.value("select array_length(tenancy.visible_tenants(), 1)").as_deref(), Some("10001"));
    assert_eq!(tx.value("select count(*) from many").as_deref(), Some("100000"));
    let plan = tx.texts("explain (costs off) select count(*) from many").join("\n");
    assert!(plan.contains("Index Cond: (tenant_id = ANY (tenancy.visible_tenants()))"), "{plan}");
    drop(tx);
    // How many there were is nothing that a pooled session's next client learns.
    let explain = "explain select * from many";
    assert_eq!(client.texts(explain), forest.connect().texts(explain));
    let mut tx = begin(&mut client, 2);
    assert_eq!(seen(&mut tx, "many"), ["2"]);
}

#[test]
fn too_large_a_tree_is_refused_and_not_half_read() {
    let forest = Forest::new();
    forest.fixture.run(&format!(
        "insert into tenancy.tenants (id, key, parent)
           select gen_random_uuid(), 'many ' || n, '{}' from generate_series(1, 100000) n",
        id(3)
    ));
    let mut client = forest.connect();
    client.refuses("begin; set local tenancy.tenant_id = '3'; select count(*) from t_uuid", "54000");
    client.run("rollback");
    // It is a matter of that tree, and of tables that show it.
    assert_eq!(seen(&mut begin(&mut client, 1), "t_uuid"), family(1));
    forest.fixture.run("delete from tenancy.tenants where key = 'many 1'");
    let mut tx = begin(&mut client, 3);
    assert_eq!(seen(&mut tx, "t_uuid"), ["3"]);
}

#[test]
fn an_index_that_has_all_it_shows_in_order_is_not_redundant() {
    let forest = Forest::new();
    let mut superuser = forest.fixture.superuser();
    superuser.run("create index t_uuid_id on t_uuid (id)");
    let advice = "select code from tenancy.index_advice('t_uuid') where detail like '%t\\_uuid\\_id%'";
    assert!(superuser.texts(advice).is_empty());
    superuser.run("select tenancy.protect('t_uuid', kind => 'tenant')");
    assert_eq!(superuser.texts(advice).len(), 1);
}
