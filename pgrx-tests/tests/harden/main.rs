//! `tenancy.harden_role()`: what a role may no longer do, what others still may, and what the profile `strict` refuses.

mod callers;
mod doctor;
mod escapes;
mod memberships;
mod others;
mod preload;
mod privileges;
mod strict;

use tenancy_harness::{Fixture, Session, World};

/// A world whose application role is hardened, and a role of operators that has to do with the database, but not with
/// tenants.
struct Hardened<'c> {
    world: World<'c>,
    ops: String,
}

impl Hardened<'static> {
    fn new(profile: &str) -> Self {
        Self::within(Fixture::new(), profile)
    }
}

impl<'c> Hardened<'c> {
    fn within(fixture: Fixture<'c>, profile: &str) -> Self {
        let world = World::within(fixture);
        let ops = world.fixture.role("ops");
        world.fixture.run(&format!("grant usage on schema public to {ops}"));
        let hardened = Self { world, ops };
        hardened.harden(profile);
        hardened
    }

    fn fixture(&self) -> &Fixture<'c> {
        &self.world.fixture
    }

    fn app(&self) -> &str {
        &self.world.app
    }

    /// Hardens the application role; the DDL that took.
    #[track_caller]
    fn harden(&self, profile: &str) -> Vec<String> {
        harden(self.fixture(), self.app(), profile)
    }
}

#[track_caller]
fn harden(fixture: &Fixture<'_>, role: &str, profile: &str) -> Vec<String> {
    fixture.superuser().texts(&format!("select tenancy.harden_role('{role}', '{profile}')"))
}

#[track_caller]
fn dry_run(fixture: &Fixture<'_>, role: &str, profile: &str) -> Vec<String> {
    fixture.superuser().texts(&format!("select tenancy.harden_role('{role}', '{profile}', dry_run => true)"))
}
