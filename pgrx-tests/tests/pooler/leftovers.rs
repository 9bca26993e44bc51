//! What one client leaves on the connection, and what the next one finds.

use tenancy_harness::postgres::Client;
use tenancy_harness::{ACME, GLOBEX, PoolerConfig, Session, World, sqlstate};

use crate::{Shop, act, visible};

/// Statements that leave something behind, and one that uses it.
const LEFTOVERS: [(&str, &str); 3] = [
    ("create temp table notes_uuid (id integer, tenant_id uuid, body text)", "select body from notes_uuid"),
    ("declare held cursor with hold for select body from public.notes_uuid", "fetch all from held"),
    ("prepare kept as select body from public.notes_uuid", "execute kept"),
];

/// A table that stands before the real one of its name.
const TRAP: &str = LEFTOVERS[0].0;

/// A cursor that has read for the tenant that opened it.
const HELD: &str = LEFTOVERS[1].0;

/// Both ways in which the next client may name its tenant.
const WAYS_IN: [&str; 2] = ["select tenancy.set_tenant('globex')", "set local tenancy.tenant_id = 'globex'"];

fn shop(on_leftovers: &str) -> Shop {
    Shop::with(&PoolerConfig::default(), &[&format!("tenancy.on_leftovers = {on_leftovers}")])
}

/// Inserts a row that no trap may catch.
fn insert(client: &mut Client, way_in: &str) -> Result<(), tenancy_harness::postgres::Error> {
    let mut transaction = client.transaction()?;
    transaction.batch_execute(way_in)?;
    transaction.batch_execute("insert into notes_uuid (id, body) values (99, 'of globex')")?;
    transaction.commit()
}

#[test]
fn the_next_tenant_is_refused_until_somebody_cleans_up() {
    for (leave, using) in LEFTOVERS {
        let shop = Shop::new();
        let (mut one, mut other) = (shop.client(), shop.client());
        act(&mut one, ACME, leave);
        for way_in in WAYS_IN {
            let error = other.refuses(&format!("begin; {way_in}; {using}"), "55000");
            assert!(error.hint().is_some_and(|hint| hint.contains("DISCARD ALL")), "{leave}: {error:?}");
            other.run("rollback");
        }
        // The tenant whose they are can go on, from whichever client.
        act(&mut other, ACME, using);

        other.run("discard all");
        let mut transaction = World::begin(&mut other, GLOBEX);
        assert_eq!(visible(&mut transaction), ["globex"], "{leave}");
    }
}

#[test]
fn set_tenant_discards_where_the_server_says_so() {
    for (leave, using) in LEFTOVERS {
        let shop = shop("discard");
        let (mut one, mut other) = (shop.client(), shop.client());
        act(&mut one, ACME, leave);
        let mut transaction = World::begin(&mut other, GLOBEX);
        assert_eq!(visible(&mut transaction), ["globex"], "{leave}");
        transaction.commit().unwrap();

        let mut transaction = World::begin(&mut one, ACME);
        match transaction.simple_query(using) {
            Ok(_) => assert_eq!(leave, TRAP, "the name means the real table again, all else is gone"),
            error => assert!(["34000", "26000"].contains(&sqlstate(&error).unwrap_or_default()), "{leave}: {error:?}"),
        }
    }
}

#[test]
fn left_overs_are_ignored_where_the_server_says_so() {
    for (leave, using) in LEFTOVERS {
        let shop = shop("ignore");
        let (mut one, mut other) = (shop.client(), shop.client());
        act(&mut one, ACME, leave);
        let mut transaction = World::begin(&mut other, GLOBEX);
        match transaction.simple_query(using) {
            Ok(_) => assert_ne!(leave, HELD),
            // Rows that were read for a tenant are for it alone, whatever is ignored.
            error => assert_eq!((leave, sqlstate(&error)), (HELD, Some("55000"))),
        }
    }
}

#[test]
fn a_row_never_lands_in_the_former_tenants_temporary_table() {
    for way_in in WAYS_IN {
        let shop = Shop::new();
        let (mut one, mut other) = (shop.client(), shop.client());
        act(&mut one, ACME, TRAP);
        assert_eq!(sqlstate(&insert(&mut other, way_in)), Some("55000"), "{way_in}");
        let mut transaction = World::begin(&mut one, ACME);
        assert_eq!(transaction.value("select count(*) from pg_temp.notes_uuid").as_deref(), Some("0"), "{way_in}");
        drop(transaction);
        other.run("discard all");
        insert(&mut other, way_in).unwrap();
        assert_eq!(shop.owners_of("of globex"), [GLOBEX.id], "{way_in}");
    }

    let shop = shop("discard");
    let (mut one, mut other) = (shop.client(), shop.client());
    act(&mut one, ACME, TRAP);
    insert(&mut other, WAYS_IN[0]).unwrap();
    assert_eq!(shop.owners_of("of globex"), [GLOBEX.id]);
}

#[test]
fn a_role_that_may_not_make_temporary_tables_lays_no_trap() {
    // Nor can a client that acts for no tenant, whose left-overs are nobody's.
    let shop = Shop::new();
    let database = shop.world.fixture.database();
    shop.world.fixture.run(&format!(
        "revoke temporary on database {database} from public; revoke temporary on database {database} from {}",
        shop.world.app
    ));
    let (mut one, mut other) = (shop.client(), shop.client());
    one.refuses(TRAP, "42501");
    insert(&mut other, WAYS_IN[0]).unwrap();
    assert_eq!(shop.owners_of("of globex"), [GLOBEX.id]);
}

#[test]
fn sequence_values_are_not_told_to_the_next_tenant() {
    let shop = Shop::new();
    shop.world.fixture.run(&format!(
        "create sequence drawn; grant usage on sequence drawn to {}; select tenancy.grant_access('{}')",
        shop.world.app, shop.world.app
    ));
    let (mut one, mut other) = (shop.client(), shop.client());
    act(&mut one, ACME, "select nextval('drawn')");
    other.refuses("begin; select tenancy.set_tenant('globex'); select lastval()", "55000");
    other.run("rollback");
    act(&mut one, ACME, "select nextval('drawn'), lastval()");
}
