//! The application's user is frozen with the tenant.

use tenancy_harness::{Session, World, refuses_in_savepoint};

use crate::{seal, sealed, unseal};

/// The user that the event log records.
#[track_caller]
fn recorded(session: &mut impl Session) -> String {
    session.run("select tenancy.create_plan('p' || gen_random_uuid())");
    session.value("select coalesce(user_id, 'nobody') from tenancy.event_log order by id desc limit 1").unwrap()
}

#[test]
fn another_user_is_refused() {
    let world = World::new();
    let mut client = world.connect();
    client.run("select tenancy.set_tenant('acme', false); set tenancy.user_id = 'alice'");
    seal(&mut client);
    for change in [
        "set tenancy.user_id = 'bob'",
        "set tenancy.user_id = ''",
        "set local tenancy.user_id = 'bob'",
        "select set_config('tenancy.user_id', 'bob', true)",
        "update pg_settings set setting = 'bob' where name = 'tenancy.user_id'",
    ] {
        let mut tx = client.transaction().unwrap();
        refuses_in_savepoint(&mut tx, change, "42501");
        tx.run("set local tenancy.user_id = 'alice'; set local tenancy.request_id = 'r1'");
        assert_eq!(tx.value("show tenancy.user_id").unwrap(), "alice", "{change}");
    }
    unseal(&mut client);
    client.run("set tenancy.user_id = 'bob'");
}

#[test]
fn no_user_stays_no_user() {
    let world = World::new();
    let mut client = sealed(&world);
    client.refuses("set tenancy.user_id = 'bob'", "42501");
    client.run("set tenancy.user_id = ''");
}

#[test]
fn a_reset_leads_to_no_user() {
    let world = World::new();
    for default in ["alice", "bob"] {
        let options = format!("-c tenancy.user_id={default}");
        let mut client = world.fixture.try_connect("postgres", &options).unwrap();
        client.run("set tenancy.user_id = 'alice'; select tenancy.set_tenant('acme', false)");
        seal(&mut client);
        assert_eq!(recorded(&mut client), "alice");
        client.run("reset all");
        assert_eq!(recorded(&mut client), "nobody", "{default}");
        client.run("set tenancy.user_id = 'alice'");
        assert_eq!(recorded(&mut client), "alice");
        client.run("reset tenancy.user_id");
        unseal(&mut client);
        assert_eq!(recorded(&mut client), default);
    }
}
