//! Keys and indexes led by the tenant column, and numbers that each tenant counts for itself. What decides is pure
//! (`advice`, `scope_check`, `scope_ddl`, `scope_live`); the others act. May import `catalog` and below.

mod advice;
mod index;
mod numbers;
mod scope;
mod scope_all;
mod scope_check;
mod scope_ddl;
mod scope_live;

pub use advice::{Advice, advice};
pub use index::{Definition, create_index};
pub use numbers::{next_number, reserve_numbers, set_number};
pub use scope::{scope_foreign_key, scope_plan, scope_unique, validate_foreign_key};
pub use scope_all::{Prospects, outlook, scope_all};
pub use scope_live::Step as ScopeStep;
