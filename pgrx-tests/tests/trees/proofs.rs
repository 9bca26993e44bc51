//! `prove`, `why`, `doctor` and the guard know of trees.

use tenancy_harness::Session;

use crate::{Forest, begin, id};

#[test]
fn prove_attacks_from_above() {
    let forest = Forest::new();
    let mut superuser = forest.fixture.superuser();
    let findings = superuser.texts("select format('%s %s %s %s', tbl, attack, blocked, detail) from tenancy.prove() where blocked is distinct from true");
    assert!(findings.is_empty(), "{findings:?}");
    let count = superuser.value("select count(*) from tenancy.prove() where attack = 'write_below' and blocked");
    assert_eq!(count.as_deref(), Some("6"));
    // Nothing is left of it.
    assert_eq!(superuser.value("select count(*) from tenancy.tenants").as_deref(), Some("8"));

    let open = |policy: &str, clause: &str| {
        let mut superuser = forest.fixture.superuser();
        superuser.run(&format!(
            "set tenancy.guard_ddl = off;
             alter policy tenant_isolation_floor_{policy} on t_uuid {clause}; alter policy tenant_isolation_{policy} on t_uuid {clause}"
        ));
        let broken = superuser.texts("select attack from tenancy.prove('t_uuid') where not blocked");
        superuser.run("select tenancy.protect('t_uuid', kind => 'tree')");
        broken
    };
    let below = "tenant_id = any (tenancy.visible_tenants())";
    assert_eq!(open("delete", &format!("using ({below})")), ["write_below"]);
    assert_eq!(open("update", &format!("using ({below})")), ["write_below"]);
    assert_eq!(open("insert", &format!("with check ({below})")), ["write_below"]);
}

#[test]
fn why_tells_a_row_of_a_tenant_below_from_others() {
    let forest = Forest::new();
    let mut client = forest.connect();
    let key = |tenant: u32| format!("jsonb_build_object('tenant_id', '{}', 'id', 1)", id(tenant));
    let asked = |tenant: u32| {
        format!(
            "select format('%s %s %s', check_name, passed, detail) from tenancy.why('t_uuid', {})
              where check_name in ('row', 'row_tenant', 'can_select', 'can_update', 'can_delete')",
            key(tenant)
        )
    };
    let mut tx = begin(&mut client, 1);
    let below = tx.texts(&asked(111));
    assert!(below[0].starts_with("row t ") && below[1].contains("below"), "{below:?}");
    assert_eq!(below[2], "can_select t yes");
    assert!(below[3].starts_with("can_update f ") && below[4].starts_with("can_delete f "), "{below:?}");
    let own = tx.texts(&asked(1));
    assert_eq!(own[2..], ["can_select t yes", "can_update t yes", "can_delete t yes"]);
    // What is not below, and what is not at all, is told in the same words.
    assert_eq!(tx.texts(&asked(2)), tx.texts(&asked(999)));
    assert!(tx.texts(&asked(2)).concat().contains("no row with this key is visible"));
    drop(tx);
    let mut superuser = forest.fixture.superuser();
    superuser.run("set tenancy.tenant_id = '1'");
    assert!(superuser.texts(&asked(111))[1].contains("below"));
    assert!(superuser.texts(&asked(2))[1].contains("another tenant"));
}

#[test]
fn the_doctor_finds_nothing_in_trees_and_protect_schema_keeps_them() {
    let forest = Forest::new();
    let mut superuser = forest.fixture.superuser();
    let findings = superuser.texts(
        "select concat_ws(' ', code, object, detail) from tenancy.doctor()
          where object like '%t\\_%' and code not in ('SERVER_TOO_OLD', 'TEMP_FOR_TENANTS') and severity <> 'info'",
    );
    assert!(findings.is_empty(), "{findings:?}");
    assert!(superuser.texts("select tenancy.protect_schema('public')").is_empty());
    let kinds = superuser.texts("select distinct kind from tenancy.protected_tables");
    assert_eq!(kinds, ["tree"]);
}

#[test]
fn the_guard_refuses_to_weaken_a_tree() {
    let forest = Forest::new();
    let owner = forest.fixture.role("owner");
    forest.fixture.run(&format!("grant all on schema public to {owner}; alter table t_uuid owner to {owner}"));
    let mut client = forest.fixture.connect(&owner);
    for statement in [
        "drop policy tenant_isolation_floor_select on t_uuid",
        "drop policy tenant_isolation_update on t_uuid",
        "alter policy tenant_isolation_floor_delete on t_uuid using (true)",
        "alter policy tenant_isolation on t_uuid using (tenant_id is not null)",
        "alter table t_uuid disable row level security",
    ] {
        client.refuses(statement, "42501");
    }
}
