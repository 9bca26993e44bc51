//! Rows are planted in tables of any shape; where that fails, nothing is claimed.

use crate::{Lab, of};
use tenancy_harness::Session;

/// A table of this shape, empty, is proved: every attack is tried, and blocked.
#[track_caller]
fn is_proved(definition: &str) {
    let lab = Lab::empty();
    lab.run(definition);
    let findings = lab.prove("t");
    let faults: Vec<_> = findings.iter().filter(|found| found.blocked != Some(true)).collect();
    assert!(faults.is_empty(), "{definition}\n{faults:#?}");
}

#[test]
fn columns_of_many_types() {
    is_proved(
        "create type mood as enum ('fine', 'ill'); create type pair as (a integer, b text);
         create domain email as text check (value ~ '^[^@]+@[^@]+$');
         create table t (
             id bigint generated always as identity, tenant_id uuid, primary key (tenant_id, id),
             a text not null, b varchar(3) not null, c char(2) not null, d numeric(5, 2) not null, e real not null,
             f boolean not null, g date not null, h timestamptz not null, i time not null, j interval not null,
             k bytea not null, l json not null, m jsonb not null, n integer[] not null, o text[] not null,
             p inet not null, q cidr not null, r macaddr not null, s int4range not null, u tstzrange not null,
             v point not null, w bit(5) not null, x uuid not null, y mood not null, z pair not null,
             aa email not null, ab money not null, ac tsvector not null, ad name not null, ae \"char\" not null,
             af oid not null, ag polygon not null, ah circle not null, ai pg_lsn not null
         );
         select tenancy.protect('t')",
    );
}

#[test]
fn conditions_that_name_what_they_want() {
    is_proved(
        "create domain cents as integer check (value >= 0);
         create table t (
             id serial, tenant_id uuid, primary key (tenant_id, id),
             status text not null check (status in ('open', 'it''s done')),
             currency text not null check (currency ~ '^[A-Z]{3}$'),
             quantity integer not null check (quantity > 5 and quantity < 8),
             price cents not null, code text not null check (length(code) = 7),
             born date not null check (born < '2000-01-01'), mail text not null check (mail like '%@%'),
             total integer not null, check (total >= quantity)
         );
         select tenancy.protect('t')",
    );
}

#[test]
fn generated_columns_and_defaults() {
    is_proved(
        "create table t (
             id uuid default gen_random_uuid(), tenant_id text, net integer not null default 1,
             gross integer generated always as (net * 2) stored, at timestamptz not null default now(),
             primary key (tenant_id, id)
         );
         select tenancy.protect('t')",
    );
}

#[test]
fn partitions_of_every_sort() {
    is_proved(
        "create table t (tenant_id bigint, region text not null, n integer not null) partition by list (region);
         create table t_eu partition of t for values in ('eu', 'uk');
         create table t_us partition of t for values in ('us') partition by range (n);
         create table t_us_low partition of t_us for values from (0) to (10);
         create table t_us_high partition of t_us for values from (10) to (maxvalue);
         select tenancy.protect('t')",
    );
    is_proved(
        "create table t (tenant_id uuid, n integer not null) partition by hash (tenant_id);
         create table t_0 partition of t for values with (modulus 1, remainder 0);
         select tenancy.protect('t')",
    );
}

#[test]
fn names_that_need_quotes() {
    let lab = Lab::empty();
    lab.run(
        "create schema \"My Schema\";
         create table \"My Schema\".\"It's\" (\"select\" integer not null, \"Tenant Id\" uuid, \"a\"\"b\" text not null);
         select tenancy.protect('\"My Schema\".\"It''s\"', 'Tenant Id')",
    );
    let findings = lab.prove("\"My Schema\".\"It''s\"");
    assert!(findings.iter().all(|found| found.blocked == Some(true)), "{findings:#?}");
}

/// Every attack that needs rows is left open, with the reason; the others are decided.
#[track_caller]
fn is_not_planted(definition: &str, reason: &str) {
    let lab = Lab::empty();
    lab.run(definition);
    let findings = lab.prove("t");
    for attack in ["read", "count", "view", "insert", "update", "delete", "merge", "unique_oracle", "no_context"] {
        let Some(found) = findings.iter().find(|found| found.attack == attack) else { continue };
        assert_eq!(found.blocked, None, "{found:#?}");
        assert_eq!(found.detail, format!("could not plant a row: {reason}"));
    }
    assert_eq!(of(&findings, "truncate").blocked, Some(true));
    assert_eq!(of(&findings, "disable_rls").blocked, Some(true));
    assert!(!findings.iter().any(|found| found.blocked == Some(false)), "{findings:#?}");
}

#[test]
fn a_condition_that_cannot_be_met_is_said() {
    is_not_planted(
        "create table t (tenant_id uuid, n integer not null check (n * 2 = 31415926)); select tenancy.protect('t')",
        "SQLSTATE 23514",
    );
}

#[test]
fn a_tenant_without_a_partition_is_said() {
    is_not_planted(
        "create table t (tenant_id integer, body text) partition by list (tenant_id);
         create table t_7 partition of t for values in (7); select tenancy.protect('t')",
        "SQLSTATE 23514",
    );
    is_not_planted(
        "create table t (tenant_id integer, body text) partition by list (tenant_id); select tenancy.protect('t')",
        "it has no partition",
    );
}

#[test]
fn a_trigger_that_always_fires_is_not_fired() {
    is_not_planted(
        "create table t (tenant_id uuid, body text); select tenancy.protect('t');
         create function mail() returns trigger language plpgsql as 'begin perform 1 / 0; return new; end';
         create trigger \"Mail\" before insert or update or delete on t for each row execute function mail();
         alter table t enable always trigger \"Mail\"",
        "trigger \"Mail\" would act",
    );
}

#[test]
fn a_rule_that_always_acts_does_not_act() {
    is_not_planted(
        "create table t (tenant_id uuid, body text); select tenancy.protect('t'); create table sent (n integer);
         create rule mail as on insert to t do also insert into sent values (1); alter table t enable always rule mail",
        "rule mail would act",
    );
}

#[test]
fn what_can_not_be_attacked_does_not_keep_other_tables_from_being_proved() {
    let lab = Lab::new();
    lab.run(
        "alter table app.journal rename tenant_id to customer;
         create foreign data wrapper remote;
         create server elsewhere foreign data wrapper remote options (host 'elsewhere.example');
         create foreign table app.far () inherits (app.parent) server elsewhere",
    );
    let mut client = lab.fixture.superuser();
    let untried = client.texts(
        "select tbl::text || ': ' || detail from tenancy.prove()
         group by tbl, detail having bool_and(blocked is null) order by 1",
    );
    assert_eq!(untried, ["app.journal: the tenant column is missing", "app.parent: app.far is a foreign table"]);
    let open = client.texts("select tbl::text || ' ' || attack from tenancy.prove() where not blocked");
    assert_eq!(open, [""; 0]);
}

#[test]
fn registries_full_of_numbers_leave_room_for_made_up_tenants() {
    let lab = Lab::new();
    lab.run("insert into tenancy.tenants (id, key) select gen_random_uuid(), n::text from generate_series(1, 33000) n");
    for table in ["app.orders", "app.events"] {
        let findings = lab.prove(table);
        assert!(findings.iter().all(|found| found.blocked == Some(true)), "{findings:#?}");
    }
}

#[test]
fn other_triggers_stay_silent() {
    is_proved(
        "create table sent (n integer);
         create table t (tenant_id uuid, body text); select tenancy.protect('t');
         create function mail() returns trigger language plpgsql as 'begin perform 1 / 0; return new; end';
         create trigger mail before insert or update or delete on t for each row execute function mail();
         create trigger mail_all after insert or update or delete on t for each statement execute function mail()",
    );
}

#[test]
fn rows_that_are_there_are_copied() {
    let lab = Lab::empty();
    lab.run(
        "create table parent (id integer primary key, tenant_id uuid); select tenancy.protect('parent');
         create table t (
             id integer primary key, tenant_id uuid, secret integer not null check (secret * 2 = 31415926),
             parent_id integer not null references parent
         );
         select tenancy.protect('t');
         insert into parent select 1, id from tenancy.tenants where key = 'acme';
         insert into t select 1, id, 15707963, 1 from tenancy.tenants where key = 'acme'",
    );
    let findings = lab.prove("t");
    let open: Vec<_> = findings.iter().filter(|found| found.blocked != Some(true)).collect();
    let told: Vec<_> = open.iter().map(|found| (found.attack.as_str(), found.detail.as_str())).collect();
    assert_eq!(
        told,
        [
            ("unique_oracle", "without the tenant column: t_pkey (SQLSTATE 23505)"),
            ("foreign_key_oracle", "without the tenant column: t_parent_id_fkey"),
        ]
    );
}

#[test]
fn what_hides_own_rows_too_shows_nothing() {
    let lab = Lab::empty();
    lab.run(
        "create table t (tenant_id uuid, body text); select tenancy.protect('t');
         create policy never on t as restrictive using (false)",
    );
    let findings = lab.prove("t");
    let read = of(&findings, "read");
    assert_eq!((read.blocked, read.detail.as_str()), (None, "the tenant's own row could not be read either"));
    let insert = of(&findings, "insert");
    assert_eq!(insert.detail, "the tenant's own row could not be inserted either: SQLSTATE 42501");
    assert_eq!(of(&findings, "truncate").blocked, Some(true));
}

#[test]
fn a_policy_that_relies_on_the_search_path_is_evaluated_as_in_a_session() {
    let lab = Lab::empty();
    lab.run(
        "create table hidden (word text); grant select on hidden to public;
         create table t (tenant_id uuid, body text); select tenancy.protect('t');
         create function visible(text) returns boolean stable language plpgsql
             as 'begin return not exists (select from hidden where word = $1); end';
         create policy words on t as restrictive using (visible(body))",
    );
    let findings = lab.prove("t");
    assert!(findings.iter().all(|found| found.blocked == Some(true)), "{findings:#?}");
}

#[test]
fn a_view_that_does_not_show_the_planted_rows_proves_nothing() {
    let lab = Lab::new();
    lab.run(
        "create view app.paid as select email from app.orders where note = 'paid'; grant select on app.paid to public",
    );
    let view = of(&lab.prove("app.orders"), "view").clone();
    assert_eq!(view.blocked, None);
    assert_eq!(view.detail, "app.paid: it does not show the tenant's own row either");
    let mut client = lab.fixture.superuser();
    client.run("update app.orders set note = 'paid'");
    let view = of(&lab.prove("app.orders"), "view").clone();
    assert_eq!(
        (view.blocked, view.detail.as_str()),
        (Some(false), "app.paid: another tenant's row changes what it shows")
    );
}
