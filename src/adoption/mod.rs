//! A schema whose tables know no tenants is given to one: the state (`state`), and what has to be done about it (`plan`,
//! pure). Protecting and keys are other rooms' work. May import `catalog` and below.

mod plan;
mod rows;
mod state;

pub use crate::sql::adopt::classify as classification;
pub use plan::{Step, after, before, finish};
pub use rows::{Range, fill};
pub use state::{Adoption, Protected, begin, is_statement, note, read};

/// The name of the tenant column.
pub const COLUMN: &str = "tenant_id";
