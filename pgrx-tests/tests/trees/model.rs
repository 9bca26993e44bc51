//! Random moves against a model: what each tenant reads is always itself and what is below it, in every open session.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use tenancy_harness::postgres::Client;
use tenancy_harness::{Fixture, Session, sqlstate};

const TENANTS: usize = 9;
const CASES: u32 = 24;
const LONGEST: usize = 24;

#[derive(Debug, Clone)]
enum Step {
    Move { tenant: usize, parent: Option<usize>, rolled_back: bool },
    Plain { tenant: usize, parent: Option<usize> },
    Suspend(usize),
    Resume(usize),
    Read(usize),
}

fn any_step() -> impl Strategy<Value = Step> {
    let parent = || proptest::option::weighted(0.8, 0..TENANTS);
    prop_oneof![
        6 => (0..TENANTS, parent(), proptest::bool::weighted(0.2))
            .prop_map(|(tenant, parent, rolled_back)| Step::Move { tenant, parent, rolled_back }),
        2 => (0..TENANTS, parent()).prop_map(|(tenant, parent)| Step::Plain { tenant, parent }),
        1 => (0..TENANTS).prop_map(Step::Suspend),
        1 => (0..TENANTS).prop_map(Step::Resume),
        4 => (0..TENANTS).prop_map(Step::Read),
    ]
}

#[derive(Default)]
struct Model {
    parents: [Option<usize>; TENANTS],
    suspended: [bool; TENANTS],
}

impl Model {
    fn is_below(&self, tenant: usize, of: usize) -> bool {
        tenant == of || self.parents[tenant].is_some_and(|parent| self.is_below(parent, of))
    }

    fn family(&self, of: usize) -> BTreeSet<String> {
        (0..TENANTS).filter(|tenant| self.is_below(*tenant, of)).map(|tenant| tenant.to_string()).collect()
    }

    /// Whether the move is possible.
    fn place(&mut self, tenant: usize, parent: Option<usize>) -> bool {
        let possible = parent.is_none_or(|parent| !self.is_below(parent, tenant));
        if possible {
            self.parents[tenant] = parent;
        }
        possible
    }
}

struct Stage {
    superuser: Client,
    reader: Client,
    /// Stays within a transaction.
    busy: Client,
    busy_for: usize,
}

fn family(client: &mut Client) -> BTreeSet<String> {
    client.texts("select distinct body from t union select distinct body from n").into_iter().collect()
}

fn check(ok: bool, what: &str) -> Result<(), TestCaseError> {
    if ok { Ok(()) } else { Err(TestCaseError::fail(what.to_owned())) }
}

fn play(stage: &mut Stage, steps: &[Step]) -> Result<(), TestCaseError> {
    stage.busy.run("rollback");
    stage.superuser.run("update tenancy.tenants set parent = null, status = 'active'");
    let mut model = Model::default();
    stage.busy.run(&format!("begin; set local tenancy.tenant_id = '{}'", stage.busy_for));
    for step in steps {
        match *step {
            Step::Move { tenant, parent, rolled_back } => {
                let parent_text = parent.map_or("null".into(), |parent| format!("'{parent}'"));
                stage.superuser.run("begin");
                let outcome =
                    stage.superuser.batch_execute(&format!("select tenancy.set_parent('{tenant}', {parent_text})"));
                stage.superuser.run(if rolled_back { "rollback" } else { "commit" });
                let before = model.parents[tenant];
                let expected = if model.place(tenant, parent) { None } else { Some("22023") };
                check(sqlstate(&outcome) == expected, &format!("{step:?}: {outcome:?}"))?;
                if rolled_back {
                    model.parents[tenant] = before;
                }
            }
            Step::Plain { tenant, parent } => {
                let parent_key = parent.map_or("null".into(), |parent| format!("'{parent}'"));
                let outcome = stage.superuser.batch_execute(&format!(
                    "update tenancy.tenants set parent = (select id from tenancy.tenants where key = {parent_key}) where key = '{tenant}'"
                ));
                let expected = if model.place(tenant, parent) { None } else { Some("22023") };
                check(sqlstate(&outcome) == expected, &format!("{step:?}: {outcome:?}"))?;
            }
            Step::Suspend(tenant) if tenant != stage.busy_for && !model.suspended[tenant] => {
                stage.superuser.run(&format!("select tenancy.suspend_tenant('{tenant}')"));
                model.suspended[tenant] = true;
            }
            Step::Resume(tenant) if model.suspended[tenant] => {
                stage.superuser.run(&format!("select tenancy.resume_tenant('{tenant}')"));
                model.suspended[tenant] = false;
            }
            Step::Read(tenant) if !model.suspended[tenant] => {
                stage.reader.run(&format!("begin; set local tenancy.tenant_id = '{tenant}'"));
                let found = family(&mut stage.reader);
                let own = stage.reader.affected("update t set body = body") + stage.reader.affected("delete from n");
                stage.reader.run("rollback");
                check(
                    found == model.family(tenant),
                    &format!("{tenant} reads {found:?}, not {:?}", model.family(tenant)),
                )?;
                check(own == 2, &format!("{tenant} writes {own} rows"))?;
            }
            Step::Suspend(_) | Step::Resume(_) | Step::Read(_) => {}
        }
        let found = family(&mut stage.busy);
        let expected = model.family(stage.busy_for);
        check(found == expected, &format!("after {step:?} the open transaction reads {found:?}, not {expected:?}"))?;
    }
    Ok(())
}

#[test]
fn what_is_read_is_what_is_below_after_any_moves() {
    let fixture = Fixture::new();
    let app = fixture.app();
    let mut superuser = fixture.superuser();
    superuser.run("create table t (tenant_id uuid, body text); create table n (tenant_id integer, body text)");
    for tenant in 0..TENANTS {
        superuser.run(&format!(
            "insert into t select tenancy.create_tenant('{tenant}'), '{tenant}'; insert into n values ({tenant}, '{tenant}')"
        ));
    }
    superuser.run("select tenancy.protect('t', kind => 'tree'), tenancy.protect('n', kind => 'tree')");
    let (reader, busy) = (fixture.connect(&app), fixture.connect(&app));
    let stage = std::cell::RefCell::new(Stage { superuser, reader, busy, busy_for: 0 });
    let mut runner = TestRunner::new(Config { cases: CASES, failure_persistence: None, ..Config::default() });
    let outcome =
        runner.run(&proptest::collection::vec(any_step(), 1..LONGEST), |steps| play(&mut stage.borrow_mut(), &steps));
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}
