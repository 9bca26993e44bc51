//! Partitions and inheritance children: each row once, whatever table is named.

use tenancy_harness::{ACME, Session};

use crate::Shop;

fn partitioned() -> Shop {
    Shop::with(
        "create table parts (id integer, tenant_id uuid not null, item text, primary key (id)) partition by range (id);
         create table parts_1 partition of parts for values from (0) to (10);
         create table parts_2 (item text, extra int, tenant_id uuid not null, id integer not null);
         alter table parts_2 drop extra; alter table parts attach partition parts_2 for values from (10) to (20);
         select tenancy.protect('parts'); select tenancy.audit('parts', redact => '{}')",
    )
}

fn entries(shop: &Shop) -> Vec<String> {
    shop.superuser().texts("select concat_ws(' ', tbl, op, row_key ->> 'id', old_row ->> 'item', new_row ->> 'item', changed) from tenancy.audit_log order by id")
}

#[test]
fn a_row_is_recorded_once_as_the_parents() {
    let shop = partitioned();
    shop.act("acme", "insert into parts (id, item) values (1, 'a'), (11, 'b')");
    shop.act("acme", "insert into parts_1 (id, item) values (2, 'c'); update parts_2 set item = 'B'; update parts set item = item || '!'");
    shop.act("acme", "delete from parts_2 where id = 11; update parts set id = id + 10 where id = 2; delete from parts where id = 12");
    let all = entries(&shop);
    assert_eq!(
        all[..7],
        [
            "parts INSERT 1 a",
            "parts INSERT 11 b",
            "parts INSERT 2 c",
            "parts UPDATE 11 b B {item}",
            "parts UPDATE 1 a a! {item}",
            "parts UPDATE 2 c c! {item}",
            "parts UPDATE 11 B B! {item}",
        ]
    );
    assert_eq!(all[7..], ["parts DELETE 11 B!", "parts UPDATE 12 c! c! {id}", "parts DELETE 12 c!"]);
}

/// PostgreSQL 18.6 hands what a MERGE has inserted to the triggers once more, in the place of what it updates.
#[test]
fn a_merge_that_inserts_and_updates_is_recorded_as_it_is() {
    let shop = partitioned();
    shop.act("acme", "insert into parts (id, item) values (1, 'a'), (11, 'b')");
    let merge = "merge into parts p using (values (2, 'two'), (1, 'one'), (12, 'twelve'), (11, 'eleven')) s (id, item) on p.id = s.id
                   when matched then update set item = s.item when not matched then insert (id, item) values (s.id, s.item)";
    let mut ways = vec![merge.to_owned(), format!("explain (analyze, costs off) {merge}")];
    if shop.fixture.major_version() >= 17 {
        ways.push(format!("with merged as ({merge} returning p.id) select count(*) from merged"));
    }
    for way in ways {
        shop.act(
            "acme",
            &format!("delete from parts where id in (2, 12); update parts set item = 'a'; set local enable_hashjoin = off; set local enable_mergejoin = off; {way}"),
        );
        let all = entries(&shop);
        let mut written = all[all.len() - 4..].to_vec();
        written.sort();
        let wanted = [
            "parts INSERT 12 twelve",
            "parts INSERT 2 two",
            "parts UPDATE 1 a one {item}",
            "parts UPDATE 11 a eleven {item}",
        ];
        assert_eq!(written, wanted, "{way}");
    }
}

#[test]
fn a_row_that_moves_to_another_partition_is_updated() {
    let shop = partitioned();
    shop.act("acme", "insert into parts (id, item) values (1, 'a'), (2, 'b'), (15, 'c')");
    shop.act("acme", "update parts set id = id + 10, item = item || id where id < 10");
    assert_eq!(entries(&shop)[3..], ["parts UPDATE 11 a a1 {id,item}", "parts UPDATE 12 b b2 {id,item}"]);
}

#[test]
fn a_row_that_is_refused_on_the_move_is_deleted() {
    let shop = partitioned();
    shop.fixture.run(
        "create function refuse() returns trigger language plpgsql as 'begin if new.id = 12 then return null; end if; return new; end';
         create trigger refuse before insert on parts_2 for each row execute function refuse()",
    );
    shop.act("acme", "insert into parts (id, item) values (1, 'a'), (2, 'b'), (3, 'c')");
    shop.act("acme", "update parts set id = id + 10 where id < 10");
    let mut rest = entries(&shop).split_off(3);
    rest.sort();
    assert_eq!(
        rest,
        ["parts DELETE 1 a", "parts DELETE 2 b", "parts DELETE 3 c", "parts INSERT 11 a", "parts INSERT 13 c"]
    );
}

#[test]
fn a_partition_that_comes_later_is_audited() {
    let shop = partitioned();
    shop.fixture.run(
        "create table parts_3 partition of parts for values from (20) to (30) partition by hash (id);
         create table parts_3_1 partition of parts_3 for values with (modulus 1, remainder 0);
         create table parts_4 (id integer not null, tenant_id uuid not null, item text); alter table parts attach partition parts_4 for values from (30) to (40)",
    );
    let acme = ACME.id;
    for (table, id) in [("parts", 20), ("parts_3", 21), ("parts_3_1", 22), ("parts_4", 30), ("parts", 31)] {
        shop.fixture.run(&format!("insert into {table} (id, tenant_id) values ({id}, '{acme}')"));
    }
    assert_eq!(entries(&shop), [20, 21, 22, 30, 31].map(|id| format!("parts INSERT {id}")));
    shop.fixture.run("alter table parts detach partition parts_4; update parts_4 set item = 'x' where id = 30");
    assert_eq!(entries(&shop)[5..], ["parts_4 UPDATE 30 x {item}"]);
    // What has left is audited by itself, and can be unaudited by itself.
    shop.fixture.run("select tenancy.unaudit('parts_4'); select tenancy.unaudit('parts'); update parts set item = 'y'; update parts_4 set item = 'y'; update parts_3_1 set item = 'y'");
    assert_eq!(entries(&shop).len(), 6);
}

#[test]
fn a_part_is_not_audited_by_itself() {
    let shop = partitioned();
    shop.superuser().refuses("select tenancy.unaudit('parts_1')", "55000");
    shop.superuser().refuses("select tenancy.audit('parts_1')", "55000");
}

#[test]
fn truncate_names_the_partitions() {
    let shop = partitioned();
    shop.fixture.run("truncate parts_1; truncate parts");
    let mut all = entries(&shop);
    all[1..].sort();
    assert_eq!(all, ["parts_1 TRUNCATE", "parts TRUNCATE", "parts_1 TRUNCATE", "parts_2 TRUNCATE"]);
}

#[test]
fn inheritance_children_are_audited() {
    let shop = Shop::with(
        "create table parent (id integer primary key, tenant_id uuid not null, item text);
         create table child (extra text, primary key (id)) inherits (parent);
         select tenancy.protect('parent'); select tenancy.audit('parent')",
    );
    shop.act(
        "acme",
        "insert into child (id, item, extra) values (1, 'a', 'x'); insert into parent (id, item) values (2, 'b')",
    );
    shop.act("acme", "update parent set item = item || '!'; update child set extra = 'y'; delete from only parent");
    assert_eq!(
        entries(&shop),
        [
            "child INSERT 1 a",
            "parent INSERT 2 b",
            "parent UPDATE 2 b b! {item}",
            "parent UPDATE 1 a a! {item}",
            "child UPDATE 1 a! a! {extra}",
            "parent DELETE 2 b!"
        ]
    );
    shop.fixture.run("create table later () inherits (parent)");
    shop.act("acme", "insert into later (id) values (7)");
    assert_eq!(entries(&shop)[6..], ["later INSERT 7"]);
}
