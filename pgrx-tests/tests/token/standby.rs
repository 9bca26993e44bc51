//! A hot standby has the keys, and hears of their removal.

use tenancy_harness::{Cluster, Config, Fixture, Session, World};

use crate::{READ, Signed, visible};

#[test]
fn tokens_are_verified_on_a_standby_until_their_key_is_removed() {
    let primary = Cluster::start("primary", &Config::default());
    let standby = primary.standby();
    let signed = Signed::within(World::within(Fixture::on(&primary)));
    standby.wait_for_catch_up(&primary);
    let mut client = standby.connect_to(signed.world.fixture.database(), &signed.role);
    client.refuses("select tenancy.set_tenant('acme', false)", "42501");
    client.run(&format!("select tenancy.authenticate('{}', false)", signed.token("acme", "alice")));
    assert_eq!(visible(&mut client), ["acme"]);
    signed.world.fixture.run("select tenancy.remove_jwt_key('key-1')");
    standby.wait_for_catch_up(&primary);
    client.refuses(READ, "28000");
}
