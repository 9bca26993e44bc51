//! What a key and a foreign key said besides their columns they say afterwards.

use tenancy_harness::Session;

use crate::{definitions, fill, run_plan, shop};

/// Makes and protects `parent` and `child`, scopes the parent's primary key, and expects the child's foreign key.
#[track_caller]
fn becomes(foreign_key: &str, expected: &[&str]) {
    for live in [false, true] {
        let (fixture, _) = shop();
        let mut superuser = fixture.superuser();
        superuser.run(&format!(
            "create table parent (tenant_id uuid, id integer primary key);
             create table child (tenant_id uuid, x integer default 7, constraint k foreign key (x) references parent {foreign_key});
             select tenancy.protect('parent'), tenancy.protect('child')"
        ));
        if live {
            run_plan(&mut superuser, "parent");
        } else {
            superuser.run("select tenancy.scope_unique('parent', 'parent_pkey')");
        }
        assert_eq!(definitions(&mut superuser, "child", "f"), expected, "live: {live}");
        assert_eq!(definitions(&mut superuser, "parent", "p"), ["parent_pkey: PRIMARY KEY (tenant_id, id)"]);
        assert_eq!(superuser.texts("select tenancy.scope_unique('parent', 'parent_pkey')"), Vec::<String>::new());
        assert_eq!(superuser.texts("select tenancy.scope_foreign_key('child', 'k')"), Vec::<String>::new());
    }
}

const PLAIN: &str = "k: FOREIGN KEY (tenant_id, x) REFERENCES parent(tenant_id, id)";

#[test]
fn actions_stay_and_leave_the_tenant_alone() {
    becomes("", &[PLAIN]);
    becomes("on delete cascade on update cascade", &[&format!("{PLAIN} ON UPDATE CASCADE ON DELETE CASCADE")]);
    becomes("on delete restrict on update restrict", &[&format!("{PLAIN} ON UPDATE RESTRICT ON DELETE RESTRICT")]);
    becomes("on delete set null", &[&format!("{PLAIN} ON DELETE SET NULL (x)")]);
    becomes("on delete set default", &[&format!("{PLAIN} ON DELETE SET DEFAULT (x)")]);
}

#[test]
fn deferrable_and_not_valid_stay() {
    becomes("deferrable", &[&format!("{PLAIN} DEFERRABLE")]);
    becomes("deferrable initially deferred", &[&format!("{PLAIN} DEFERRABLE INITIALLY DEFERRED")]);
    becomes(
        "); alter table child drop constraint k, add constraint k foreign key (x) references parent not valid; create table other (x integer",
        &[&format!("{PLAIN} NOT VALID")],
    );
}

/// MATCH FULL of one column lets NULL pass, and so must its successor, whose tenant is never NULL.
#[test]
fn match_full_lets_the_same_rows_pass() {
    becomes("match full", &[PLAIN]);
    let (fixture, _) = shop();
    let mut superuser = fixture.superuser();
    superuser.run(
        "create table parent (tenant_id uuid, a integer, b integer, primary key (a, b));
         create table child (tenant_id uuid, a integer, b integer, constraint k foreign key (a, b) references parent match full);
         select tenancy.protect('parent'), tenancy.protect('child');
         select tenancy.scope_unique('parent', 'parent_pkey')",
    );
    superuser.run(&fill("insert into child values ('{acme}', null, null)"));
    superuser.refuses(&fill("insert into child values ('{acme}', 1, null)"), "23514");
    superuser.refuses(&fill("insert into child values ('{acme}', 1, 1)"), "23503");
    superuser.run(
        "create table strict (tenant_id uuid, a integer not null, b integer not null, constraint s foreign key (tenant_id, a, b)
             references parent match full); select tenancy.protect('strict')",
    );
    assert_eq!(superuser.texts("select tenancy.scope_foreign_key('strict', 's')"), Vec::<String>::new());
}

#[test]
fn a_dry_run_tells_what_is_run_and_runs_nothing() {
    let (fixture, _) = shop();
    let mut superuser = fixture.superuser();
    superuser.run(
        "create table parent (tenant_id uuid, id integer primary key);
         create table child (tenant_id uuid, x integer constraint k references parent);
         create index on child (x);
         select tenancy.protect('parent'), tenancy.protect('child')",
    );
    let told = superuser.texts("select tenancy.scope_unique('parent', 'parent_pkey', dry_run => true)");
    assert_eq!(
        told,
        [
            "ALTER TABLE public.child DROP CONSTRAINT k;",
            "ALTER TABLE public.parent DROP CONSTRAINT parent_pkey, ADD CONSTRAINT parent_pkey PRIMARY KEY (tenant_id, id);",
            "CREATE INDEX ON public.child (tenant_id, x);",
            "ALTER TABLE public.child ADD CONSTRAINT k FOREIGN KEY (tenant_id, x) REFERENCES public.parent (tenant_id, id);",
        ]
    );
    assert_eq!(definitions(&mut superuser, "parent", "p"), ["parent_pkey: PRIMARY KEY (id)"]);
    let told_of_fk = superuser.texts("select tenancy.scope_foreign_key('child', 'k', dry_run => true)");
    assert!(told_of_fk.contains(&"CREATE UNIQUE INDEX ON public.parent (tenant_id, id);".to_owned()), "{told_of_fk:?}");
    assert_eq!(superuser.texts("select tenancy.scope_unique('parent', 'parent_pkey')"), told);
}

/// The index that a foreign key needed becomes the key, instead of another one beside it.
#[test]
fn no_index_is_built_twice() {
    let (fixture, _) = shop();
    let mut superuser = fixture.superuser();
    superuser.run(
        "create table parent (tenant_id uuid, id integer primary key);
         create table child (tenant_id uuid, x integer constraint k references parent);
         select tenancy.protect('parent'), tenancy.protect('child');
         select tenancy.scope_foreign_key('child', 'k'), tenancy.scope_unique('parent', 'parent_pkey')",
    );
    let indexes =
        superuser.texts("select indexrelid::regclass::text from pg_index where indrelid = 'parent'::regclass");
    assert_eq!(indexes.iter().filter(|name| name.starts_with("parent")).count(), indexes.len());
    let unique = superuser
        .texts("select indexrelid::regclass::text from pg_index where indrelid = 'parent'::regclass and indisunique");
    assert_eq!(unique, ["parent_pkey"]);
    assert_eq!(definitions(&mut superuser, "child", "f"), [PLAIN]);
}

#[test]
fn keys_of_shared_tables_hold_for_what_belongs_to_nobody_too() {
    let (fixture, _) = shop();
    let mut superuser = fixture.superuser();
    superuser.run(
        "create table items (tenant_id uuid, name text not null unique); select tenancy.protect('items', kind => 'shared');
         select tenancy.scope_unique('items', 'items_name_key'); insert into items values (null, 'a')",
    );
    superuser.run(&fill("insert into items values ('{acme}', 'a'), ('{globex}', 'a')"));
    superuser.refuses("insert into items values (null, 'a')", "23505");
}

#[test]
fn the_tenant_columns_may_have_different_names_and_widths() {
    let (fixture, _) = shop();
    let mut superuser = fixture.superuser();
    superuser.run(
        "create domain account as bigint;
         create table parent (owner integer, id integer primary key, up integer references parent);
         create table child (account account, x bigint constraint k references parent);
         insert into parent values (1, 1, null), (1, 2, 1), (2, 3, 3); insert into child values (1, 2), (2, 3), (2, null);
         select tenancy.protect('parent', 'owner'), tenancy.protect('child', 'account');
         select tenancy.scope_unique('parent', 'parent_pkey')",
    );
    assert_eq!(definitions(&mut superuser, "child", "f"), ["k: FOREIGN KEY (account, x) REFERENCES parent(owner, id)"]);
    let (fixture, _) = shop();
    let mut superuser = fixture.superuser();
    superuser.run(
        "create table parent (tenant text collate \"C\", id integer primary key);
         create table child (tenant varchar(40), x integer constraint k references parent);
         insert into parent values ('acme', 1); insert into child values ('acme', 1);
         select tenancy.protect('parent', 'tenant'), tenancy.protect('child', 'tenant');
         select tenancy.scope_unique('parent', 'parent_pkey')",
    );
    assert_eq!(definitions(&mut superuser, "child", "f"), ["k: FOREIGN KEY (tenant, x) REFERENCES parent(tenant, id)"]);
}

#[test]
fn keys_of_periods_and_keys_not_enforced_are_led_too() {
    let (fixture, _) = shop();
    if fixture.major_version() < 18 {
        return;
    }
    let mut superuser = fixture.superuser();
    superuser.run(&fill(
        "create extension btree_gist;
         create table rooms (tenant_id uuid, id integer, valid daterange, primary key (id, valid without overlaps));
         create table stays (tenant_id uuid, room integer, during daterange,
             constraint k foreign key (room, period during) references rooms (id, period valid));
         create table loose (tenant_id uuid, id integer primary key);
         create table uses (tenant_id uuid, x integer, constraint k foreign key (x) references loose not enforced);
         insert into rooms values ('{acme}', 1, '[2026-01-01,2026-02-01)'), ('{globex}', 1, '[2026-02-01,2026-03-01)');
         insert into stays values ('{acme}', 1, '[2026-01-20,2026-02-10)');
         select tenancy.protect('rooms'), tenancy.protect('stays'), tenancy.protect('loose'), tenancy.protect('uses');
         select tenancy.scope_unique('loose', 'loose_pkey')",
    ));
    assert_eq!(
        definitions(&mut superuser, "uses", "f"),
        ["k: FOREIGN KEY (tenant_id, x) REFERENCES loose(tenant_id, id) NOT ENFORCED"]
    );
    superuser.refuses("select tenancy.scope_unique('rooms', 'rooms_pkey')", "23503");
    superuser.run("update stays set during = '[2026-01-20,2026-01-25)'");
    superuser.refuses("select tenancy.scope_foreign_key('stays', 'k')", "55000");
    superuser.run("select tenancy.scope_unique('rooms', 'rooms_pkey')");
    assert_eq!(
        definitions(&mut superuser, "stays", "f"),
        ["k: FOREIGN KEY (tenant_id, room, PERIOD during) REFERENCES rooms(tenant_id, id, PERIOD valid)"]
    );
    assert_eq!(
        definitions(&mut superuser, "rooms", "p"),
        ["rooms_pkey: PRIMARY KEY (tenant_id, id, valid WITHOUT OVERLAPS)"]
    );
}
