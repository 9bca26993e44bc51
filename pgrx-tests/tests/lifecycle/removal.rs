//! How a tenant's rows are removed: batch by batch, from every part, and until none is left.

use tenancy_harness::{ACME, GLOBEX, Session};

use crate::fixture_with_tenants;

const ERASE: &str = "select tenancy.erase_tenant('acme', 'acme', false)";

/// The rows of tables that refer to no others go in statements of a bounded size, so that what PostgreSQL keeps for triggers until
/// a statement ends does not grow with the tenant.
#[test]
fn rows_go_in_batches_from_each_part() {
    let fixture = fixture_with_tenants();
    let mut client = fixture.superuser();
    client.run(
        "create table parents (tenant_id uuid, id int, primary key (tenant_id, id));
         create table children (tenant_id uuid, id int, parent int, foreign key (tenant_id, parent) references parents) partition by list (id);
         create table children_1 partition of children for values in (1); create table children_2 partition of children default;
         create table selves (tenant_id uuid, id int, boss int, primary key (tenant_id, id),
             foreign key (tenant_id, boss) references selves);
         select tenancy.protect(t) from unnest('{parents,children,selves}'::regclass[]) t;
         create table removed (tbl text, n bigint);
         create function note() returns trigger language plpgsql as $$ begin
             insert into public.removed select tg_table_name, count(*) from gone; return null; end $$;
         create trigger note after delete on parents referencing old table as gone for each statement execute function note();
         create trigger note after delete on children_1 referencing old table as gone for each statement execute function note();
         create trigger note after delete on children_2 referencing old table as gone for each statement execute function note();
         create trigger note after delete on selves referencing old table as gone for each statement execute function note()",
    );
    for tenant in [ACME, GLOBEX] {
        client.run(&format!(
            "insert into parents select '{0}', n from generate_series(1, 25000) n;
             insert into children select '{0}', 1 + n % 2, n from generate_series(1, 25000) n;
             insert into selves select '{0}', n, nullif(n - 1, 0) from generate_series(1, 100) n",
            tenant.id
        ));
    }
    client.run("analyze; select tenancy.suspend_tenant('acme'); select tenancy.archive_tenant('acme')");
    client.run(ERASE);
    let removed = client.texts("select concat_ws(' ', tbl, string_agg(n::text, ' ' order by n desc)) from removed where n > 0 group by tbl order by 1");
    assert_eq!(removed, ["children_1 10000 2500", "children_2 10000 2500", "parents 10000 10000 5000", "selves 100"]);
    let left = "select concat_ws(' ', (select count(*) from parents), (select count(*) from children), (select count(*) from selves))";
    assert_eq!(client.value(left).as_deref(), Some("25000 25000 100"));
}

#[test]
fn rows_that_triggers_change_on_the_way_go_too() {
    let fixture = fixture_with_tenants();
    let mut client = fixture.superuser();
    client.run(&format!(
        "create table chain (tenant_id uuid, id int, first boolean default false); create index on chain (tenant_id, id);
         select tenancy.protect('chain');
         insert into chain select '{}', n from generate_series(1, 10001) n; insert into chain values ('{}', 1);
         create function pass_on() returns trigger language plpgsql as $$ begin
             update public.chain set first = true where tenant_id = old.tenant_id and id = 10001; return old; end $$;
         create trigger pass_on after delete on chain for each row when (old.id = 1) execute function pass_on();
         select tenancy.suspend_tenant('acme'); select tenancy.archive_tenant('acme')",
        ACME.id, GLOBEX.id
    ));
    client.run(ERASE);
    assert_eq!(client.value("select count(*) from chain").as_deref(), Some("1"));
}

#[test]
fn what_a_handler_of_the_end_writes_of_the_tenant_fails_it() {
    let fixture = fixture_with_tenants();
    let mut client = fixture.superuser();
    client.run(
        "create table notes (tenant_id uuid, body text); select tenancy.protect('notes');
         create function again(uuid, jsonb) returns void language sql as 'insert into public.notes values ($1, ''farewell'')';
         select tenancy.on_lifecycle('erased', 'again(uuid, jsonb)');
         select tenancy.suspend_tenant('acme'); select tenancy.archive_tenant('acme')",
    );
    let error = client.refuses(ERASE, "55000");
    assert!(error.message().contains("public.notes"), "{error:?}");
    let state = "select concat_ws(' ', status, (select count(*) from notes)) from tenancy.tenants where key = 'acme'";
    assert_eq!(client.value(state).as_deref(), Some("archived 0"));
}

#[test]
fn a_part_that_is_made_meanwhile_is_no_hiding_place() {
    let fixture = fixture_with_tenants();
    let mut client = fixture.superuser();
    client.run(&format!(
        "create table a (tenant_id uuid, id int); create table days (tenant_id uuid, day date) partition by range (day);
         select tenancy.protect('a'); select tenancy.protect('days'); insert into a values ('{}', 1);
         create function make() returns trigger language plpgsql as $$ begin
             create table if not exists public.today partition of public.days for values from ('2020-01-01') to ('2020-01-02'); return old; end $$;
         create trigger make before delete on a for each row execute function make();
         select tenancy.suspend_tenant('acme'); select tenancy.archive_tenant('acme')",
        ACME.id
    ));
    let error = client.refuses(ERASE, "55000");
    assert!(error.message().contains("public.days"), "{error:?}");
    client.run("drop trigger make on a");
    client.run(ERASE);
}
