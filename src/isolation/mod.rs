//! Protected tables: the state wanted, the difference to the state found, the DDL that makes it so.
//! What decides is pure (`kind`, `policy`, `plan`); `protect` acts. May import `catalog` and below.

mod kind;
mod plan;
mod policy;
mod protect;

pub use kind::Kind;
pub use protect::{Options, classify, drift, protect, protect_schema, unprotect};
