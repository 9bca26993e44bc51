//! A plan that stops anywhere goes on from there.

use std::collections::HashSet;
use std::time::Duration;

use tenancy_harness::postgres::Client;
use tenancy_harness::{ACME, Fixture, Session, sqlstate};

use crate::odd::ODD;
use crate::{GLOBAL, application, counts, is_adopted, plan};

/// Runs some steps of the plan, makes it anew, and so on. Returns how many steps that were.
fn run_in_pieces(client: &mut Client, plan: &str, piece: usize) -> usize {
    let whole = client.texts(plan);
    let mut steps = 0;
    loop {
        let left = client.texts(plan);
        if left.is_empty() {
            break;
        }
        for step in left.iter().filter(|step| !step.starts_with("--")).take(piece) {
            assert!(steps <= whole.len(), "does not end: {step}");
            client.run(step);
            steps += 1;
        }
    }
    let statements = whole.iter().filter(|step| !step.starts_with("--")).count();
    assert_eq!(steps, statements, "no step is done twice, and none comes unforeseen");
    steps
}

#[test]
fn after_some_steps_the_plan_is_what_is_left() {
    let fixture = Fixture::new();
    let app = application(&fixture);
    let mut superuser = fixture.superuser();
    let before = counts(&mut superuser);
    let plan = format!("select ddl from tenancy.adopt_plan('app', 'acme', {GLOBAL}) order by step");
    assert!(run_in_pieces(&mut superuser, &plan, 7) > 200);
    assert_eq!(counts(&mut superuser), before);
    is_adopted(&fixture, &app);
}

#[test]
fn after_each_step_the_plan_is_what_is_left() {
    let fixture = Fixture::new();
    fixture.run(&format!("select tenancy.create_tenant('acme', id => '{}')", ACME.id));
    fixture.run(ODD);
    let plan = "select ddl from tenancy.adopt_plan('My App', 'acme') order by step";
    assert!(run_in_pieces(&mut fixture.superuser(), plan, 1) > 30);
}

#[test]
fn a_step_that_fails_changes_nothing_and_is_done_again() {
    let fixture = Fixture::new();
    let app = application(&fixture);
    let mut superuser = fixture.superuser();
    let before = counts(&mut superuser);
    let mut failed = 0;
    // Somebody reads every table and does not let go, so that each step that needs a strong lock fails; a few are enough.
    for step in plan(&mut superuser) {
        if failed < 12 && !step.contains("CONCURRENTLY") && step.contains("LOCK TABLE") {
            let mut holder = fixture.superuser();
            let table =
                step.split("LOCK TABLE ONLY ").nth(1).and_then(|rest| rest.split(" IN ").next()).expect("a table");
            let table = table.split(',').next().expect("a table");
            holder.run(&format!("begin; lock table {table} in access share mode"));
            let fewer = step.replace("1..600", "1..2");
            let outcome = superuser.batch_execute(&fewer);
            if !step.contains("IN SHARE") {
                assert_eq!(sqlstate(&outcome), Some("55P03"), "{step}");
            }
            failed += 1;
        }
        superuser.run(&step);
    }
    assert!(failed >= 12, "{failed}");
    assert_eq!(plan(&mut superuser), Vec::<String>::new());
    assert_eq!(counts(&mut superuser), before);
    is_adopted(&fixture, &app);
}

#[test]
fn a_step_that_is_killed_is_done_again() {
    let fixture = Fixture::new();
    fixture.run(&format!("select tenancy.create_tenant('acme', id => '{}')", ACME.id));
    fixture.run(ODD);
    let plan = "select ddl from tenancy.adopt_plan('My App', 'acme') order by step";
    let mut superuser = fixture.superuser();
    let (mut tried, mut killed) = (HashSet::new(), 0);
    for round in 0.. {
        let left = superuser.texts(plan);
        let Some(step) = left.iter().find(|step| !step.starts_with("--")) else { break };
        assert!(round < 500, "does not end: {step}");
        if !tried.insert(step.clone()) {
            superuser.run(step);
            continue;
        }
        let mut victim = fixture.superuser();
        let end =
            format!("select pg_terminate_backend({})", victim.value("select pg_backend_pid()").expect("a number"));
        let outcome = std::thread::scope(|scope| {
            let run = scope.spawn(move || victim.batch_execute(step));
            std::thread::sleep(Duration::from_micros(round % 8 * 700));
            superuser.run(&end);
            run.join().expect("it ends")
        });
        killed += usize::from(outcome.is_err());
    }
    println!("killed {killed} of {} steps", tried.len());
    assert!(killed > 5, "only {killed} steps were killed");
    assert_eq!(superuser.texts(plan), Vec::<String>::new());
    let left_over =
        "select conname::text from pg_constraint where conname like '%scoping%' or conname like '%adopting%'
                     union all select indexrelid::regclass::text from pg_index where not indisvalid";
    assert_eq!(superuser.texts(left_over), Vec::<String>::new());
    let rows = format!("select count(*) from \"My App\".touched where tenant_id = '{}' and touched = 0", ACME.id);
    assert_eq!(superuser.value(&rows).as_deref(), Some("3000"));
}

#[test]
fn a_plan_that_is_run_twice_leaves_nothing_behind() {
    let fixture = Fixture::new();
    let app = application(&fixture);
    let mut superuser = fixture.superuser();
    let before = counts(&mut superuser);
    let steps = plan(&mut superuser);
    for step in &steps {
        superuser.run(step);
    }
    // As from a file, or by somebody else at the same time: what is done already fails, or makes what stood in for it anew.
    let failed = steps.iter().filter(|step| superuser.batch_execute(step).is_err()).count();
    assert!(failed > 0 && failed < steps.len(), "{failed}");
    let leftovers = "select count(*) from pg_class where relname like '%scoping%'";
    assert_ne!(superuser.value(leftovers).as_deref(), Some("0"));
    for step in plan(&mut superuser) {
        superuser.run(&step);
    }
    assert_eq!(plan(&mut superuser), Vec::<String>::new());
    assert_eq!(counts(&mut superuser), before);
    is_adopted(&fixture, &app);
}

#[test]
fn an_index_that_was_interrupted_is_made_anew() {
    let fixture = Fixture::new();
    fixture.run(&format!(
        "select tenancy.create_tenant('acme', id => '{}');
         create schema app; create table app.notes (id bigint primary key, body text); create table app.logs (line text);
         insert into app.notes values (1, 'a'); insert into app.logs values ('b')",
        ACME.id
    ));
    let mut superuser = fixture.superuser();
    let plan = "select ddl from tenancy.adopt_plan('app', 'acme') order by step";
    let mut holder = fixture.superuser();
    for step in superuser.texts(plan) {
        if step.contains("CONCURRENTLY") {
            // It waits for older transactions, and is then cancelled.
            holder.run("begin; lock table app.notes, app.logs in row exclusive mode");
            superuser.run("set statement_timeout = '300ms'");
            let outcome = superuser.batch_execute(&step);
            assert_eq!(sqlstate(&outcome), Some("57014"), "{step}");
            superuser.run("reset statement_timeout");
            holder.run("rollback");
            continue;
        }
        let _ = superuser.batch_execute(&step);
    }
    assert_eq!(superuser.value("select count(*) from pg_index where not indisvalid").as_deref(), Some("2"));
    let key = "select pg_get_constraintdef(oid) from pg_constraint where conname = 'notes_pkey'";
    assert_eq!(superuser.value(key).as_deref(), Some("PRIMARY KEY (id)"));
    for step in superuser.texts(plan) {
        superuser.run(&step);
    }
    assert_eq!(superuser.texts(plan), Vec::<String>::new());
    assert_eq!(superuser.value("select count(*) from pg_index where not indisvalid").as_deref(), Some("0"));
    assert_eq!(superuser.value(key).as_deref(), Some("PRIMARY KEY (tenant_id, id)"));
}
