//! Limits, and somebody who changes them and looks at the usage meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use proptest::prelude::*;
use tenancy_harness::postgres::{Client, Error};
use tenancy_harness::{Dice, Session, sqlstate};

use crate::ledger::{Amounts, Effect, Ledger, NAMES, RESOURCES, TENANTS, UNLIMITED};
use crate::operations::Draws;
use crate::site::{Site, is_lost};

const PLANS: [&str; 2] = ["small", "large"];
/// What an item weighs with its lines, about: so each of the limits is the lower one now and then.
const WEIGHT: i64 = 85;

#[derive(Clone, Copy, Debug)]
pub enum Change {
    Own {
        tenant: usize,
        resource: usize,
        max: i64,
    },
    NoOwn {
        tenant: usize,
        resource: usize,
    },
    Plan {
        plan: usize,
        resource: usize,
        max: i64,
    },
    Subscribe {
        tenant: usize,
        plan: usize,
    },
    /// Changes nothing, for usage is what is there.
    Recount,
}

fn max() -> SBoxedStrategy<(usize, i64)> {
    (0..RESOURCES, prop_oneof![12 => 10..300_i64, 1 => Just(UNLIMITED)])
        .prop_map(|(resource, max)| (resource, if resource == 1 { max.saturating_mul(WEIGHT) } else { max }))
        .sboxed()
}

fn changes() -> SBoxedStrategy<Change> {
    prop_oneof![
        4 => (0..TENANTS, max()).prop_map(|(tenant, (resource, max))| Change::Own { tenant, resource, max }),
        3 => (0..TENANTS, 0..RESOURCES).prop_map(|(tenant, resource)| Change::NoOwn { tenant, resource }),
        4 => (0..PLANS.len(), max()).prop_map(|(plan, (resource, max))| Change::Plan { plan, resource, max }),
        3 => (0..TENANTS, 0..PLANS.len()).prop_map(|(tenant, plan)| Change::Subscribe { tenant, plan }),
        1 => Just(Change::Recount),
    ]
    .sboxed()
}

/// The limits as they are written down.
#[derive(Clone, Debug, Default)]
struct Limits {
    own: [[Option<i64>; RESOURCES]; TENANTS],
    plans: [[i64; RESOURCES]; PLANS.len()],
    plan_of: [usize; TENANTS],
}

impl Limits {
    fn read(site: &Site<'_>, superuser: &mut Client) -> Self {
        let mut limits = Self { plans: [[UNLIMITED; RESOURCES]; PLANS.len()], ..Self::default() };
        let resource = |name: &str| NAMES.iter().position(|known| *known == name).expect("a resource");
        let plan = |name: &str| PLANS.iter().position(|known| *known == name).expect("a plan");
        let own = "select t.key, r.name, q.max_amount from tenancy.quotas q
                   join tenancy.tenants t on t.id = q.tenant_id join tenancy.resources r on r.id = q.resource_id";
        for row in superuser.query(own, &[]).expect("limits") {
            if let Some(tenant) = site.index(row.get(0)) {
                limits.own[tenant][resource(row.get(1))] = Some(row.get::<_, Option<i64>>(2).unwrap_or(UNLIMITED));
            }
        }
        let plans = "select plan, r.name, max_amount from tenancy.plan_quotas q join tenancy.resources r on r.id = q.resource_id";
        for row in superuser.query(plans, &[]).expect("limits") {
            limits.plans[plan(row.get(0))][resource(row.get(1))] = row.get::<_, Option<i64>>(2).unwrap_or(UNLIMITED);
        }
        for row in superuser.query("select key, plan from tenancy.tenants", &[]).expect("tenants") {
            if let Some(tenant) = site.index(row.get(0)) {
                limits.plan_of[tenant] = plan(row.get(1));
            }
        }
        limits
    }

    fn after(&self, change: Change) -> Self {
        let mut limits = self.clone();
        match change {
            Change::Own { tenant, resource, max } => limits.own[tenant][resource] = Some(max),
            Change::NoOwn { tenant, resource } => limits.own[tenant][resource] = None,
            Change::Plan { plan, resource, max } => limits.plans[plan][resource] = max,
            Change::Subscribe { tenant, plan } => limits.plan_of[tenant] = plan,
            Change::Recount => {}
        }
        limits
    }

    /// A tenant's own limit wins.
    fn in_force(&self) -> Amounts {
        let plan = |tenant: usize| self.plans[self.plan_of[tenant]];
        std::array::from_fn(|tenant| std::array::from_fn(|n| self.own[tenant][n].unwrap_or(plan(tenant)[n])))
    }
}

fn sql(site: &Site<'_>, change: Change) -> String {
    let number = |max: i64| if max == UNLIMITED { "null".to_owned() } else { max.to_string() };
    let key = |tenant: usize| &site.tenants[tenant].key;
    match change {
        Change::Own { tenant, resource, max } => {
            format!("select tenancy.set_quota('{}', '{}', {})", key(tenant), NAMES[resource], number(max))
        }
        Change::NoOwn { tenant, resource } => format!(
            "delete from tenancy.quotas where tenant_id = '{}'
               and resource_id = (select id from tenancy.resources where name = '{}')",
            site.tenants[tenant].id, NAMES[resource]
        ),
        Change::Plan { plan, resource, max } => {
            format!("select tenancy.set_plan_quota('{}', '{}', {})", PLANS[plan], NAMES[resource], number(max))
        }
        Change::Subscribe { tenant, plan } => {
            format!("update tenancy.tenants set plan = '{}' where key = '{}'", PLANS[plan], key(tenant))
        }
        // An error when it had to correct something.
        Change::Recount => "do $$ begin
               if exists (select from tenancy.recount() where was <> now) then raise 'the usage is wrong'; end if;
             end $$"
            .to_owned(),
    }
}

pub struct Watcher<'s> {
    site: &'s Site<'s>,
    superuser: Client,
    limits: Limits,
    draws: Draws<Change>,
    changed: u64,
}

impl<'s> Watcher<'s> {
    pub fn new(site: &'s Site<'s>, dice: &mut Dice) -> Self {
        let mut superuser = site.superuser();
        let limits = Limits::read(site, &mut superuser);
        Self { site, superuser, limits, draws: Draws::new(dice, changes()), changed: 0 }
    }

    /// A ledger of what is there, while nobody else does anything.
    pub fn ledger(&mut self) -> Ledger {
        let used = self.site.used(&mut self.superuser).expect("what is used");
        Ledger::new(used, self.limits.in_force())
    }

    /// Goes on until it is told, or the server is gone where it `may_go`. Returns how many limits it has changed.
    pub fn watch(mut self, ledger: &Ledger, is_done: &AtomicBool, may_go: bool) -> u64 {
        while !is_done.load(Ordering::Relaxed) {
            match self.look(ledger).and_then(|()| self.change(ledger)) {
                Ok(()) => thread::sleep(self.site.pause),
                Err(error) if may_go && is_lost(&error) => break,
                Err(error) => panic!("{error:?}"),
            }
        }
        self.changed
    }

    fn look(&mut self, ledger: &Ledger) -> Result<(), Error> {
        let request = ledger.asks(&Effect::default(), &Effect::default());
        let used = self.site.used(&mut self.superuser)?;
        ledger.seen(request, &used);
        Ok(())
    }

    fn change(&mut self, ledger: &Ledger) -> Result<(), Error> {
        let change = self.draws.next();
        let limits = self.limits.after(change);
        ledger.limits_change(limits.in_force());
        let outcome = self.superuser.batch_execute(&sql(self.site, change));
        match sqlstate(&outcome) {
            // Who waits for writers that wait for it loses now and then, and then the limits stay.
            Some("40P01") => ledger.limits_stay(),
            _ => {
                outcome?;
                ledger.limits_changed();
                self.limits = limits;
                self.changed += 1;
            }
        }
        Ok(())
    }

    /// When nothing is under way any more: the usage is what the ledger says, and a recount finds the same.
    pub fn finish(site: &Site<'_>, ledger: Option<&Ledger>) {
        let mut superuser = site.superuser();
        let request = ledger.map(|ledger| ledger.asks(&Effect::default(), &Effect::default()));
        let used = site.used(&mut superuser).expect("what is used");
        if let (Some(ledger), Some(request)) = (ledger, request) {
            ledger.seen(request, &used);
            assert!(ledger.is_certain(), "{ledger:?}");
        }
        let differing = superuser.texts("select (r.*)::text from tenancy.recount() r where was <> now");
        assert!(differing.is_empty(), "{differing:?}");
    }
}
