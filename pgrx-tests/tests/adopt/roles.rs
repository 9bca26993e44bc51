//! Who acts for the tenant meanwhile and afterwards.

use tenancy_harness::{ACME, Cluster, Config, Fixture, GLOBEX, Session, settings_turn};

fn notes(fixture: &Fixture<'_>) {
    fixture.register(&[ACME, GLOBEX]);
    fixture.run("create schema app; create table app.notes (id int primary key, body text); insert into app.notes values (1, 'a')");
}

fn defaults(fixture: &Fixture<'_>) -> Vec<String> {
    fixture
        .superuser()
        .texts("select ddl from tenancy.adopt_plan('app', 'acme') where phase = 'default tenant' order by step")
}

#[test]
fn roles_that_reach_the_tables_and_act_for_nobody_get_the_tenant() {
    let fixture = Fixture::new();
    notes(&fixture);
    let [direct, member, column, other, modern, bypasses] =
        ["direct", "member", "column", "other", "modern", "bypasses"].map(|stem| fixture.role(stem));
    fixture.run(&format!(
        "grant usage on schema app to public; grant select on app.notes to {direct}, {modern}, {bypasses};
         grant {direct} to {member}; alter role {member} noinherit; grant update (body) on app.notes to {column};
         select tenancy.grant_access('{modern}', 'globex'); alter role {bypasses} bypassrls"
    ));
    let given = defaults(&fixture);
    for role in [&direct, &member, &column] {
        let ddl = format!("ALTER ROLE {role} IN DATABASE {} SET tenancy.default_tenant = 'acme';", fixture.database());
        assert!(given.contains(&ddl), "{given:?}");
    }
    for role in [&other, &modern, &bypasses] {
        assert!(!given.iter().any(|ddl| ddl.contains(role.as_str())), "{given:?}");
    }
    for ddl in given {
        fixture.run(&ddl);
    }
    assert_eq!(defaults(&fixture), Vec::<String>::new());
}

#[test]
fn a_default_given_by_alter_role_counts_in_sessions_that_go_on() {
    let _turn = settings_turn();
    let fixture = Fixture::new();
    notes(&fixture);
    let [app, job] = ["app", "job"].map(|stem| fixture.role(stem));
    fixture.run(&format!(
        "grant usage on schema app to {app}, {job}; grant select, insert on app.notes to {app}, {job};
         grant set on parameter tenancy.default_tenant to {job}"
    ));
    let mut sessions = [&app, &job].map(|role| fixture.connect(role));
    // The library is loaded, and there is no tenant.
    for session in &mut sessions {
        assert_eq!(session.value("select tenancy.current_tenant() is null").as_deref(), Some("t"));
    }
    sessions[1].run("set tenancy.default_tenant = ''");
    fixture.run("select tenancy.adopt('app', 'acme')");
    sessions[0].run("insert into app.notes values (2, 'b')");
    assert_eq!(sessions[0].texts("select body from app.notes order by 1"), ["a", "b"]);
    assert_eq!(sessions[0].value("select tenancy.current_key()").as_deref(), Some("acme"));
    // Who has set none, or another one, keeps it.
    assert_eq!(sessions[1].texts("select body from app.notes"), Vec::<String>::new());
    sessions[1].run("set tenancy.default_tenant = 'globex'");
    assert_eq!(sessions[1].texts("select body from app.notes"), Vec::<String>::new());
    // One tenant per transaction, as with any default.
    sessions[0].refuses("begin; select from app.notes; select tenancy.set_tenant('globex')", "42501");
    sessions[0].run("rollback");
    // Like any setting of a role, it is what the session has from here on, and what RESET leads to.
    fixture.run(&format!("alter role {app} in database {} reset tenancy.default_tenant", fixture.database()));
    sessions[0].run("reset all");
    assert_eq!(sessions[0].texts("select body from app.notes order by 1"), ["a", "b"]);
    assert_eq!(fixture.connect(&app).texts("select body from app.notes"), Vec::<String>::new());
}

#[test]
fn who_was_given_a_default_goes_on_with_it() {
    let fixture = Fixture::new();
    notes(&fixture);
    let app = fixture.role("app");
    fixture.run(&format!(
        "insert into app.notes select n, 'n' from generate_series(2, 20000) n; analyze app.notes;
         grant usage on schema app to {app}; grant select on app.notes to {app};
         grant select on tenancy.tenants to {app}"
    ));
    let mut sessions = [(); 2].map(|()| fixture.connect(&app));
    for session in &mut sessions {
        session.run(
            "set parallel_setup_cost = 0; set parallel_tuple_cost = 0; set min_parallel_table_scan_size = 0;
             select tenancy.current_tenant()",
        );
    }
    fixture.run("select tenancy.adopt('app', 'acme')");
    // What workers find is what the leader has, also where they alone look.
    let count = "select count(*) from app.notes";
    assert!(sessions[0].texts(&format!("explain (costs off) {count}")).join("\n").contains("Parallel"));
    assert_eq!(sessions[0].value(count).as_deref(), Some("20000"));
    // A change in the middle of a transaction takes nothing away.
    let mut tx = sessions[1].transaction().expect("a transaction");
    assert_eq!(tx.value(count).as_deref(), Some("20000"));
    tx.run("set local tenancy.user_id = 'ann'");
    fixture.run("select tenancy.suspend_tenant('globex')");
    assert_eq!(tx.value(count).as_deref(), Some("20000"));
    tx.run("declare c cursor for select id from app.notes order by id; fetch 5 from c");
    tx.commit().expect("the transaction ends");
}

#[test]
fn nobody_gives_himself_a_default() {
    let preloaded = Cluster::start("given", &Config::default());
    let late = Cluster::start("given", &Config::without_preload());
    for cluster in [&preloaded, &late] {
        let fixture = Fixture::on(cluster);
        notes(&fixture);
        let app = fixture.role("app");
        fixture.run(&format!(
            "grant usage on schema app to {app}; grant select on app.notes to {app}; select tenancy.adopt('app', 'acme');
             alter role {app} in database {} reset tenancy.default_tenant; alter role {app} createrole",
            fixture.database()
        ));
        for loaded in [false, true] {
            let mut client = fixture.connect(&app);
            if loaded {
                client.run("select tenancy.current_tenant()");
            }
            for target in [app.clone(), format!("{app} in database {}", fixture.database())] {
                client.refuses(&format!("alter role {target} set tenancy.default_tenant = 'acme'"), "42501");
            }
            assert_eq!(client.texts("select body from app.notes"), Vec::<String>::new());
        }
    }
}

#[test]
fn roles_that_do_not_reach_the_schema_get_none() {
    let fixture = Fixture::new();
    notes(&fixture);
    let outsider = fixture.role("outsider");
    fixture.run("grant select on app.notes to public");
    assert!(!defaults(&fixture).iter().any(|ddl| ddl.contains(&outsider)));
}

#[test]
fn the_databases_default_counts_too_and_a_roles_own_comes_first() {
    let fixture = Fixture::new();
    notes(&fixture);
    let app = fixture.role("app");
    fixture.run(&format!("grant usage on schema app to {app}; grant select on app.notes to {app}"));
    let mut session = fixture.connect(&app);
    let key = "select coalesce(tenancy.current_key(), '')";
    let mut late = fixture.connect(&app);
    for session in [&mut session, &mut late] {
        assert_eq!(session.value(key).as_deref(), Some(""));
    }
    fixture.run(&format!("alter database {} set tenancy.default_tenant = 'globex'", fixture.database()));
    assert_eq!(session.value(key).as_deref(), Some("globex"));
    fixture.run(&format!("alter role {app} set tenancy.default_tenant = 'acme'"));
    assert_eq!(session.value(key).as_deref(), Some("globex"), "what it has, it keeps");
    for session in [&mut late, &mut fixture.connect(&app)] {
        assert_eq!(session.value(key).as_deref(), Some("acme"));
    }
    assert_eq!(defaults(&fixture), Vec::<String>::new());
    // A sealed session has what it was sealed to.
    let mut sealed = fixture.connect(&app);
    fixture.run(&format!("select tenancy.grant_access('{app}', 'globex')"));
    sealed.run("select tenancy.set_tenant('globex', false); select tenancy.seal('0123456789abcdef'); reset all");
    assert_eq!(sealed.value(key).as_deref(), Some(""));
}

#[test]
fn an_owner_that_is_no_superuser_adopts_his_tables() {
    let _turn = settings_turn();
    let fixture = Fixture::new();
    notes(&fixture);
    let owner = fixture.role("owner");
    fixture.run(&format!(
        "create table app.lines (note_id int references app.notes, tenant_id uuid); insert into app.lines values (1, null);
         alter schema app owner to {owner}; alter table app.notes owner to {owner}; alter table app.lines owner to {owner};
         select tenancy.grant_admin('{owner}'); grant set on parameter tenancy.default_tenant to {owner};
         create function app.no() returns trigger language plpgsql as $$ begin return new; end $$;
         alter function app.no() owner to {owner};
         create trigger no before update on app.lines for each row execute function app.no()"
    ));
    let mut client = fixture.connect(&owner);
    let plan = "select ddl from tenancy.adopt_plan('app', 'acme') order by step";
    for step in client.texts(plan) {
        client.run(&step);
    }
    assert_eq!(client.texts(plan), Vec::<String>::new());
    let key = "select pg_get_constraintdef(oid) from pg_constraint where contype = 'f' and connamespace = 'app'::regnamespace";
    assert_eq!(
        client.value(key).as_deref(),
        Some("FOREIGN KEY (tenant_id, note_id) REFERENCES app.notes(tenant_id, id)")
    );
    assert_eq!(client.texts("select tenant_id::text from app.lines"), [ACME.id]);
}
