//! 91: what runs on the way of a foreign key's action, which PostgreSQL takes as the table's owner and past row security.

use tenancy_harness::postgres::Client;
use tenancy_harness::{ACME, GLOBEX, Session, World, refuses_in_savepoint};

use crate::Shop;

/// A shop with the tables `parent`, `child` and `note`, of the owner that is named, with a row of each tenant. Deletes of
/// parents cascade; notes hang on children by number alone.
fn with_notes(owner: &str, hanging: &str) -> Shop<'static> {
    let shop = Shop::new();
    let owner = if owner == "owner" { shop.owner.clone() } else { owner.to_owned() };
    shop.fixture.run(&format!("grant create on schema public to {owner}"));
    let mut client = shop.fixture.superuser();
    client.run(&format!(
        "set role {owner};
         create table parent (id int, tenant_id uuid, primary key (tenant_id, id));
         create table child (id int, tenant_id uuid, parent_id int, primary key (tenant_id, id),
             foreign key (tenant_id, parent_id) references parent on update cascade on delete cascade);
         create index on child (tenant_id, parent_id);
         create table note (id int, tenant_id uuid, child_id int, primary key (tenant_id, id));
         {hanging}
         reset role;
         insert into parent select 1, id from tenancy.tenants; insert into child select 1, id, 1 from tenancy.tenants;
         insert into note select 1, id, 1 from tenancy.tenants;
         select tenancy.protect('parent'), tenancy.protect('child'), tenancy.protect('note');
         grant select, insert, update, delete on parent, child, note to {}",
        shop.app
    ));
    shop
}

const SWEEP: &str = "create function sweep() returns trigger language plpgsql as
        $$ begin delete from note where child_id = old.id; return old; end $$;
    create trigger sweep before delete on child for each row execute function sweep();";

#[track_caller]
fn notes(shop: &Shop<'_>) -> Vec<String> {
    let mut superuser = shop.fixture.superuser();
    superuser.texts("select t.key from note join tenancy.tenants t on t.id = tenant_id order by 1")
}

#[track_caller]
fn delete_parents(shop: &Shop<'_>) {
    let mut app: Client = shop.app();
    let mut tx = World::begin(&mut app, ACME);
    assert_eq!(tx.affected("delete from parent"), 1);
    tx.commit().unwrap();
}

/// 91
#[test]
fn a_trigger_on_the_way_of_a_cascade_stays_within_the_tenant() {
    let shop = with_notes("owner", SWEEP);
    delete_parents(&shop);
    assert_eq!(notes(&shop), ["globex"]);
    let left = "select concat_ws(' ', (select count(*) from parent), (select count(*) from child))";
    assert_eq!(shop.fixture.superuser().value(left).as_deref(), Some("1 1"));
}

/// 91
#[test]
fn whatever_the_trigger_and_whichever_way_it_was_first_called() {
    // By statement, on updates, and in a plan that is kept, whichever way it was made.
    let shop = with_notes(
        "owner",
        "create function seen() returns trigger language plpgsql as $$ begin
             perform set_config('test.seen', (select count(*)::text from note), false);
             return case when tg_op = 'DELETE' then old else new end;
         end $$;
         create trigger seen before update or delete on child for each statement execute function seen();
         create trigger seen_row before update or delete on child for each row execute function seen();",
    );
    let mut app = shop.app();
    for statements in
        [["update child set id = id", "update parent set id = 2"], ["update parent set id = 1", "delete from child"]]
    {
        let mut tx = World::begin(&mut app, ACME);
        for statement in statements {
            tx.run("set test.seen = ''");
            assert_eq!(tx.affected(statement), 1, "{statement}");
            assert_eq!(tx.value("select current_setting('test.seen')").as_deref(), Some("1"), "{statement}");
        }
        tx.commit().unwrap();
    }
}

/// 91
#[test]
fn where_the_owner_bypasses_row_security_it_is_refused() {
    // A superuser's table, whose triggers would go past any row security.
    let shop = with_notes("postgres", SWEEP);
    let mut app = shop.app();
    let mut tx = World::begin(&mut app, ACME);
    let error = refuses_in_savepoint(&mut tx, "delete from parent", "42501");
    assert!(error.hint().is_some_and(|hint| hint.contains("owner")), "{error:?}");
    // What it refuses is the way, and nothing that comes later.
    assert_eq!(tx.affected("delete from child"), 1);
    assert_eq!(tx.affected("delete from parent"), 1);
    tx.commit().unwrap();
    assert_eq!(notes(&shop), ["globex"]);
    // Who bypasses row security himself does as always.
    shop.fixture.run("insert into note select 1, id, 1 from tenancy.tenants where key = 'acme'; delete from parent");
    assert_eq!(notes(&shop), [""; 0]);
}

/// 91
#[test]
fn a_trigger_after_it_stays_within_the_tenant() {
    for owner in ["owner", "postgres"] {
        let shop = with_notes(owner, &SWEEP.replace("before delete", "after delete"));
        // Since PostgreSQL 18 it runs as the owner of the table, as which the row was deleted.
        if owner == "postgres" && shop.fixture.major_version() >= 18 {
            let mut app = shop.app();
            refuses_in_savepoint(&mut World::begin(&mut app, ACME), "delete from parent", "42501");
            let mut tx = World::begin(&mut app, ACME);
            assert_eq!(tx.affected("delete from child"), 1);
            assert_eq!(tx.affected("delete from parent"), 1);
            tx.commit().unwrap();
        } else {
            delete_parents(&shop);
        }
        assert_eq!(notes(&shop), ["globex"], "{owner}");
    }
}

/// 91
#[test]
fn what_is_no_trigger_is_refused() {
    // Conditions and rules of the table.
    let condition = "create function counts() returns boolean language sql as 'select count(*) >= 0 from note';
        alter table child add check (counts());";
    let rule = "create rule sweep as on delete to child do also delete from note where child_id = old.id;";
    for (hanging, statement) in [(condition, "update parent set id = 2"), (rule, "delete from parent")] {
        let shop = with_notes("owner", hanging);
        let mut app = shop.app();
        let mut tx = World::begin(&mut app, ACME);
        refuses_in_savepoint(&mut tx, statement, "42501");
        drop(tx);
        assert_eq!(notes(&shop), ["acme", "globex"], "{hanging}");
    }
}

/// 91
#[test]
fn keys_go_on_working_on_the_way() {
    // Foreign keys that the trigger's own statements set off.
    let shop = with_notes(
        "owner",
        "create table leaf (id int, tenant_id uuid, note_id int, foreign key (tenant_id, note_id) references note on delete cascade);
         create function sweep() returns trigger language plpgsql as $$ begin
             begin delete from note where child_id = old.id / 0; exception when division_by_zero then null; end;
             delete from note where child_id = old.id; return old;
         end $$;
         create trigger sweep before delete on child for each row execute function sweep();",
    );
    shop.fixture.run("insert into leaf select 1, id, 1 from tenancy.tenants; select tenancy.protect('leaf')");
    delete_parents(&shop);
    assert_eq!(notes(&shop), ["globex"]);
    let left = shop.fixture.superuser().texts("select tenant_id::text from leaf");
    assert_eq!(left, [GLOBEX.id]);
}

/// 91
#[test]
fn an_error_on_the_way_is_forgotten_with_its_savepoint() {
    // What was refused on the way has not stayed so.
    let shop = with_notes(
        "owner",
        "create function fails() returns trigger language plpgsql as $$ begin
             if current_setting('test.fails', true) = 'on' then raise division_by_zero; end if;
             return old;
         end $$;
         create trigger fails before delete on child for each row execute function fails();",
    );
    let mut app = shop.app();
    let mut tx = World::begin(&mut app, ACME);
    tx.run("set local test.fails = on");
    refuses_in_savepoint(&mut tx, "delete from parent", "22012");
    tx.run(
        "do $$ begin delete from parent; exception when division_by_zero then null; end $$; set local test.fails = off",
    );
    assert_eq!(tx.value("select count(*) from note").as_deref(), Some("1"));
    assert_eq!(tx.affected("delete from parent"), 1);
    assert_eq!(tx.affected("delete from note"), 1);
    tx.commit().unwrap();
    assert_eq!(notes(&shop), ["globex"]);
}
