//! Whom row security binds learns nothing that he can't see: not whether a row exists, and nothing that is in it.

use crate::{Check, Shop, of, why};
use tenancy_harness::postgres::SimpleQueryMessage;
use tenancy_harness::{GLOBEX, Session};

/// A row of another tenant, and none.
const THEIRS: &str = r#"{"id": 2}"#;
const NONE: &str = r#"{"id": 3}"#;

#[track_caller]
fn are_the_same(shop: &Shop, what: &str) {
    let (theirs, none) = (shop.told(THEIRS), shop.told(NONE));
    assert_eq!(theirs, none, "{what}");
    assert_eq!(of(&theirs, "can_select").0, Some(false), "{what}");
}

#[test]
fn a_row_of_another_tenant_is_told_as_no_row() {
    are_the_same(&Shop::new(), "as protected");
}

#[test]
fn also_where_policies_fail_on_it() {
    let shop = Shop::new();
    shop.run("create policy number on orders as restrictive using (case when body like '%globex' then body::integer > 0 else true end);
              alter policy tenant_isolation_floor on orders
                  using (case when body like '%globex' then 1 / length('') > 0 else true end)");
    are_the_same(&shop, "policies that fail");
}

#[test]
fn also_where_a_policy_hides_an_own_one() {
    let shop = Shop::new();
    shop.run("create policy never on orders as restrictive using (body not like 'secret%')");
    are_the_same(&shop, "a policy that hides");
    assert_eq!(shop.told(r#"{"id": 1}"#), shop.told(NONE));
}

#[test]
fn also_without_a_tenant_with_a_wrong_one_and_with_a_suspended_one() {
    let shop = Shop::new();
    shop.run("select tenancy.suspend_tenant('acme')");
    let mut client = shop.fixture.connect(&shop.app);
    for tenant in ["", "nobody", "acme"] {
        client.run(&format!("set tenancy.tenant_id = '{tenant}'"));
        assert_eq!(why(&mut client, "orders", THEIRS), why(&mut client, "orders", NONE), "{tenant}");
    }
}

#[test]
fn also_where_the_role_may_not_read_or_row_security_is_off_in_the_session() {
    let shop = Shop::new();
    let mut client = shop.as_app();
    client.run("set row_security = off");
    assert_eq!(why(&mut client, "orders", THEIRS), why(&mut client, "orders", NONE));
    shop.run("revoke select on orders from {app}");
    are_the_same(&shop, "no privilege");
    shop.run("grant select (id) on orders to {app}");
    are_the_same(&shop, "a privilege on the key alone");
}

#[test]
fn also_for_columns_that_are_no_key() {
    let shop = Shop::new();
    shop.run(&format!("insert into orders values (4, '{}', 'secret of globex')", GLOBEX.id));
    let told = |body: &str| shop.told(&format!(r#"{{"body": "{body}"}}"#));
    assert_eq!(told("secret of globex"), told("nothing"));
}

#[test]
fn also_for_an_owner_and_with_an_administrator_s_function_around_it() {
    let shop = Shop::new();
    shop.run("grant create on schema public to {app}; alter table orders owner to {app}");
    are_the_same(&shop, "an owner, where row security is forced");
}

#[test]
fn no_value_of_the_row_is_in_the_answer() {
    let shop = Shop::new();
    shop.run("create policy wrong on orders as restrictive using (body::integer > 0)");
    let words = |checks: &[Check]| format!("{checks:?}");
    for key in [r#"{"id": 1}"#, r#"{"id": 2}"#] {
        for checks in [shop.told(key), shop.told_to_admin(key), why(&mut shop.fixture.superuser(), "orders", key)] {
            assert!(!words(&checks).contains("secret"), "{checks:#?}");
        }
    }
    let checks = shop.told_to_admin(r#"{"id": 1}"#);
    assert_eq!(of(&checks, "policy wrong USING"), (None, "restrictive, for ALL: it fails with SQLSTATE 22P02"));
    assert_eq!(of(&checks, "can_select"), (Some(false), "policy wrong fails with SQLSTATE 22P02"));
    assert!(!shop.fixture.cluster().log().contains("invalid input syntax for type integer: \"secret"), "in the log");
}

#[test]
fn no_value_of_the_key_comes_back() {
    let shop = Shop::new();
    let mut client = shop.as_app();
    let error = client.refuses(r#"select * from tenancy.why('orders', '{"id": "sesame"}')"#, "22023");
    assert!(!format!("{error:?}").contains("sesame"), "{error:?}");
}

#[test]
fn nobody_becomes_an_administrator_by_asking() {
    let shop = Shop::new();
    // Whose function asks makes no difference, as long as it doesn't lend its owner's rights.
    shop.run(
        "create function ask(bigint) returns setof text language sql
             as $$ select w::text from tenancy.why('orders', jsonb_build_object('id', $1)) w $$",
    );
    let mut client = shop.as_app();
    assert_eq!(client.texts("select ask(2)"), client.texts("select ask(3)"));
    let rows = client.simple_query("select * from tenancy.why('orders', '{\"id\": 2}')").unwrap();
    let rows = rows.iter().filter(|message| matches!(message, SimpleQueryMessage::Row(_))).count();
    assert!(rows > 20, "{rows}");
}

/// Maintenance runs code of a table's owner as the owner; the session is a superuser's all the same.
#[test]
fn nobody_asks_by_an_administrator_s_session_for_himself() {
    let shop = Shop::new();
    let stranger = shop.fixture.role("stranger");
    shop.run(&format!("create schema lab authorization {stranger}; grant usage on schema lab to public"));
    let mut client = shop.fixture.connect(&stranger);
    client.run(
        r#"create table lab.told (detail text); create table lab.bait (x int, primary key (x));
           create table lab.twig (x int references lab.bait on delete cascade);
           create function lab.ask() returns void language sql as $$
             insert into lab.told select detail from tenancy.why('public.orders', '{"id": 2}') where check_name = 'row' $$;
           create function lab.probe(x int) returns int language plpgsql immutable as
             $$ begin perform lab.ask(); return x; end $$;
           create function lab.pull() returns trigger language plpgsql as $$ begin perform lab.ask(); return old; end $$;
           create function lab.lends() returns bigint language sql security definer as 'select lab.ask(); select 1::bigint';
           grant execute on function lab.lends() to public;
           create index on lab.bait (lab.probe(x)); insert into lab.bait values (1), (2); insert into lab.twig values (1);
           create trigger pull before delete on lab.twig for each row execute function lab.pull();
           create materialized view lab.summary as select lab.probe(7);
           delete from lab.told"#,
    );
    for statement in [
        "analyze lab.bait",
        "reindex table lab.bait",
        "refresh materialized view lab.summary",
        "delete from lab.bait where x = 1",
        "select lab.lends()",
    ] {
        for role in ["none", &shop.admin] {
            let mut superuser = shop.fixture.superuser();
            superuser.run(&format!("delete from lab.told; set role {role}"));
            let outcome = superuser.batch_execute(statement);
            superuser.run("reset role");
            let told = superuser.texts("select distinct detail from lab.told");
            if role == "none" {
                outcome.unwrap();
                assert_eq!(told, ["not looked up: the role may not read the table"], "{statement}");
            } else {
                assert!(told.iter().all(|told| told.starts_with("not looked up")), "{statement}: {told:?}");
            }
        }
    }
}

/// Which tables are protected is administrators' business; what is in others is not.
#[test]
fn an_administrator_is_told_of_rows_of_protected_tables_and_of_those_that_he_may_read() {
    let shop = Shop::new();
    shop.run(
        "create schema staff; grant usage on schema staff to public;
         create table staff.wages (name text primary key); insert into staff.wages values ('boss');
         create table staff.rates (name text primary key); insert into staff.rates values ('boss');
         select tenancy.classify('staff.rates', 'global')",
    );
    let mut admin = shop.fixture.connect(&shop.admin);
    let mut told = |table: &str| {
        let told = ["boss", "nobody"].map(|name| why(&mut admin, table, &format!("{{\"name\": \"{name}\"}}")));
        told.map(|checks| of(&checks, "row").1.to_owned())
    };
    for table in ["staff.wages", "staff.rates"] {
        assert_eq!(told(table), ["not looked up: the role may not read the table"; 2], "{table}");
        shop.run(&format!("grant select on {table} to {}", shop.admin));
        assert!(told(table)[0].starts_with("there is one"), "{table}");
    }
    // Row security of somebody else's making, which binds him.
    shop.run("alter table staff.wages enable row level security");
    assert_eq!(told("staff.wages"), ["there is one, and the role does not see it", "there is none"]);
    assert_eq!(of(&shop.told_to_admin(r#"{"id": 2}"#), "row").1, "there is one, and the role does not see it");
    // A role that bypasses row security may not read because of that.
    let exempt = shop.fixture.role("exempt");
    shop.run(&format!("alter role {exempt} bypassrls"));
    let mut exempt = shop.fixture.connect(&exempt);
    for key in [r#"{"id": 2}"#, r#"{"id": 3}"#] {
        assert_eq!(of(&why(&mut exempt, "orders", key), "row").1, "not looked up: the role may not read the table");
    }
}
