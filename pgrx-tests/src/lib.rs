//! Throw-away PostgreSQL clusters and clients for testing `pg_tenancy` over the wire.
//!
//! A test inside the backend runs as a superuser, and superusers are exempt from row security: what the extension
//! promises can only be shown from outside, by ordinary login roles. This crate starts the servers, makes those roles
//! and compares errors by SQLSTATE; the tests are in `tests/`, one topic each.
//!
//! * [`Cluster`]: one server in its own directory, reachable through its socket only, gone with the process.
//! * [`Fixture`]: a fresh database with the extension on a server shared by the whole test program.
//! * [`Pooler`]: `PgBouncer` in front of such a database.
//! * [`charts`]: pictures of what the benchmark prints.
//! * [`RawSession`]: a client that sees every byte, and may leave in the middle of anything.
//! * [`Canary`]: what a tenant's rows bear, so that they are known wherever they turn up.
//! * [`World`]: two tenants per family of tenant columns and a protected table with rows of both.
//!
//! The server comes from the `pg_config` named by `PG_TENANCY_PG_CONFIG`; the extension is installed there already.
//! A failing harness is a failing test, so its functions panic with what the failed program said.

mod account;
mod assertions;
mod canary;
pub mod charts;
mod cluster;
mod dice;
mod fixture;
mod pooler;
mod session;
mod standby;
mod wire;
mod world;

pub use assertions::{assert_sqlstate, sqlstate};
pub use canary::{Canary, Sighting, sight};
pub use cluster::{Cluster, Config, kill9};
pub use dice::Dice;
pub use fixture::{Fixture, settings_turn};
pub use pooler::{Pooler, PoolerConfig, PoolerProgram};
pub use session::{Session, refuses_in_savepoint};
pub use wire::{RawSession, Reply, Request};
pub use world::{ACME, FAMILIES, Family, GLOBEX, Tenant, World};

pub use postgres;
pub use uuid;
