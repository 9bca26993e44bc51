//! Who may call it, on what; and that whoever made the tables gains nothing by it.

use crate::{Lab, of, open, prove};
use tenancy_harness::{Session, assert_sqlstate};

#[test]
fn administrators_may_and_nobody_else() {
    let lab = Lab::new();
    let admin = lab.fixture.role("admin");
    lab.run(&format!("select tenancy.grant_admin('{admin}')"));
    let findings = prove(&mut lab.fixture.connect(&admin), "tenancy.prove()");
    assert!(findings.iter().all(|found| found.blocked == Some(true)), "{findings:#?}");
    lab.fixture.connect(&lab.app).refuses("select * from tenancy.prove()", "42501");
}

#[test]
fn only_protected_tables_can_be_proved() {
    let lab = Lab::new();
    lab.run("create table app.notes (tenant_id uuid)");
    let mut client = lab.fixture.superuser();
    for table in ["app.notes", "app.countries", "app.recent", "pg_catalog.pg_class"] {
        let error = client.refuses(&format!("select * from tenancy.prove('{table}')"), "55000");
        assert!(error.message().contains("not protected"), "{error:?}");
    }
    assert_sqlstate(client.query("select * from tenancy.prove(1::oid::regclass)", &[]), "42P01");
}

#[test]
fn a_database_without_protected_tables_has_nothing_to_prove() {
    let lab = Lab::empty();
    assert!(prove(&mut lab.fixture.superuser(), "tenancy.prove()").is_empty());
}

#[test]
fn a_read_only_transaction_is_refused() {
    let lab = Lab::new();
    lab.fixture.superuser().refuses("begin read only; select * from tenancy.prove()", "25006");
}

#[test]
fn what_hangs_on_a_table_runs_as_an_attacker_or_as_its_owner_and_can_not_get_out() {
    let lab = Lab::empty();
    let owner = lab.fixture.role("owner");
    lab.run(&format!(
        "grant create on schema public to {owner}; select tenancy.grant_admin('{owner}');
         create unlogged table seen (who text); grant insert, select on seen to public;
         create sequence bell; grant all on sequence bell to public;
         set role {owner};
         create function spy() returns boolean language plpgsql as $$
         begin
             -- A sequence keeps what is rolled back: it tells whether any of this worked.
             begin execute 'reset role'; perform nextval('public.bell'); exception when others then null; end;
             begin execute 'set role postgres'; perform nextval('public.bell'); exception when others then null; end;
             begin execute 'set session authorization postgres'; perform nextval('public.bell');
             exception when others then null; end;
             begin execute 'set role none'; perform nextval('public.bell'); exception when others then null; end;
             -- As the owner, it must leave nothing that outlasts the statement.
             if current_user = '{owner}' then
                 begin execute 'create temporary table left_over ()'; perform nextval('public.bell');
                 exception when others then null; end;
                 begin execute 'declare left_over cursor with hold for select 1'; perform nextval('public.bell');
                 exception when others then null; end;
             end if;
             if exists (select from pg_roles where rolname = current_user and (rolsuper or rolbypassrls))
                or (current_user <> '{owner}' and current_user !~ '^tenancy_prove_') then
                 perform nextval('public.bell');
             end if;
             return true;
         end $$;
         create function spied(integer) returns integer immutable language sql as 'select case when public.spy() then $1 end';
         create table t (tenant_id uuid, n integer default 1 not null check (spy()), m integer);
         create index on t (spied(n)); create index on t (n) where spied(7) = 7;
         select tenancy.protect('t');
         create policy spying on t as restrictive using (spy()) with check (spy());
         reset role;
         insert into t select id, 1 from tenancy.tenants where key = 'acme';
         select setval('bell', 100)"
    ));
    let mut client = lab.fixture.superuser();
    let findings = prove(&mut client, "tenancy.prove('t')");
    assert_eq!(open(&findings), [""; 0], "{findings:#?}");
    assert_eq!(findings[0].blocked, Some(true), "{findings:#?}");
    assert_eq!(client.value("select last_value from bell").as_deref(), Some("100"));
}

#[test]
fn what_hangs_on_a_table_is_given_no_other_table_to_read() {
    let lab = Lab::new();
    let owner = lab.fixture.role("owner");
    lab.run(&format!(
        "create sequence bell; grant all on sequence bell to public; select setval('bell', 100);
         grant create on schema public to {owner}; select tenancy.grant_admin('{owner}');
         set role {owner};
         create function spy() returns boolean language plpgsql cost 0.0001 as $$
         declare tenant text;
         begin
             foreach tenant in array array['', 'acme', 'globex'] loop
                 begin
                     perform set_config('tenancy.tenant_id', tenant, true);
                     if exists (select from app.orders) then
                         perform nextval('public.bell');
                     end if;
                 exception when others then null;
                 end;
             end loop;
             return true;
         end $$;
         create table t (tenant_id uuid, n integer default 1 check (spy()));
         select tenancy.protect('t', create_index => false);
         create policy spying on t as restrictive using (spy()) with check (spy())"
    ));
    let mut client = lab.fixture.superuser();
    prove(&mut client, "tenancy.prove()");
    assert_eq!(client.value("select last_value from bell").as_deref(), Some("100"));
}

#[test]
fn a_caller_s_search_path_leads_nobody_astray() {
    let lab = Lab::new();
    let admin = lab.fixture.role("admin");
    lab.run(&format!(
        "select tenancy.grant_admin('{admin}'); create schema evil authorization {admin};
         create sequence public.bell; grant all on sequence public.bell to public;
         create function evil.equal(uuid, uuid) returns boolean language plpgsql as $$
         begin
             if exists (select from pg_catalog.pg_roles where rolname = current_user and rolsuper) then
                 perform pg_catalog.nextval('public.bell');
             end if;
             return true;
         end $$;
         create function evil.equal(text, text) returns boolean language plpgsql as $$
         begin
             if exists (select from pg_catalog.pg_roles where rolname OPERATOR(pg_catalog.=) current_user and rolsuper) then
                 perform pg_catalog.nextval('public.bell');
             end if;
             return true;
         end $$;
         create operator evil.= (leftarg = uuid, rightarg = uuid, function = evil.equal);
         create operator evil.= (leftarg = text, rightarg = text, function = evil.equal);
         alter role {admin} set search_path = evil, pg_catalog, public;
         select setval('public.bell', 100)"
    ));
    let mut client = lab.fixture.connect(&admin);
    let findings = prove(&mut client, "tenancy.prove()");
    assert_eq!(open(&findings), [""; 0], "{findings:#?}");
    assert_eq!(lab.fixture.superuser().value("select last_value from public.bell").as_deref(), Some("100"));
}

/// A lab with a stranger who is an administrator, and a protected table of his, `lab.t`. What runs `lab.spy()` as
/// somebody who may do what the stranger may not is rung for, which no rollback silences.
fn with_spy(lab: &Lab) -> tenancy_harness::postgres::Client {
    let stranger = lab.fixture.role("stranger");
    lab.run(&format!(
        "select tenancy.grant_admin('{stranger}'); create schema lab authorization {stranger};
         grant usage on schema lab to public;
         create table secrets (s text); insert into secrets values ('for the application'); grant select on secrets to {{app}}"
    ));
    let mut client = lab.fixture.connect(&stranger);
    client.run(
        "create sequence lab.bell; grant usage on sequence lab.bell to public;
         create table lab.t (id int, tenant_id uuid); select tenancy.protect('lab.t', create_index => false);
         create function lab.spy() returns boolean cost 0.000001 language plpgsql as $$ begin
           begin perform from public.secrets; perform nextval('lab.bell'); exception when others then null; end;
           begin
             perform tenancy.set_tenant('globex');
             if exists (select from app.orders) then perform nextval('lab.bell'); end if;
           exception when others then null; end;
           return true;
         end $$",
    );
    client
}

#[test]
fn a_policy_s_word_makes_nobody_a_member() {
    let lab = Lab::new();
    let mut client = with_spy(&lab);
    client
        .run(&lab.fill("create policy spy on lab.t as restrictive to {app} using (lab.spy()) with check (lab.spy())"));
    for client in [&mut client, &mut lab.fixture.superuser()] {
        let findings = prove(client, "tenancy.prove('lab.t')");
        assert_eq!(open(&findings), [""; 0], "{findings:#?}");
        let named = of(&findings, "named_role");
        assert_eq!(named.blocked, None);
        assert!(named.detail.starts_with(&lab.fill("not tried as {app}: ")), "{named:?}");
        assert_eq!(of(&findings, "read").blocked, Some(true));
    }
    assert_eq!(client.value("select is_called from lab.bell").as_deref(), Some("f"));
}

#[test]
fn what_was_granted_on_a_table_is_tried_by_itself() {
    let lab = Lab::new();
    let mut client = with_spy(&lab);
    client.run("create policy spy on lab.t as restrictive using (lab.spy()) with check (lab.spy())");
    lab.run("grant truncate, trigger on lab.t to {app}");
    let findings = prove(&mut client, "tenancy.prove('lab.t')");
    assert_eq!(open(&findings), ["create_trigger"], "{findings:#?}");
    assert!(of(&findings, "create_trigger").detail.starts_with(&lab.fill("as a member of {app}: ")));
    assert_eq!(client.value("select is_called from lab.bell").as_deref(), Some("f"));
}

/// Nor where the table's owner is a member of the role himself: its access is for tenants that are real.
#[test]
fn nobody_acts_for_a_real_tenant_in_a_proof() {
    let lab = Lab::new();
    let mut client = with_spy(&lab);
    lab.run(&format!("drop table secrets; grant {{app}} to {}", lab.fixture.name("stranger")));
    client
        .run(&lab.fill("create policy spy on lab.t as restrictive to {app} using (lab.spy()) with check (lab.spy())"));
    let findings = prove(&mut client, "tenancy.prove('lab.t')");
    assert!(findings.iter().all(|found| found.attack != "named_role"), "{findings:#?}");
    assert_eq!(client.value("select is_called from lab.bell").as_deref(), Some("f"));
    // Afterwards, as before.
    let mut app = lab.fixture.connect(&lab.app);
    app.run("begin; select tenancy.set_tenant('globex'); commit");
}

#[test]
fn a_view_is_read_by_nobody_whom_its_owner_did_not_let() {
    let lab = Lab::new();
    let mut client = with_spy(&lab);
    client.run(
        "create function lab.peek() returns boolean cost 0.000001 language plpgsql as $$ begin
           begin perform from public.mixed; perform nextval('lab.bell'); exception when others then null; end;
           return true;
         end $$;
         create policy peek on lab.t as restrictive using (lab.peek()) with check (lab.peek())",
    );
    lab.run("create view mixed as select t.*, o.email from lab.t left join app.orders o on true; grant select on mixed to {app}");
    let findings = prove(&mut client, "tenancy.prove('lab.t')");
    assert_eq!(of(&findings, "view").blocked, None, "{findings:#?}");
    assert_eq!(client.value("select is_called from lab.bell").as_deref(), Some("f"));
}

/// A superuser's table with a stranger's type: rows are made up as the table's owner, and so would be what the type runs.
#[test]
fn no_row_is_made_up_with_types_of_others() {
    let lab = Lab::empty();
    let stranger = lab.fixture.role("stranger");
    lab.run(&format!("create schema lab authorization {stranger}; grant usage on schema lab to public"));
    lab.fixture.connect(&stranger).run(
        "create sequence lab.bell; grant usage on sequence lab.bell to public;
         create function lab.check(v text) returns boolean language plpgsql as $$ begin
           if (select rolsuper from pg_roles where rolname = current_user) then perform nextval('lab.bell'); end if;
           return true;
         end $$;
         create domain lab.tag as text check (lab.check(value))",
    );
    lab.run("create table tagged (id int, tenant_id uuid, tags lab.tag[] not null check (cardinality(tags) > 0)); select tenancy.protect('tagged')");
    let findings = prove(&mut lab.fixture.superuser(), "tenancy.prove('tagged')");
    assert_eq!(of(&findings, "read").blocked, None);
    assert_eq!(of(&findings, "read").detail, "could not plant a row: type lab.tag would act");
    assert_eq!(lab.fixture.superuser().value("select is_called from lab.bell").as_deref(), Some("f"));
}
