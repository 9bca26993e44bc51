//! What is written through a parent counts as well: a part counts with its parent, or not at all.

use tenancy_harness::Session;

use crate::Shop;

const NOTES: &str = "create table notes (id integer not null, tenant_id uuid not null, body text)";

/// A shop with another tree of tables, `notes`, that is protected and does not count.
fn shop(tree: &str) -> Shop {
    let shop = Shop::new();
    shop.fixture.run(&format!(
        "{tree}; select tenancy.protect('notes'); grant select, insert, update, delete on notes to {};
         select tenancy.create_resource('notes', 'rows'); select tenancy.create_resource('size', 'bytes');
         select tenancy.set_quota('acme', 'notes', 2), tenancy.set_quota('acme', 'size', 1000)",
        shop.app
    ));
    shop
}

#[test]
fn a_part_of_a_table_that_does_not_count_is_refused() {
    for part in [
        "create table notes_1 partition of notes default",
        "create table middle partition of notes default partition by list (id); create table notes_1 partition of middle default",
        "create table notes_1 () inherits (notes)",
    ] {
        let tree = if part.contains("inherits") { NOTES } else { &format!("{NOTES} partition by range (id)") };
        let shop = shop(&format!("{tree}; {part}"));
        let mut superuser = shop.fixture.superuser();
        let error = superuser.refuses("select tenancy.attach_quota('notes_1', 'notes')", "55000");
        assert_eq!(error.detail(), Some("What is written through the parent would not be counted."));
        assert!(error.hint().is_some());
        let left = "select (select count(*) from tenancy.quota_tables where relation = 'notes_1'::regclass)
                         + (select count(*) from pg_trigger where tgrelid = 'notes_1'::regclass and tgname like 'tenancy_quota%')";
        assert_eq!(superuser.value(left).as_deref(), Some("0"), "{part}");
        superuser.run("select tenancy.attach_quota('notes', 'notes')");
        let mut acme = shop.acme();
        acme.run("insert into notes (id) values (1), (2)");
        acme.refuses("insert into notes (id) values (3)", "53400");
        shop.is_exact();
    }
}

#[test]
fn a_table_that_counts_becomes_no_part_of_one_that_does_not() {
    let shop = shop(&format!("{NOTES} partition by range (id)"));
    let mut superuser = shop.fixture.superuser();
    superuser.run(&format!(
        "{}; create table parent (id integer not null, tenant_id uuid not null); create table counted (tenant_id uuid not null);
         select tenancy.protect(t) from unnest('{{part, parent, counted}}'::regclass[]) t;
         select tenancy.attach_quota('part', 'notes'), tenancy.attach_quota('counted', 'notes')",
        NOTES.replace("notes", "part")
    ));
    superuser.refuses("alter table notes attach partition part default", "55000");
    superuser.refuses("alter table part inherit parent", "55000");
    superuser.refuses("create table child () inherits (counted, parent)", "55000");
    superuser.refuses("create table child () inherits (part); alter table child inherit parent", "55000");
    // For another resource it would not count either.
    superuser.run("select tenancy.attach_quota('notes', 'size')");
    superuser.refuses("alter table notes attach partition part default", "55000");
    superuser.run("select tenancy.attach_quota('notes', 'notes'); alter table notes attach partition part default");
    assert_eq!(
        superuser.texts(
            "select r.name from tenancy.quota_tables t join tenancy.resources r on r.id = t.resource_id
                         where relation = 'part'::regclass order by 1"
        ),
        ["notes", "size"]
    );
    let mut acme = shop.acme();
    acme.run("insert into notes (id) values (1); update notes set body = repeat('x', 100)");
    shop.is_exact();
    assert!(shop.used("acme", "size") > 100);
}

#[test]
fn a_part_of_two_tables_counts_with_both_or_neither() {
    let shop = shop(NOTES);
    let mut superuser = shop.fixture.superuser();
    superuser.run(
        "create table other (id integer not null, tenant_id uuid not null, body text); create table part () inherits (notes);
         select tenancy.protect(t) from unnest('{other, part}'::regclass[]) t;
         select tenancy.attach_quota('notes', 'notes'), tenancy.attach_quota('other', 'notes'); alter table part inherit other",
    );
    for table in ["notes", "other"] {
        let error = superuser.refuses(&format!("select tenancy.detach_quota('{table}', 'notes')"), "55000");
        assert!(error.hint().unwrap().contains("NO INHERIT"));
    }
    // Others' DDL goes on.
    superuser.run("create table unrelated (a integer); alter table part no inherit other; select tenancy.detach_quota('other', 'notes')");
    shop.is_exact();
    superuser.refuses("alter table part inherit other", "55000");
}

#[test]
fn bytes_are_not_counted_in_columns_that_the_parent_does_not_have() {
    let shop = shop(NOTES);
    let mut superuser = shop.fixture.superuser();
    superuser.run("create table wide (more text) inherits (notes)");
    let error = superuser.refuses("select tenancy.attach_quota('notes', 'size')", "55000");
    assert!(error.detail().unwrap().contains("columns of its own"), "{error:?}");
    // Its rows can be counted.
    superuser.run(
        "select tenancy.attach_quota('notes', 'notes'); drop table wide; select tenancy.attach_quota('notes', 'size')",
    );
    superuser.refuses("create table wide (more text) inherits (notes)", "55000");
    superuser.run("create table narrow () inherits (notes)");
    for wider in ["alter table narrow add column more text", "alter table only notes drop column body"] {
        superuser.refuses(wider, "55000");
    }
    superuser.run(&format!(
        "alter table notes add column more text default 'm'; grant select, insert, update, delete on narrow to {}",
        shop.app
    ));
    let mut acme = shop.acme();
    acme.run("insert into narrow (id, more) values (1, repeat('x', 500)); delete from notes");
    assert_eq!(shop.used("acme", "size"), 0);
    shop.is_exact();
}

#[test]
fn an_owner_s_own_trigger_counts_nothing() {
    let shop = Shop::new();
    let owner = shop.fixture.role("owner");
    shop.fixture.run(&format!(
        "grant create on schema public to {owner}; alter table orders owner to {owner}; select tenancy.set_quota('acme', 'orders', 2)"
    ));
    let mut client = shop.fixture.connect(&owner);
    client.run(
        "create trigger again after delete on orders referencing old table as r for each statement execute function tenancy.count_rows();
         create trigger another after insert on orders referencing new table as r for each statement execute function tenancy.count_rows()",
    );
    let mut acme = shop.acme();
    acme.run("insert into orders (body) values ('a'), ('b'); delete from orders where body = 'a'");
    shop.is_exact();
    acme.run("insert into orders (body) values ('c')");
    acme.refuses("insert into orders (body) values ('d')", "53400");
}
