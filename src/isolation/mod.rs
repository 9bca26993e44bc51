//! Protected tables: the state wanted, the difference to the state found, the DDL that makes it so.
//! What decides is pure (`kind`, `policy`, `plan`, `loss`); `protect` and `tenant_column` act, `guard` and `managed` watch DDL,
//! `touch` and `bypass` what statements read and change. May import `catalog` and below.

mod bypass;
mod guard;
mod kind;
mod loss;
mod managed;
mod plan;
mod policy;
mod protect;
mod reassign;
mod removal;
mod tenant_column;
mod touch;
mod truncate;
mod unwritten;

pub use bypass::{declare as declare_bypass, declared_reason, leave_unrecorded as leave_bypasses_unrecorded};
pub use guard::{after_command, after_drop, after_grant};
pub use kind::Kind;
pub use managed::{follow_schema, manage_schema};
pub use protect::{Options, classify, drift, protect, protect_schema, unprotect};
pub use removal::before_removal;
pub use tenant_column::add_tenant_column;
pub use touch::init;
pub use truncate::check_truncate;
