//! `tenancy.adopt_plan()` and `adopt()`: an application of one tenant becomes one of many.

mod fill;
mod live;
mod odd;
mod once;
mod refusals;
mod resume;
mod roles;
#[path = "../scope/schema.rs"]
mod schema;

use tenancy_harness::postgres::Client;
use tenancy_harness::{ACME, Fixture, GLOBEX, Session};

use schema::{ROWS, SCHEMA, TABLES};

/// Tables that have the tenant column, empty, when the application is adopted: a plain one, one with foreign keys, a
/// partitioned one.
const WITH_COLUMN: [&str; 3] = ["journal", "comments", "deliveries"];

/// Tables that stay without tenants.
const GLOBAL: &str = "'{app.countries, app.currencies}'";

/// The application before it knew of tenants, with rows, and a role that uses it and acts for no tenant.
fn application(fixture: &Fixture<'_>) -> String {
    let app = fixture.role("app");
    fixture.register(&[ACME, GLOBEX]);
    fixture.run(&SCHEMA.replace("tenant_id uuid,", ""));
    fixture.run(&ROWS.replace("'{t}', ", ""));
    fixture.run("alter table app.users alter id restart with 1000");
    for table in WITH_COLUMN {
        fixture.run(&format!("alter table app.{table} add column tenant_id uuid"));
    }
    fixture.run(&format!(
        "grant usage on schema app to {app}; grant select, insert, update, delete on all tables in schema app to {app};
         revoke insert, update, delete on app.countries, app.currencies from {app};
         revoke temporary on database {} from public",
        fixture.database()
    ));
    app
}

/// The plan for the application.
fn plan(client: &mut Client) -> Vec<String> {
    client.texts(&format!("select ddl from tenancy.adopt_plan('app', 'acme', {GLOBAL}) order by step"))
}

/// Rows of each table.
fn counts(client: &mut Client) -> Vec<(String, i64)> {
    let count = |table: &&str| {
        let count = client.value(&format!("select count(*) from app.{table}")).expect("a count");
        ((*table).to_owned(), count.parse().expect("a number"))
    };
    TABLES.iter().map(count).collect()
}

/// What the doctor finds, but for what may well be meant.
fn illnesses(client: &mut Client) -> Vec<String> {
    client.texts(
        "select code || ' ' || object || ' ' || coalesce(fix, '') from tenancy.doctor()
         where severity <> 'info' and code <> 'SERVER_TOO_OLD'",
    )
}

/// The application is isolated: all is acme's, the application goes on as acme, and globex begins with nothing.
fn is_adopted(fixture: &Fixture<'_>, app: &str) {
    let mut superuser = fixture.superuser();
    assert_eq!(illnesses(&mut superuser), Vec::<String>::new());
    let left_over =
        "select conname::text from pg_constraint where conname like '%scoping%' or conname like '%adopting%'
                     union all select relname::text from pg_class where relname like '%scoping%'
                     union all select indexrelid::regclass::text from pg_index where not indisvalid";
    assert_eq!(superuser.texts(left_over), Vec::<String>::new());
    let global = "select count(*) from pg_constraint where contype in ('p', 'u') and connamespace = 'app'::regnamespace
        and conrelid not in ('app.countries'::regclass, 'app.currencies'::regclass)
        and not (select attnum from pg_attribute where attrelid = conrelid and attname = 'tenant_id') = any (conkey)";
    assert_eq!(superuser.value(global).as_deref(), Some("0"));
    let counts = counts(&mut superuser);
    let own = |client: &mut Client, table: &str| client.value(&format!("select count(*) from app.{table}"));
    for (table, count) in &counts {
        let foreign = format!("select count(*) from app.{table} where tenant_id is distinct from '{}'", ACME.id);
        assert_eq!(superuser.value(&foreign).as_deref(), Some("0"), "{table}");
        assert!(*count > 0, "{table}");
    }
    // The application goes on as it was.
    let mut client = fixture.connect(app);
    for (table, count) in &counts {
        assert_eq!(own(&mut client, table), Some(count.to_string()), "{table}");
    }
    client.run("insert into app.journal (id) values (-1); delete from app.journal where id = -1");
    // Another tenant sees nothing of it, and has all keys for itself.
    fixture.run(&format!("select tenancy.grant_access('{app}')"));
    let mut client = fixture.connect(app);
    let mut tx = client.transaction().expect("a transaction");
    tx.run(&format!("select tenancy.set_tenant('{}')", GLOBEX.key));
    for (table, _) in &counts {
        assert_eq!(tx.value(&format!("select count(*) from app.{table}")).as_deref(), Some("0"), "{table}");
        assert_eq!(tx.affected(&format!("update app.{table} set tenant_id = tenant_id")), 0, "{table}");
    }
    // Keys and foreign keys hold within the tenant: the same rows, once more.
    let rows = ROWS.replace("'{t}', ", "").replace("begin;", "").replace("commit;", "");
    let of_tenants = |line: &&str| !line.contains("into countries") && !line.contains("into currencies");
    tx.run(&rows.lines().filter(of_tenants).collect::<Vec<_>>().join("\n"));
    tx.commit().expect("the other tenant has the same keys");
    client.run("begin; select tenancy.set_tenant('globex')");
    client.refuses("insert into app.preferences values (1, 'other')", "23505");
}
