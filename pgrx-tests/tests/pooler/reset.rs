//! What the pooler cleans up by itself: `server_reset_query`, DISCARD ALL unless set otherwise.

use tenancy_harness::{ACME, GLOBEX, PoolerConfig, Session, World};

use crate::{Shop, act, backend, key};

const LITTER: &str = "create temp table scratch (id integer);
     declare held cursor with hold for select body from notes_uuid;
     prepare kept as select 1;
     select tenancy.set_tenant('acme', is_local => false)";

/// What is on the connection: temporary tables, held cursors, statements of SQL's PREPARE, the session's tenant.
fn litter(session: &mut impl Session) -> String {
    let query = "select concat_ws(' ',
        (select count(*) from pg_class where relnamespace = pg_my_temp_schema()),
        (select count(*) from pg_cursors where is_holdable),
        (select count(*) from pg_prepared_statements where from_sql),
        current_setting('tenancy.tenant_id'))";
    session.value(query).expect("never NULL")
}

#[test]
fn by_transaction_it_is_not_run() {
    let shop = Shop::new();
    let (mut one, mut other) = (shop.client(), shop.client());
    act(&mut one, ACME, LITTER);
    assert_eq!(litter(&mut other), "1 1 1 acme");
}

#[test]
fn always_means_after_every_transaction() {
    let shop = Shop::with(&PoolerConfig::default().set("server_reset_query_always", "1"), &[]);
    let (mut one, mut other) = (shop.client(), shop.client());
    act(&mut one, ACME, LITTER);
    assert_eq!(litter(&mut other), "0 0 0 ");
    let mut transaction = World::begin(&mut other, GLOBEX);
    assert_eq!(key(&mut transaction), "globex");
}

#[test]
fn by_session_it_is_run_between_clients() {
    let shop = Shop::with(&PoolerConfig::default().set("pool_mode", "session"), &[]);
    let mut one = shop.client();
    act(&mut one, ACME, LITTER);
    let connection = backend(&mut one);
    assert_eq!(litter(&mut one), "1 1 1 acme", "the session is the client's own");
    drop(one);
    let mut other = shop.client();
    assert_eq!(backend(&mut other), connection);
    assert_eq!(litter(&mut other), "0 0 0 ");
}

#[test]
fn a_weaker_query_leaves_what_the_extension_then_refuses() {
    let config = PoolerConfig::default().set("pool_mode", "session").set("server_reset_query", "reset all");
    let shop = Shop::with(&config, &[]);
    let mut one = shop.client();
    act(&mut one, ACME, LITTER);
    drop(one);
    let mut other = shop.client();
    assert_eq!(litter(&mut other), "1 1 1 ");
    other.refuses("begin; select tenancy.set_tenant('globex')", "55000");
}

#[test]
fn discard_all_clears_the_connection_for_everybody() {
    let shop = Shop::new();
    let (mut one, mut other) = (shop.client(), shop.client());
    act(&mut one, ACME, LITTER);
    other.run("discard all");
    assert_eq!(litter(&mut one), "0 0 0 ");
    assert_eq!(key(&mut one), "none");
    let mut transaction = World::begin(&mut other, GLOBEX);
    assert_eq!(key(&mut transaction), "globex");
}
