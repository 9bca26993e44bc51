//! A refusal as clients see it.

use std::io::Write;

use tenancy_harness::{ACME, Session, refuses_in_savepoint};

use crate::Shop;

const DETAIL: &str = "Resource \"orders\": used 1, limit 2, requested 3.";
const HINT: &str = "Remove what is no longer needed, or have the limit raised with tenancy.set_quota().";
const INSERT: &str = "insert into orders (body) values ('b'), ('c'), ('d')";

fn shop() -> Shop {
    let shop = Shop::new();
    shop.fixture.run("select tenancy.set_quota('acme', 'orders', 2, warn_at => null)");
    shop.acme().run("insert into orders (body) values ('a')");
    shop
}

#[test]
fn a_driver_gets_it_in_its_parts() {
    let shop = shop();
    let mut acme = shop.acme();
    // By the extended protocol as by the simple one, and the transaction can go on where there was a savepoint.
    let error = acme.execute(INSERT, &[]).unwrap_err();
    let told = error.as_db_error().unwrap();
    let mut tx = acme.transaction().unwrap();
    let simple = refuses_in_savepoint(&mut tx, INSERT, "53400");
    for error in [told, &simple] {
        assert_eq!((error.code().code(), error.severity()), ("53400", "ERROR"));
        assert_eq!(error.message(), "quota \"orders\" is exhausted");
        assert_eq!((error.detail(), error.hint()), (Some(DETAIL), Some(HINT)));
    }
    tx.run("insert into orders (body) values ('b')");
    tx.commit().unwrap();
    assert_eq!(shop.used("acme", "orders"), 2);
}

#[test]
fn a_copy_and_a_counter_say_the_same() {
    let shop = shop();
    let mut acme = shop.acme();
    // Under row security there is no COPY FROM.
    let mut superuser = shop.fixture.superuser();
    let mut copy = superuser.copy_in("copy orders (tenant_id) from stdin").unwrap();
    for _ in 0..3 {
        writeln!(copy, "{}", ACME.id).unwrap();
    }
    let error = copy.finish().unwrap_err();
    let told = error.as_db_error().unwrap();
    assert_eq!((told.code().code(), told.detail(), told.hint()), ("53400", Some(DETAIL), Some(HINT)));
    shop.fixture
        .run("select tenancy.create_resource('seats', 'counter'); select tenancy.set_quota('acme', 'seats', 4)");
    acme.run("select tenancy.consume('seats')");
    let told = acme.refuses("select tenancy.consume('seats', 5)", "53400");
    assert_eq!(told.detail(), Some("Resource \"seats\": used 1, limit 4, requested 5."));
    assert_eq!(told.hint(), Some(HINT));
}

#[test]
fn psql_prints_it() {
    let shop = shop();
    let script = format!("\\set VERBOSITY verbose\nset tenancy.tenant_id = 'acme';\n{INSERT};\n");
    let output = shop.fixture.cluster().psql(shop.fixture.database(), &shop.app, &script);
    let printed = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<&str> = printed.lines().collect();
    let error = lines[0].split_once("ERROR:  ").unwrap().1;
    assert_eq!(error, "53400: quota \"orders\" is exhausted", "{printed}");
    assert_eq!(lines[1..3], [format!("DETAIL:  {DETAIL}"), format!("HINT:  {HINT}")], "{printed}");
}
