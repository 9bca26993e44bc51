//! Values outlive what they were read from, where PostgreSQL lets them.

use tenancy_harness::{Session, World};

use crate::context;

/// A procedure that commits, lets the backend forget the tenant, and uses its arguments then.
const PROCEDURE: &str = "
    create procedure outlive(key text, id uuid, rounds integer) language plpgsql as $$
    begin
      commit;
      for i in 1 .. rounds loop
        perform set_config('tenancy.tenant_id', '', false);
        perform set_config('tenancy.user_id', repeat(chr(120 + i % 5), 1 + i % 200), false);
        perform tenancy.current_tenant();
        commit;
        perform set_config('tenancy.tenant_id', overlay(id::text placing upper(substr(id::text, 1 + i % 30, 1))
                                                        from 1 + i % 30), false);
        perform tenancy.current_tenant();
        commit;
        if key <> 'acme' or id <> 'aaaaaaaa-0000-4000-8000-000000000001' then
          raise exception 'round %: % %', i, key, id;
        end if;
      end loop;
    end $$";

#[test]
fn the_arguments_of_a_procedure_survive_its_commits() {
    let world = World::new();
    world.fixture.run(PROCEDURE);
    let mut client = world.connect();
    for setting in ["set tenancy.tenant_id = 'acme'", "select tenancy.set_tenant('acme', false)"] {
        client.run(setting);
        client.run("call outlive(tenancy.current_key(), tenancy.current_tenant(), 1500)");
    }
}

#[test]
fn the_arguments_survive_when_the_tenant_is_the_default() {
    let world = World::new();
    world.fixture.run(PROCEDURE);
    world.fixture.run(&format!("alter role {} set tenancy.default_tenant = 'acme'", world.app));
    let mut client = world.connect();
    client.run("call outlive(tenancy.current_key(), tenancy.current_tenant(), 1500)");
    client.run("reset tenancy.tenant_id");
    assert_eq!(context(&mut client), "acme");
}

#[test]
fn the_arguments_survive_where_the_library_comes_in_with_the_call() {
    let world = World::within(tenancy_harness::Fixture::without_preload());
    world.fixture.run(PROCEDURE);
    let mut client = world.connect();
    client.run("set tenancy.tenant_id = 'acme'");
    client.run("call outlive(tenancy.current_key(), tenancy.current_tenant(), 1500)");
}
