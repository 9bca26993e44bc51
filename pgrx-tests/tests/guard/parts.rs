//! What becomes a part of a protected table is protected on the way in.

use tenancy_harness::{Fixture, Session, refuses_in_savepoint};

use crate::Shop;

/// `parts`, protected and partitioned by id, with one partition; `parent`, protected.
fn with_parents() -> Shop {
    let shop = Shop::new();
    shop.fixture.run(&format!(
        "set role {}; create table parts (id integer, tenant_id uuid not null, body text) partition by range (id);
         create table parts_0 partition of parts for values from (100) to (200);
         select tenancy.protect('parts');
         create table parent (id integer, tenant_id uuid not null, body text); select tenancy.protect('parent')",
        shop.owner
    ));
    shop
}

#[test]
fn a_part_is_protected_as_it_comes() {
    let shop = with_parents();
    let mut owner = shop.fixture.connect(&shop.owner);
    for (make, parts) in [
        ("create table part partition of parts default", "part"),
        ("{part}; alter table parts attach partition part default", "part"),
        ("create table part () inherits (parent)", "part"),
        ("create table part (extra text) inherits (parent)", "part"),
        ("{part}; alter table part inherit parent", "part"),
        (
            "create table part partition of parts default partition by hash (id);
             create table part_1 partition of part for values with (modulus 1, remainder 0)",
            "part, part_1",
        ),
        (
            "create table part (id integer, tenant_id uuid not null, body text) partition by hash (id);
             create table part_1 partition of part for values with (modulus 1, remainder 0);
             alter table parts attach partition part default",
            "part, part_1",
        ),
        ("do $$ begin execute 'create table part partition of parts default'; end $$", "part"),
    ] {
        owner.run(&make.replace("{part}", &Shop::table("part")));
        let recorded = "select string_agg(relation::text, ', ' order by relation::text collate \"C\")
                        from tenancy.protected_tables where relation::text in ('part', 'part_1')";
        assert_eq!(shop.fixture.superuser().value(recorded).as_deref(), Some(parts), "{make}");
        for part in parts.split(", ") {
            assert!(shop.is_whole(part), "{make}");
            owner.refuses(&format!("alter table {part} disable row level security"), "42501");
            owner.refuses(&format!("truncate {part}"), "42501");
        }
        owner.run("drop table part");
    }
    assert!(shop.is_whole("parts") && shop.is_whole("parent"));
}

#[test]
fn a_part_comes_with_its_rows_and_sheds_its_grants() {
    let shop = with_parents();
    let mut owner = shop.fixture.connect(&shop.owner);
    owner.run(&format!("{}; grant all on part to {}", Shop::table("part"), shop.app));
    owner.run("alter table parts attach partition part for values from (0) to (10)");
    assert_eq!(shop.seen_by_acme("part"), ["acme"]);
    shop.fixture.connect(&shop.app).refuses("truncate part", "42501");
}

#[test]
fn a_part_takes_its_parents_kind() {
    let shop = with_parents();
    let mut owner = shop.fixture.connect(&shop.owner);
    owner.run("create table part (id integer, tenant_id uuid, body text); select tenancy.protect('part', kind => 'append_only')");
    owner.run("alter table parts attach partition part for values from (0) to (10)");
    let kind = "select kind from tenancy.protected_tables where relation = 'part'::regclass";
    assert_eq!(shop.fixture.superuser().value(kind).as_deref(), Some("tenant"));
    assert!(shop.is_whole("part"));
}

#[test]
fn what_cannot_be_protected_does_not_come_in() {
    let shop = with_parents();
    let mut owner = shop.fixture.connect(&shop.owner);
    owner.run("create table loose (id integer, tenant_id uuid, body text); insert into loose values (1, null, 'x')");
    let mut tx = owner.transaction().unwrap();
    refuses_in_savepoint(&mut tx, "alter table loose inherit parent", "42804");
    refuses_in_savepoint(&mut tx, "create temporary table own () inherits (parent)", "0A000");
    drop(tx);
    let mut superuser = shop.fixture.superuser();
    superuser.run("create foreign data wrapper nowhere; create server nowhere foreign data wrapper nowhere");
    superuser.refuses("create foreign table far partition of parts default server nowhere", "42809");
}

#[test]
fn a_part_that_leaves_stays_protected() {
    let shop = with_parents();
    let mut owner = shop.fixture.connect(&shop.owner);
    owner.run("alter table parts detach partition parts_0");
    owner.refuses("alter table parts_0 disable row level security", "42501");
    owner.run("alter table parts attach partition parts_0 for values from (0) to (10)");
    owner.run("alter table parts detach partition parts_0 concurrently");
    owner.refuses("alter table parts_0 disable row level security", "42501");
}

#[test]
fn a_drifted_part_is_refused_through_its_parent_and_by_itself() {
    let shop = with_parents();
    let mut owner = shop.fixture.connect(&shop.owner);
    for statement in [
        "alter table parts_0 disable row level security",
        "drop policy tenant_isolation_floor on parts_0",
        "alter table only parts_0 alter tenant_id drop default",
        "alter table parts alter tenant_id drop default",
        "alter table parts rename tenant_id to org_id",
        "alter table parts disable trigger user",
    ] {
        owner.refuses(statement, "42501");
    }
    owner.refuses("grant truncate on parts_0 to public", "42501");
}

#[test]
fn with_the_guard_off_parts_stay_as_they_are() {
    let shop = with_parents();
    shop.fixture.run(&format!(
        "set tenancy.guard_ddl = off; create table part partition of parts default; alter table part owner to {}",
        shop.owner
    ));
    assert_eq!(shop.protected("part"), "0");
    // The next command on the tree takes it in.
    shop.fixture.connect(&shop.owner).run("alter table parts add column extra text");
    assert_eq!(shop.protected("part"), "1");
}

/// Counted in look-ups, of which time would be made.
#[test]
fn a_command_costs_what_it_touches() {
    let shop = with_parents();
    let mut owner = shop.fixture.connect(&shop.owner);
    owner.run(
        "do $$ begin for n in 1..300 loop
           execute format('create table parts_%s partition of parts for values from (%s) to (%s)', n, 1000 + n, 1001 + n);
         end loop; end $$;
         create table part (id integer, tenant_id uuid not null, body text); select tenancy.protect('part')",
    );
    for command in [
        "alter table parts attach partition part for values from (0) to (10)",
        "comment on table parts is 'many'",
        "alter table parts_7 add check (id > 0)",
        "alter table parts detach partition part",
    ] {
        let mut tx = owner.transaction().unwrap();
        tx.run(command);
        let looked_up = "select sum(seq_tup_read + idx_scan)::int8 from pg_stat_xact_sys_tables where relname in ('pg_policy', 'pg_trigger')";
        let looked_up: i64 = tx.query_one(looked_up, &[]).unwrap().get(0);
        assert!(looked_up < 200, "{command}: {looked_up}");
        tx.commit().unwrap();
    }
    assert!(shop.is_whole("parts") && shop.is_whole("part"));
    owner.refuses("begin; alter table parts alter tenant_id drop default", "42501");
    owner.refuses(
        "rollback; begin; comment on table parts is null; alter table only parts_299 no force row level security",
        "42501",
    );
}

/// What a session's first command has changed, the library, which it loads, was not there to hear.
#[test]
fn a_session_without_the_library_is_guarded_from_its_first_command() {
    let fixture = Fixture::without_preload();
    fixture.run(
        "create table parts (id integer, tenant_id uuid not null) partition by range (id);
         create table parts_0 partition of parts for values from (0) to (10);
         create table parts_1 partition of parts for values from (10) to (20); select tenancy.protect('parts')",
    );
    for command in [
        "alter table parts_0 disable row level security",
        "alter table parts alter tenant_id drop default",
        "begin; alter table parts add column note text; savepoint s; drop policy tenant_isolation on parts_1",
        "begin; alter table parts add column note text; rollback; alter table parts_1 no force row level security",
        "grant truncate on parts_0 to public",
        "begin; select 1; grant truncate on parts_0 to public",
    ] {
        fixture.superuser().refuses(command, "42501");
    }
    fixture.superuser().run(
        "create table loose (id integer, tenant_id uuid not null); alter table parts attach partition loose default",
    );
    let forced = "select relforcerowsecurity::text from pg_class where relname = 'loose'";
    assert_eq!(fixture.superuser().value(forced).as_deref(), Some("true"));
}
