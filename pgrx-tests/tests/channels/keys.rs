//! 44–50: keys, which PostgreSQL checks for all rows, whoever asks. What the doctor makes of them tells nothing.

use std::time::{Duration, Instant};

use tenancy_harness::{ACME, GLOBEX, Session, World, refuses_in_savepoint, sqlstate};

use crate::Shop;

/// A shop whose `lines` refer to orders by number alone, as before there were tenants: order 1 is acme's, 2 and 3 are
/// globex's.
fn with_lines(on_delete: &str) -> Shop<'static> {
    let shop = Shop::new();
    shop.weaken(&format!(
        "delete from orders; insert into orders values (1, '{acme}', 'acme 1'), (2, '{globex}', 'globex 2'), (3, '{globex}', '');
         alter table orders add constraint orders_id_key unique (id);
         create table lines (id integer, tenant_id uuid, order_id integer references orders (id) on delete {on_delete});
         insert into lines values (1, '{acme}', 1), (2, '{acme}', 2); select tenancy.protect('lines')",
        acme = ACME.id,
        globex = GLOBEX.id
    ));
    shop
}

fn mend_key(shop: &Shop<'_>) {
    // Acme's line on globex's order fits no scoped key.
    shop.fixture.run("delete from lines where id = 2");
    shop.mend("FK_CROSS_TENANT", "lines_order_id_fkey ON public.lines");
}

/// 44
#[test]
fn a_scoped_foreign_key_does_not_tell_a_hidden_row_from_none() {
    let shop = with_lines("no action");
    let mut app = shop.app();
    let mut tx = World::begin(&mut app, ACME);
    tx.run("insert into lines (order_id) values (3)");
    refuses_in_savepoint(&mut tx, "insert into lines (order_id) values (4)", "23503");
    drop(tx);
    mend_key(&shop);
    let mut tx = World::begin(&mut app, ACME);
    let said = [3, 4].map(|order| {
        let error = refuses_in_savepoint(&mut tx, &format!("insert into lines (order_id) values ({order})"), "23503");
        format!("{} {:?}", error.message(), error.detail()).replace(&order.to_string(), "N")
    });
    assert_eq!(said[0], said[1]);
    tx.run("insert into lines (order_id) values (1)");
}

/// 45
#[test]
fn a_scoped_foreign_key_neither_cascades_nor_blocks_across_tenants() {
    for (action, before) in [("cascade", "0"), ("restrict", "1")] {
        let shop = with_lines(action);
        let mut app = shop.app();
        let delete = |app: &mut tenancy_harness::postgres::Client| {
            let mut tx = World::begin(app, GLOBEX);
            let outcome = tx.batch_execute("delete from orders where id = 2");
            let state = sqlstate(&outcome).map(str::to_owned);
            if state.is_none() {
                tx.commit().unwrap();
            }
            state
        };
        let refused = delete(&mut app);
        // PostgreSQL 18 tells RESTRICT from what is checked later.
        let expected: &[_] = if action == "restrict" { &[Some("23503"), Some("23001")] } else { &[None] };
        assert!(expected.contains(&refused.as_deref()), "{action}: {refused:?}");
        let left = shop.fixture.superuser().value("select count(*) from lines where order_id = 2");
        assert_eq!(left.as_deref(), Some(before), "{action}");

        let shop = with_lines(action);
        mend_key(&shop);
        shop.mend("UNIQUE_GLOBAL", "orders_id_key ON public.orders");
        shop.fixture.run(&format!(
            "insert into orders values (2, '{0}', 'acme 2'); insert into lines values (3, '{0}', 2)",
            ACME.id
        ));
        assert_eq!(delete(&mut shop.app()), None, "{action}");
        let left = shop.fixture.superuser().value("select count(*) from lines where order_id = 2");
        assert_eq!(left.as_deref(), Some("1"), "{action}: acme's own line on acme's own order");
    }
}

/// 45
#[test]
fn what_tenants_share_takes_no_rows_of_others_along_unreported() {
    let shop = Shop::new();
    shop.fixture.run(&shop.fill_in(
        "create table places (id integer primary key); insert into places values (1), (2);
         select tenancy.classify('places', 'global');
         create table stays (tenant_id uuid, place integer references places on delete cascade);
         create index on stays (place); select tenancy.protect('stays');
         insert into stays select id, 1 from tenancy.tenants; insert into stays select id, 2 from tenancy.tenants",
    ));
    let mut app = shop.app();
    app.run("begin; select tenancy.set_tenant('acme'); delete from places where id = 1; commit");
    let globex = format!("select count(*) from stays where tenant_id = '{}'", GLOBEX.id);
    assert_eq!(shop.fixture.superuser().value(&globex).as_deref(), Some("1"), "one of two is gone");
    shop.mend("FK_CASCADE", "stays_place_fkey ON public.stays");
    app.refuses("begin; select tenancy.set_tenant('acme'); delete from places", "42501");
}

/// 46
#[test]
fn a_null_tenant_passes_no_foreign_key() {
    let shop = with_lines("no action");
    mend_key(&shop);
    let mut app = shop.app();
    let mut tx = World::begin(&mut app, ACME);
    for statement in ["insert into lines values (9, null, 3)", "update lines set tenant_id = null, order_id = 3"] {
        refuses_in_savepoint(&mut tx, statement, "42501");
    }
    drop(tx);
    shop.fixture.superuser().refuses("insert into lines values (9, null, 3)", "23502");
    shop.weaken("alter table lines alter tenant_id drop not null");
    shop.mend("TENANT_ID_NULLABLE", "public.lines");
}

/// 47
#[test]
fn set_null_leaves_the_tenant() {
    let shop = with_lines("set null");
    mend_key(&shop);
    let mut app = shop.app();
    let mut tx = World::begin(&mut app, ACME);
    assert_eq!(tx.affected("delete from orders where id = 1"), 1);
    assert_eq!(tx.texts("select concat_ws(' ', id, tenant_id, order_id) from lines"), [format!("1 {}", ACME.id)]);
}

/// 48
#[test]
fn a_scoped_key_does_not_tell_what_others_have() {
    let shop = Shop::new();
    shop.weaken(
        "alter table orders add constraint body_is_unique unique (body);
         create extension btree_gist; create table stays (tenant_id uuid, room integer, during int4range,
             constraint one_at_a_time exclude using gist (room with =, during with &&));
         select tenancy.protect('stays')",
    );
    let stay = "insert into stays (room, during) values (1, '[1,5)')";
    let mut app = shop.app();
    app.run(&format!("begin; select tenancy.set_tenant('globex'); {stay}; commit"));
    let attempts =
        ["insert into orders (id, body) values (9, 'globex 1')", "update orders set body = 'globex 1' where id = 1"];
    let mut tx = World::begin(&mut app, ACME);
    for attempt in attempts {
        let error = refuses_in_savepoint(&mut tx, attempt, "23505");
        assert_eq!(error.detail(), None, "the value itself is not shown: {error:?}");
    }
    let error = refuses_in_savepoint(&mut tx, stay, "23P01");
    assert_eq!(error.detail(), Some("Key conflicts with existing key."), "nor is the range");
    drop(tx);
    shop.mend("UNIQUE_GLOBAL", "body_is_unique ON public.orders");
    shop.mend("UNIQUE_GLOBAL", "one_at_a_time ON public.stays");
    for attempt in attempts.into_iter().chain([stay]) {
        let mut tx = World::begin(&mut app, ACME);
        assert_eq!(tx.affected(attempt), 1, "{attempt}");
    }
    let mut tx = World::begin(&mut app, ACME);
    tx.run(stay);
    tx.refuses(stay, "23P01");
}

/// 49
#[test]
fn nobody_waits_for_what_another_tenant_has_not_committed() {
    let shop = Shop::new();
    shop.weaken("alter table orders add constraint body_is_unique unique (body)");
    let insert = "insert into orders (id, body) values (9, 'new')";
    let attempt = |tenant| {
        let mut client = shop.app();
        let mut tx = World::begin(&mut client, tenant);
        tx.run("set local lock_timeout = '500ms'");
        let start = Instant::now();
        let outcome = tx.batch_execute(insert);
        (sqlstate(&outcome).map(str::to_owned), start.elapsed())
    };
    for scoped in [false, true] {
        if scoped {
            shop.mend("UNIQUE_GLOBAL", "body_is_unique ON public.orders");
        }
        let mut other = shop.app();
        let mut open = World::begin(&mut other, GLOBEX);
        open.run(insert);
        let (state, waited) = attempt(ACME);
        if scoped {
            assert_eq!(state, None);
            assert!(waited < Duration::from_millis(500), "{waited:?}");
        } else {
            assert_eq!(state.as_deref(), Some("55P03"), "what there is to be closed");
        }
    }
}
