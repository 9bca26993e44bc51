//! Statements that drivers prepare through the protocol.

use std::collections::BTreeSet;

use tenancy_harness::{ACME, GLOBEX, Pooler, PoolerConfig, PoolerProgram, Session, Tenant, World};

use crate::{Shop, backend};

const COUNT: &str = "select count(*) from notes_uuid where id > $1";

fn rows_of(tenant: Tenant) -> i64 {
    if tenant == ACME { World::MINE } else { World::OTHERS }
}

fn two_connections() -> PoolerConfig {
    PoolerConfig::default().set("default_pool_size", "2")
}

/// Enough for PostgreSQL to have changed to a generic plan.
const ROUNDS: usize = 14;

#[test]
fn a_prepared_statement_sees_the_tenant_of_each_transaction() {
    let shop = Shop::new();
    let mut clients = [shop.client(), shop.client()];
    let mut statements = Vec::new();
    for client in &mut clients {
        let set = client.prepare("select tenancy.set_tenant($1::text)").unwrap();
        statements.push((set, client.prepare(COUNT).unwrap()));
    }
    for round in 0..ROUNDS {
        let (client, tenant) = (round % 2, [ACME, GLOBEX][round / 2 % 2]);
        let (set, count) = &statements[client];
        let mut transaction = clients[client].transaction().unwrap();
        transaction.query_one(set, &[&tenant.key]).unwrap();
        let seen: i64 = transaction.query_one(count, &[&0]).unwrap().get(0);
        assert_eq!(seen, rows_of(tenant), "round {round}");
        transaction.commit().unwrap();
        // Without a tenant the same statement sees nothing.
        let seen: i64 = clients[client].query_one(count, &[&0]).unwrap().get(0);
        assert_eq!(seen, 0, "round {round}");
    }
}

#[test]
fn clients_that_move_from_one_connection_to_another_prepare_in_the_transaction() {
    let shop = Shop::with(&two_connections(), &[]);
    let mut client = shop.client();
    for tenant in [ACME, GLOBEX] {
        let mut transaction = World::begin(&mut client, tenant);
        let count = transaction.prepare(COUNT).unwrap();
        let seen: i64 = transaction.query_one(&count, &[&0]).unwrap().get(0);
        assert_eq!(seen, rows_of(tenant));
        transaction.commit().unwrap();
    }
}

#[test]
fn or_the_pooler_keeps_their_statements() {
    let program = PoolerProgram::newest();
    let version = program.version();
    let config = two_connections().program(program).set("max_prepared_statements", "50");
    if version < (1, 21) {
        let world = World::new();
        let complaints = Pooler::try_start(&world.fixture, &[&world.app], &config).expect_err("it can't, and says so");
        assert!(complaints.contains("max_prepared_statements"), "{complaints}");
        return;
    }
    let shop = Shop::with(&config, &[]);
    let mut clients = [shop.client(), shop.client()];
    let counts = clients.each_mut().map(|client| client.prepare(COUNT).unwrap());
    let mut used = [BTreeSet::new(), BTreeSet::new()];
    for round in 0..ROUNDS {
        // Both at once, so that both connections are in use; the one that was given back last is taken first.
        for client in [0, 1] {
            let tenant = [ACME, GLOBEX][(client + round / 2) % 2];
            clients[client].run(&format!("begin; select tenancy.set_tenant('{}')", tenant.key));
            used[client].insert(backend(&mut clients[client]));
            let seen: i64 = clients[client].query_one(&counts[client], &[&0]).unwrap().get(0);
            assert_eq!(seen, rows_of(tenant), "round {round}");
        }
        for client in &mut clients {
            client.run("commit");
        }
    }
    assert!(used.iter().all(|connections| connections.len() == 2), "nobody moved: {used:?}");
}

#[test]
fn they_are_no_left_overs() {
    let shop = Shop::new();
    let (mut one, mut other) = (shop.client(), shop.client());
    let mut transaction = World::begin(&mut one, ACME);
    let count = transaction.prepare(COUNT).unwrap();
    transaction.commit().unwrap();
    let mut transaction = World::begin(&mut other, GLOBEX);
    assert_eq!(transaction.value("select count(*) from notes_uuid").as_deref(), Some("30"));
    transaction.commit().unwrap();
    drop(count);
}
