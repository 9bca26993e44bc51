//! The log itself: who reads it, that nobody changes it, and its months.

use tenancy_harness::{Session, refuses_in_savepoint};

use crate::Shop;

#[test]
fn a_tenant_reads_its_own_entries_of_tables_that_the_role_may_read() {
    let shop = Shop::new();
    shop.fixture.run(
        "create table salaries (id integer primary key, tenant_id uuid not null); select tenancy.protect('salaries');
         select tenancy.audit('salaries'); insert into salaries select 1, id from tenancy.tenants where key = 'acme'",
    );
    shop.fixture.run(&format!("revoke select on salaries from {}", shop.app));
    shop.act("acme", "insert into orders (id) values (1)");
    shop.act("globex", "insert into orders (id) select n from generate_series(2, 5) n");
    let mut client = shop.fixture.connect(&shop.app);
    assert_eq!(client.value("select count(*) from tenancy.audit_log").unwrap(), "0");
    for (tenant, count) in [("acme", "1"), ("globex", "4")] {
        client.run(&format!("begin; select tenancy.set_tenant('{tenant}')"));
        assert_eq!(client.value("select count(*) from tenancy.audit_log").unwrap(), count);
        let foreign =
            "select count(*) from tenancy.audit_log where tenant_id is distinct from tenancy.current_tenant()";
        assert_eq!(client.value(foreign).unwrap(), "0");
        client.run("rollback");
    }
    // Nor by a partition, nor through what the planner knows.
    client.run("begin; select tenancy.set_tenant('acme')");
    shop.fixture.run("analyze tenancy.audit_log");
    for partition in shop
        .superuser()
        .texts("select inhrelid::regclass::text from pg_inherits where inhparent = 'tenancy.audit_log'::regclass")
    {
        let mut transaction = client.transaction().unwrap();
        refuses_in_savepoint(&mut transaction, &format!("select * from {partition}"), "42501");
    }
    assert_eq!(client.value("select count(*) from pg_stats where tablename like 'audit_log%'").unwrap(), "0");
}

#[test]
fn a_writer_needs_no_right_on_the_log() {
    let shop = Shop::new();
    shop.fixture.run(&format!(
        "revoke select on tenancy.audit_log from public; revoke select, update, delete on orders from {0};
         revoke usage on schema public from public; grant usage on schema public to {0}",
        shop.app
    ));
    shop.act("acme", "insert into orders (id) values (1)");
    assert_eq!(shop.count(), "1");
    shop.fixture.connect(&shop.app).refuses("select count(*) from tenancy.audit_log", "42501");
}

#[test]
fn nobody_changes_what_is_in_it() {
    let shop = Shop::new();
    shop.act("acme", "insert into orders (id) values (1)");
    let mut superuser = shop.superuser();
    superuser.run("set session_replication_role = replica");
    let months = superuser
        .texts("select 'tenancy.' || relname from pg_class where relname like 'audit\\_log\\_%' and relkind = 'r'");
    assert!(months.len() >= 5, "{months:?}");
    for table in months.iter().map(String::as_str).chain(["tenancy.audit_log"]) {
        superuser.refuses(&format!("update {table} set op = 'x'"), "42501");
        superuser.refuses(&format!("delete from {table}"), "42501");
        superuser.refuses(&format!("truncate {table}"), "42501");
    }
    superuser.refuses(
        "insert into tenancy.audit_log select * from tenancy.audit_log on conflict do update set op = 'x'",
        "42601",
    );
    assert_eq!(shop.count(), "1");
}

#[test]
fn months_are_made_ahead_and_the_default_partition_is_emptied() {
    let shop = Shop::new();
    let mut superuser = shop.superuser();
    let ahead =
        "select string_agg(to_char(now() at time zone 'UTC' + n * '1 month'::interval, 'YYYY_MM'), ',' order by n)
                   = (select string_agg(right(relname, 7), ',' order by relname) from pg_class
                      where relname ~ '^audit_log_\\d{4}_\\d\\d$')
                 from generate_series(0, 3) n";
    assert_eq!(superuser.value(ahead).unwrap(), "t");
    assert_eq!(superuser.value("select tenancy.audit_maintain()").unwrap(), "0");
    // Entries that come while this month is missing.
    superuser.run(
        "do $$ declare month text; begin
           for month in select relname from pg_class where relname ~ '^audit_log_\\d{4}_\\d\\d$' loop
             execute 'drop table tenancy.' || quote_ident(month); end loop; end $$",
    );
    shop.act("acme", "insert into orders (id) values (1), (2)");
    shop.act("acme", "delete from orders where id = 1");
    assert_eq!(superuser.value("select count(*) from tenancy.audit_log_default").unwrap(), "3");
    let before = superuser.texts("select l::text from tenancy.audit_log l order by id");
    let admin = shop.fixture.role("admin");
    shop.fixture.run(&format!("select tenancy.grant_admin('{admin}')"));
    assert_eq!(shop.fixture.connect(&admin).value("select tenancy.audit_maintain()").unwrap(), "3");
    assert_eq!(superuser.value("select count(*) from only tenancy.audit_log_default").unwrap(), "0");
    assert_eq!(superuser.texts("select l::text from tenancy.audit_log l order by id"), before);
    assert_eq!(superuser.value(ahead).unwrap(), "t");
    superuser.refuses("delete from tenancy.audit_log", "42501");
}

#[test]
fn maintenance_and_writers_do_not_wait_for_each_other() {
    let shop = Shop::new();
    let mut superuser = shop.superuser();
    // The last of the months that were made ahead, so that there is one to make.
    superuser.run(
        "do $$ begin execute 'drop table tenancy.' || quote_ident((select max(relname) from pg_class
           where relname ~ '^audit_log_\\d{4}_\\d\\d$')); end $$; set lock_timeout = '5s'",
    );
    let mut writer = shop.fixture.connect(&shop.app);
    writer.run("begin; select tenancy.set_tenant('acme'); insert into orders (id) values (1)");
    superuser.run("begin; select tenancy.audit_maintain()");
    writer.run("set local lock_timeout = '5s'; insert into orders (id) values (2); commit");
    superuser.run("commit");
    assert_eq!(shop.count(), "2");
}
