//! Roles that act for tenants, and what else they may do: privileges that lead beyond the tenant are taken
//! (`profile`, `plan`: pure), and who runs SQL that nobody reviewed is watched (`rules`: pure; `guard`). May import
//! `catalog` and below.

mod guard;
mod harden;
mod plan;
mod profile;
mod rules;

pub use guard::init;
pub use harden::{drift, harden_role};
pub use profile::Profile;
