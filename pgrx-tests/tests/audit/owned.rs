//! Undoing leaves to triggers what they set on each update, and nothing else.

use tenancy_harness::Session;

use crate::Shop;
use crate::revert::{acting, refused, revert, rows, transaction};
use crate::reverted::stays;

/// `touch` does what a trigger on each update does.
fn touched(body: &str) -> Shop {
    Shop::with(&format!(
        "create table notes (tenant_id uuid not null, id int primary key, item text, note text, status text default 'open', version int default 1,
           updated_at timestamptz default '2020-01-01', updated_by text default 'bob', created_at timestamptz default '2020-01-01');
         create function touch() returns trigger language plpgsql as $$ begin {body} return new; end $$;
         create trigger touch before update on notes for each row execute function touch();
         select tenancy.protect('notes'); select tenancy.audit('notes')"
    ))
}

#[test]
fn what_triggers_set_on_each_update_is_theirs() {
    let is = "(select id, item, note, status, created_at from notes)";
    for (body, columns) in [
        ("new.updated_at := now();", "updated_at"),
        ("new.updated_at := clock_timestamp();", "updated_at"),
        (
            "if new is distinct from old then new.updated_at := now(); new.updated_by := current_user; end if;",
            "updated_at, updated_by",
        ),
        ("new.updated_by := current_setting('tenancy.user_id', true);", "updated_by"),
        ("new.updated_by := nullif(current_setting('tenancy.user_id', true), '');", "updated_by"),
        ("new.version := old.version + 1;", "version"),
        ("new.version := new.version + 1; new.updated_at := now();", "updated_at, version"),
    ] {
        let shop = touched(body);
        shop.act("acme", "insert into notes (id, item) values (1, 'a'), (2, 'b')");
        let before = rows(&shop, is);
        let changed = "set tenancy.user_id = 'ann'; update notes set item = 'x', note = 'n'; update notes set item = 'y' where id = 2";
        let txid = transaction(&shop, "acme", changed);
        let mut client = acting(&shop, "acme");
        let told = revert(&mut client, &txid, true);
        assert_eq!(revert(&mut client, &txid, false), told);
        assert_eq!(told.last().unwrap(), &format!("-- public.notes: triggers set {columns}"), "{body}");
        assert_eq!(rows(&shop, is), before, "{body}");
        // Who counts doesn't count backwards.
        assert_eq!(
            client.value("select count(*) from notes where version < 3").unwrap(),
            if body.contains("version") { "0" } else { "2" }
        );
        // Of a row that has gone since, in the same transaction, too.
        let txid =
            transaction(&shop, "acme", "update notes set item = 'z' where id = 1; delete from notes where id = 1");
        revert(&mut client, &txid, false);
        assert_eq!(rows(&shop, is), before, "{body}");
        // Later changes of other columns are not in the way, by the trigger either.
        let txid = transaction(&shop, "acme", "update notes set item = 'z', note = 'n' where id = 1");
        shop.act("acme", "set tenancy.user_id = 'eve'; update notes set status = 'closed' where id = 1");
        revert(&mut client, &txid, false);
        assert_eq!(
            client.value("select concat_ws(' ', item, note, status) from notes where id = 1").unwrap(),
            "a closed"
        );
        // One after the other. What was made NULL may be something else than nobody.
        if !body.contains("nullif") {
            let inserted = transaction(&shop, "acme", "insert into notes (id, item) values (3, 'c')");
            let updated = transaction(&shop, "acme", "update notes set item = 'z' where id = 3");
            revert(&mut client, &updated, false);
            revert(&mut client, &inserted, false);
            assert_eq!(rows(&shop, is).len(), 2);
        }
        let txid = transaction(&shop, "acme", "update notes set item = 'z' where id = 1");
        shop.act("acme", "update notes set item = 'w' where id = 1");
        stays(&shop, "notes", &txid, "changed since");
    }
}

#[test]
fn what_triggers_set_now_and_then_is_given_back() {
    let shop = touched(
        "if new.status = 'closed' and old.status <> 'closed' then new.updated_at := now(); end if;
         if new.status <> 'closed' then new.updated_at := null; end if;",
    );
    shop.act(
        "acme",
        "insert into notes (id, status, updated_at) values (1, 'closed', '2020-01-01'), (2, 'open', null)",
    );
    let before = rows(&shop, "notes");
    for statements in
        ["update notes set status = 'open' where id = 1", "update notes set status = 'closed' where id = 2"]
    {
        let txid = transaction(&shop, "acme", statements);
        assert_ne!(rows(&shop, "notes"), before);
        revert(&mut acting(&shop, "acme"), &txid, false);
        assert_eq!(rows(&shop, "notes"), before, "{statements}");
    }
    // A row that is brought back has what it had.
    shop.fixture.run(
        "create or replace function touch() returns trigger language plpgsql as $$ begin
           if tg_op = 'INSERT' then new.created_at := now(); new.status := 'draft'; end if; new.updated_at := now(); return new; end $$;
         create trigger made before insert on notes for each row execute function touch()",
    );
    let is = "(select id, status, created_at from notes)";
    let before = rows(&shop, is);
    let txid = transaction(&shop, "acme", "delete from notes");
    revert(&mut acting(&shop, "acme"), &txid, false);
    assert_eq!(rows(&shop, is), before);
}

#[test]
fn what_only_looks_like_a_triggers_is_not() {
    for body in [
        "new.status := old.status;",
        "new.status := 'review';",
        "new.status := lower(new.status);",
        "new.status := null;",
    ] {
        let shop = touched("");
        shop.act("acme", "insert into notes (id, status) values (1, 'Open')");
        let txid = transaction(&shop, "acme", "update notes set status = 'closed', item = 'x'");
        shop.fixture.run(&format!(
            "create or replace function touch() returns trigger language plpgsql as $$ begin {body} return new; end $$"
        ));
        if body.contains("null") {
            shop.act("acme", "set tenancy.user_id = 'ann'; update notes set id = 1");
        }
        let before = rows(&shop, "notes");
        let mut client = acting(&shop, "acme");
        client.run("set tenancy.user_id = 'ann'");
        assert!(
            refused(&mut client, &txid).contains(if body.contains("null") {
                "changed since"
            } else {
                "In \"status\" the row"
            }),
            "{body}"
        );
        assert_eq!(rows(&shop, "notes"), before);
    }
    // A number that is the same each time.
    let shop = touched("");
    shop.act("acme", "insert into notes (id) values (1)");
    let txid = transaction(&shop, "acme", "update notes set version = 7, item = 'x'");
    shop.fixture.run("create or replace function touch() returns trigger language plpgsql as $$ begin new.version := 5; return new; end $$");
    stays(&shop, "notes", &txid, "In \"version\" the row");
    // What the transaction set to the present itself.
    let shop = touched("new.updated_at := now();");
    shop.act("acme", "insert into notes (id) values (1)");
    let mut client = acting(&shop, "acme");
    client.run("begin; update notes set created_at = now(), item = 'x'; select tenancy.audit_revert(pg_current_xact_id(), false); commit");
    assert_eq!(rows(&shop, "(select item, extract(year from created_at)::int from notes)"), ["(,2020)"]);
}
