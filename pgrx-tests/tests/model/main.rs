//! A random session and a model of it must agree at every step: who sees what, who may change what, and when the
//! context is refused.
//!
//! A failure prints the shortest session that shows it and a seed; `TENANCY_MODEL_SEED=<seed>` runs it again.
//! `TENANCY_MODEL_SESSIONS=<number>` plays more sessions than usual.

mod model;
mod steps;

use std::cell::{Cell, RefCell};
use std::hash::{BuildHasher, RandomState};

use postgres::error::SqlState;
use postgres::{Client, SimpleQueryMessage, Statement};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use tenancy_harness::{Fixture, Session, postgres};

use crate::model::{Expected, Model};
use crate::steps::{OPEN, Step, TENANTS, Table, any_step, select};

const SESSIONS: u32 = 240;
const LONGEST_SESSION: usize = 120;

/// The database of the test, with a session that looks on and one that does what another user would do.
struct Stage {
    fixture: Fixture<'static>,
    app: String,
    superuser: Client,
}

impl Stage {
    fn new() -> Self {
        let fixture = Fixture::new();
        let app = fixture.role("app");
        let mut superuser = fixture.superuser();
        for tenant in &TENANTS {
            let key = tenant.key.replace('\'', "''");
            superuser.run(&format!("select tenancy.create_tenant('{key}', id => '{}')", tenant.id));
        }
        for tenant in &TENANTS[..OPEN] {
            superuser.run(&format!("select tenancy.grant_access('{app}', '{}')", tenant.id));
        }
        for table in Table::ALL {
            let name = table.name();
            superuser.run(&format!(
                "create table {name}
                   (tenant_id {}, id integer not null, value integer not null, primary key (tenant_id, id));
                 select tenancy.protect('{name}'); grant select, insert, update, delete on {name} to {app}",
                table.column_type()
            ));
        }
        Self { fixture, app, superuser }
    }

    /// Every case begins with the same rows and with all tenants active.
    fn reset(&mut self) {
        for table in Table::ALL {
            let (name, owner) = (table.name(), table.literal(steps::CLOSED));
            self.superuser.run(&format!("truncate {name}; insert into {name} values ({owner}, 0, 0)"));
        }
        self.superuser.run(
            "do $$ declare t uuid; begin
               for t in select id from tenancy.tenants where status = 'suspended' loop
                 perform tenancy.resume_tenant(t::text);
               end loop;
             end $$",
        );
    }

    fn all_rows(&mut self, table: Table) -> Vec<String> {
        let (name, column) = (table.name(), if table == Table::Uuid { "id" } else { "key" });
        self.superuser.texts(&format!(
            "select t.key || ' ' || r.id || '=' || r.value
               from {name} r join tenancy.tenants t on t.{column}::text = r.tenant_id::text order by t.id, r.id"
        ))
    }
}

/// A session under test with a statement prepared for each table.
struct Subject {
    client: Client,
    prepared: Vec<Statement>,
}

impl Subject {
    fn new(stage: &Stage, plan_cache_mode: &str) -> Self {
        let mut client = stage.fixture.connect(&stage.app);
        // As the role's own default: RESET ALL is one of the steps.
        client.run(&format!("alter role {} set plan_cache_mode = {plan_cache_mode}", stage.app));
        let mut client = stage.fixture.connect(&stage.app);
        let prepared = Table::ALL.iter().map(|table| client.prepare(&select(*table)).expect("a statement")).collect();
        Self { client, prepared }
    }

    /// The server's answer: rows' first column and the count, or the SQLSTATE.
    fn run(&mut self, step: Step, savepoints: usize) -> Result<(Vec<String>, usize), SqlState> {
        let outcome = match step {
            Step::SelectPrepared(table) => {
                let rows = self.client.query(&self.prepared[table as usize], &[]);
                rows.map(|rows| (rows.iter().map(|row| row.get(0)).collect::<Vec<String>>(), rows.len()))
            }
            _ => self.client.simple_query(&step.sql(savepoints)).map(|messages| {
                let mut answer = (Vec::new(), 0);
                for message in messages {
                    match message {
                        SimpleQueryMessage::Row(row) => answer.0.push(row.get(0).unwrap_or_default().to_owned()),
                        SimpleQueryMessage::CommandComplete(count) => {
                            answer.1 = usize::try_from(count).expect("a small count");
                        }
                        _ => {}
                    }
                }
                answer
            }),
        };
        outcome.map_err(|error| error.code().cloned().unwrap_or_else(|| panic!("{step:?}: {error}")))
    }
}

fn agrees(expected: &Expected, answer: &Result<(Vec<String>, usize), SqlState>) -> bool {
    match (expected, answer) {
        (Expected::Done, Ok(_)) => true,
        (Expected::Count(expected), Ok((_, count))) => expected == count,
        (Expected::Rows(expected), Ok((rows, _))) => expected == rows,
        (Expected::Error(codes), Err(code)) => codes.contains(&code.code()),
        _ => false,
    }
}

/// Plays `steps` on the server and on the model; both must agree after each.
fn play(stage: &mut Stage, mode: &str, steps: &[Step], played: &Cell<usize>) -> Result<(), TestCaseError> {
    stage.reset();
    let mut subject = Subject::new(stage, mode);
    let mut model = Model::new();
    for (number, step) in steps.iter().enumerate() {
        let savepoints = model.savepoints();
        let step = step.fit(model.in_block(), model.has_failed(), savepoints);
        if let Step::ToggleSuspension(tenant) = step {
            let verb = if model.is_suspended(tenant) { "resume" } else { "suspend" };
            stage.superuser.run(&format!("select tenancy.{verb}_tenant('{}')", TENANTS[tenant].id));
            model.apply(step);
            continue;
        }
        let answer = subject.run(step, savepoints);
        if model.may_be_stopped(step) && answer.as_ref().is_err_and(|code| code.code() == "55000") {
            model.fail();
            continue;
        }
        let expected = model.apply(step);
        prop_assert!(agrees(&expected, &answer), "step {number}, {step:?}: expected {expected:?}, got {answer:?}");
        if !model.in_block() {
            for table in Table::ALL {
                prop_assert_eq!(
                    stage.all_rows(table),
                    model.all_rows(table),
                    "step {}, {:?}: {:?}",
                    number,
                    step,
                    table
                );
            }
        }
        played.set(played.get() + 1);
    }
    Ok(())
}

#[test]
fn a_random_session_and_its_model_never_differ() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seed = number("TENANCY_MODEL_SEED").unwrap_or_else(|| RandomState::new().hash_one("tenancy"));
    let cases = number("TENANCY_MODEL_SESSIONS").map_or(SESSIONS, |cases| u32::try_from(cases).expect("fewer"));
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&u64::to_le_bytes(seed));
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 4000, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let modes = prop::sample::select(vec!["auto", "force_custom_plan", "force_generic_plan"]);
    let sessions = (modes, prop::collection::vec(any_step(), 1..=LONGEST_SESSION));
    let stage = RefCell::new(Stage::new());
    let played = Cell::new(0);

    let outcome = runner.run(&sessions, |(mode, steps)| play(&mut stage.borrow_mut(), mode, &steps, &played));

    if let Err(failure) = outcome {
        panic!("TENANCY_MODEL_SEED={seed}\n{failure}");
    }
    assert!(cases < SESSIONS || played.get() >= 10_000, "only {} steps were played", played.get());
    println!("{} steps, TENANCY_MODEL_SEED={seed}", played.get());
}
