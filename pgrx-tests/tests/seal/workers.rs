//! Parallel workers are bound by the leader's seal.

use postgres::Client;
use tenancy_harness::{FAMILIES, Session, World, postgres};

use crate::{seal, unseal, visible};

const PARALLEL: &str = "
    set min_parallel_table_scan_size = 0; set parallel_setup_cost = 0; set parallel_tuple_cost = 0;
    set max_parallel_workers_per_gather = 2; set parallel_leader_participation = off;
    set enable_indexscan = off; set enable_indexonlyscan = off; set enable_bitmapscan = off";

/// Whose rows workers return.
#[track_caller]
fn by_workers(client: &mut Client) -> Vec<String> {
    client.run(PARALLEL);
    let query = "select body from notes_uuid";
    let plan = client.texts(&format!("explain (analyze, costs off, timing off, summary off) {query}")).join("\n");
    assert!(plan.contains("Workers Launched: ") && !plan.contains("Workers Launched: 0"), "{plan}");
    let mut tenants: Vec<String> =
        client.texts(query).iter().map(|body| body.split(' ').next().unwrap().to_owned()).collect();
    tenants.sort();
    tenants.dedup();
    tenants
}

#[test]
fn workers_return_the_sealed_tenants_rows() {
    let world = World::new();
    let mut client = world.connect();
    client.run("set tenancy.tenant_id = 'acme'; set tenancy.user_id = 'alice'");
    seal(&mut client);
    assert_eq!(by_workers(&mut client), ["acme"]);
    client.run("begin; set local tenancy.tenant_id = 'aaaaaaaa-0000-4000-8000-000000000001'");
    assert_eq!(by_workers(&mut client), ["acme"]);
    client.run("commit");
    client.run("discard all");
    assert!(by_workers(&mut client).is_empty());
    unseal(&mut client);
    client.run("set tenancy.tenant_id = 'globex'");
    assert_eq!(by_workers(&mut client), ["globex"]);
}

/// A RESET leads workers, too, to no tenant, whatever default it brings back.
#[test]
fn workers_return_no_rows_of_a_default() {
    let world = World::new();
    assert_eq!(FAMILIES[0].table(), "notes_uuid");
    for (setting, default) in [("tenant_id", "acme"), ("tenant_id", "globex"), ("default_tenant", "globex")] {
        world.fixture.run(&format!("alter role {} set tenancy.{setting} = '{default}'", world.app));
        let mut client = world.connect();
        client.run("set tenancy.tenant_id = 'acme'");
        seal(&mut client);
        assert_eq!(by_workers(&mut client), ["acme"], "{setting} {default}");
        client.run("reset tenancy.tenant_id");
        assert!(visible(&mut client).is_empty(), "{setting} {default}");
        assert!(by_workers(&mut client).is_empty(), "{setting} {default}");
        unseal(&mut client);
        assert_eq!(by_workers(&mut client), [default], "{setting} {default}");
        world.fixture.run(&format!("alter role {} reset tenancy.{setting}", world.app));
    }
}
