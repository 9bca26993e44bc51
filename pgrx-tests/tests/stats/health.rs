//! `tenancy.health()`: all is well at first, and each check tells when it is not.

use tenancy_harness::{Cluster, Config, Session};

use crate::Shop;

#[track_caller]
fn ailing(superuser: &mut impl Session) -> Vec<String> {
    superuser.texts("select \"check\" from tenancy.health() where not ok and \"check\" <> 'server_version' order by 1")
}

#[test]
fn a_new_database_is_well_and_only_who_watches_may_ask() {
    let shop = Shop::new();
    let mut superuser = shop.fixture.superuser();
    assert_eq!(ailing(&mut superuser), Vec::<String>::new());
    let checks = superuser.texts("select \"check\" from tenancy.health()");
    assert_eq!(
        checks,
        [
            "library",
            "server_version",
            "workers",
            "rates_memory",
            "stats_memory",
            "protection",
            "guards",
            "audit_partitions",
            "audit_seal",
            "token_keys",
            "replication"
        ]
    );
    // As the doctor has it, which shows the same list of releases.
    let agree = "select ok from tenancy.health() where \"check\" = 'server_version'
                 except select not exists (select from tenancy.doctor() where code = 'SERVER_TOO_OLD')";
    assert_eq!(superuser.texts(agree), Vec::<String>::new());
    let watcher = shop.fixture.role("watcher");
    shop.fixture.run(&format!("grant pg_monitor to {watcher}"));
    let mut watcher = shop.fixture.connect(&watcher);
    assert_eq!(ailing(&mut watcher), Vec::<String>::new());
    shop.client().refuses("select * from tenancy.health()", "42501");
}

#[test]
fn each_check_tells_when_something_is_amiss() {
    let shop = Shop::new();
    let mut superuser = shop.fixture.superuser();
    let never = Vec::<String>::new();
    // What breaks it, what it is called, what mends it.
    for (breaks, check, mends) in [
        (
            "update pg_extension set extversion = '0.0.9' where extname = 'pg_tenancy'",
            "library",
            "update pg_extension set extversion = (select default_version from pg_available_extensions where name = 'pg_tenancy')
              where extname = 'pg_tenancy'",
        ),
        (
            "set tenancy.guard_ddl = off; alter table notes no force row level security",
            "protection",
            "alter table notes force row level security",
        ),
        (
            "drop policy tenant_isolation_floor on notes",
            "protection",
            "reset tenancy.guard_ddl; select tenancy.protect('notes')",
        ),
        (
            "select tenancy.audit('notes');
             do $$ declare part regclass; begin
               for part in select inhrelid from pg_inherits where inhparent = 'tenancy.audit_log'::regclass
                             and inhrelid <> 'tenancy.audit_log_default'::regclass loop
                 execute format('drop table %s', part);
               end loop; end $$",
            "audit_partitions",
            "select tenancy.audit_maintain()",
        ),
        (
            "select tenancy.grant_access(current_user, mode => 'signed')",
            "token_keys",
            "select tenancy.add_jwt_key('k1', 'HS256', 'a secret that is long enough for this purpose')",
        ),
    ] {
        superuser.run(breaks);
        assert_eq!(ailing(&mut superuser), [check], "{breaks}");
        superuser.run(mends);
        assert_eq!(ailing(&mut superuser), never, "{mends}");
    }
    superuser.run("update tenancy.jwt_keys set not_after = now() + interval '1 hour'");
    assert_eq!(ailing(&mut superuser), ["token_keys"]);
}

/// Tables of every kind, whose tenant column is of every type.
fn all_kinds(superuser: &mut impl Session) -> Vec<String> {
    let mut tables = Vec::new();
    for kind in ["tenant", "shared", "append_only", "tree"] {
        for (number, column_type) in
            ["uuid", "text", "varchar(20)", "smallint", "integer", "bigint"].into_iter().enumerate()
        {
            let table = format!("{kind}_{number}");
            superuser.run(&format!(
                "create table {table} (id integer, \"Tenant Id\" {column_type});
                 select tenancy.protect('{table}', 'Tenant Id', '{kind}')"
            ));
            tables.push(table);
        }
    }
    superuser.run(
        "create table parts (id integer, tenant_id uuid) partition by range (id);
         create table part partition of parts for values from (1) to (9);
         select tenancy.protect('parts')",
    );
    tables.extend(["parts", "part"].map(str::to_owned));
    tables
}

#[test]
fn each_policy_of_each_kind_is_missed_when_it_is_gone_or_asks_for_no_tenant() {
    let shop = Shop::new();
    let mut superuser = shop.fixture.superuser();
    let tables = all_kinds(&mut superuser);
    assert_eq!(ailing(&mut superuser), Vec::<String>::new());
    let listed = tables.iter().filter(|table| table.ends_with("_0") || *table == "part").cloned().collect::<Vec<_>>();
    superuser.run("set tenancy.guard_ddl = off");
    let mut tried = 0;
    for table in &listed {
        let policies = superuser.texts(&format!(
            "select concat_ws(' ', polname, polqual is not null, polwithcheck is not null)
               from pg_policy where polrelid = '{table}'::regclass"
        ));
        for policy in policies {
            let [name, used, checked] = policy.split(' ').collect::<Vec<_>>()[..] else { panic!("{policy}") };
            let mut breaks = vec![
                format!("drop policy {name} on {table}"),
                format!("alter policy {name} on {table} to {}", shop.app),
            ];
            let own = if table == "part" { "tenant_id" } else { "\"Tenant Id\"" };
            for (keyword, is_there) in [("using", used), ("with check", checked)] {
                if is_there == "t" {
                    for expression in [
                        "true".to_owned(),
                        format!("{own} is not null"),
                        format!("{own} = tenancy.current_tenant() or true"),
                    ] {
                        breaks.push(format!("alter policy {name} on {table} {keyword} ({expression})"));
                    }
                }
            }
            for one in breaks {
                superuser.run(&format!("begin; {one}"));
                let detail = "select detail from tenancy.health() where \"check\" = 'protection' and not ok";
                let detail = superuser.value(detail).unwrap_or_else(|| panic!("nobody minds: {one}"));
                assert!(detail.contains(table.as_str()), "{one}: {detail}");
                superuser.run("rollback");
                tried += 1;
            }
        }
    }
    assert!(tried > 100, "{tried}");
    assert_eq!(ailing(&mut superuser), Vec::<String>::new());
}

#[test]
fn guards_that_are_switched_off_by_a_setting_are_missed() {
    let shop = Shop::new();
    let mut superuser = shop.fixture.superuser();
    let (database, app) = (shop.fixture.database().to_owned(), &shop.app);
    let mut settings = vec!["tenancy.guard_ddl"];
    if shop.fixture.major_version() >= 17 {
        settings.push("event_triggers");
    }
    let detail = "select detail from tenancy.health() where \"check\" = 'guards' and not ok";
    let never = Vec::<String>::new();
    for setting in settings {
        // In its own session, an administrator may.
        superuser.run(&format!("set {setting} = off"));
        assert_eq!(superuser.texts(detail), never, "{setting}");
        superuser.run(&format!("reset {setting}"));
        for (whose, told) in [
            (format!("database {database}"), setting.to_owned()),
            (format!("role {app} in database {database}"), format!("{setting} for role {app}")),
        ] {
            for value in ["off", "'no'", "0"] {
                superuser.run(&format!("alter {whose} set {setting} = {value}"));
                let seen = shop.fixture.superuser().texts(detail);
                assert_eq!(seen, [format!("switched off: {told}")], "{whose}: {value}");
            }
            superuser.run(&format!("alter {whose} set {setting} = on"));
            assert_eq!(shop.fixture.superuser().texts(detail), never, "{whose}");
            superuser.run(&format!("alter {whose} reset {setting}"));
        }
        superuser.run(&format!("alter role {app} in database postgres set {setting} = off"));
        assert_eq!(superuser.texts(detail), never, "another database");
    }
}

#[test]
fn each_event_trigger_is_missed() {
    let shop = Shop::new();
    let mut superuser = shop.fixture.superuser();
    let guards = superuser.texts(
        "select t.evtname::text from pg_event_trigger t join pg_depend d on d.classid = 'pg_event_trigger'::regclass and d.objid = t.oid
          where d.deptype = 'e' and d.refobjid = (select oid from pg_extension where extname = 'pg_tenancy')",
    );
    assert!(guards.len() >= 7, "{guards:?}");
    for guard in guards {
        for state in ["disable", "enable"] {
            superuser.run(&format!("alter event trigger {guard} {state}"));
            let detail = "select detail from tenancy.health() where \"check\" = 'guards' and not ok";
            let detail = superuser.value(detail).unwrap_or_else(|| panic!("nobody misses {guard}"));
            assert!(detail.contains(&guard), "{guard}: {detail}");
        }
        superuser.run(&format!("alter event trigger {guard} enable always"));
    }
    assert_eq!(ailing(&mut superuser), Vec::<String>::new());
}

#[test]
fn entries_that_wait_to_be_sealed_are_told_of() {
    let shop = Shop::new();
    shop.fixture.run("select tenancy.audit('notes')");
    let mut superuser = shop.fixture.superuser();
    shop.client().run("begin; select tenancy.set_tenant('acme'); insert into notes (id) values (1); commit");
    superuser.run("select tenancy.audit_seal()");
    shop.client().run("begin; select tenancy.set_tenant('acme'); insert into notes (id) values (2); commit");
    assert_eq!(ailing(&mut superuser), Vec::<String>::new());
    // As if that had been some days ago.
    superuser.run(
        "alter table tenancy.audit_chain disable trigger all; alter table tenancy.audit_log disable trigger all;
         update tenancy.audit_chain set sealed_at = now() - interval '3 days';
         update tenancy.audit_log set at = now() - interval '2 days'
          where at = (select max(at) from tenancy.audit_log)",
    );
    let ailing = ailing(&mut superuser);
    assert!(ailing.contains(&"audit_seal".to_owned()), "{ailing:?}");
    superuser.run("alter table tenancy.audit_chain enable always trigger guard_audit_log; select tenancy.audit_seal()");
    let ok = "select ok from tenancy.health() where \"check\" = 'audit_seal'";
    assert_eq!(superuser.value(ok).as_deref(), Some("t"));
}

#[test]
fn a_standby_is_well_while_it_follows() {
    let primary = Cluster::start("primary", &Config::default());
    let shop = Shop::on(&primary);
    let standby = primary.standby();
    standby.wait_for_catch_up(&primary);
    let mut there = standby.connect_to(shop.fixture.database(), Cluster::SUPERUSER);
    assert_eq!(ailing(&mut there), Vec::<String>::new());
    let detail = "select detail from tenancy.health() where \"check\" = 'replication'";
    assert!(shop.fixture.superuser().value(detail).unwrap().contains("1 standbys"));
    there.run("select pg_wal_replay_pause()");
    assert_eq!(ailing(&mut there), ["replication"]);
    there.run("select pg_wal_replay_resume()");
    assert_eq!(ailing(&mut there), Vec::<String>::new());
    // Statistics it has of its own.
    let read = "begin; select tenancy.set_tenant('acme'); select count(*) from notes; commit";
    standby.connect_to(shop.fixture.database(), &shop.app).run(read);
    let counted = "select concat_ws(' ', tenant, transactions, statements, rows) from tenancy.stat_tenants";
    assert_eq!(there.texts(counted), ["acme 1 2 2"]);
    assert_eq!(shop.fixture.superuser().texts(counted), Vec::<String>::new());
    there.run("select tenancy.reset_stats()");
    assert_eq!(there.texts(counted), Vec::<String>::new());
}
