//! Keys and indexes led by the tenant column. What decides is pure (`scope_check`, `scope_ddl`,
//! `scope_live`); `scope` acts. May import `catalog` and below.

mod scope;
mod scope_check;
mod scope_ddl;
mod scope_live;

pub use scope::{scope_foreign_key, scope_plan, scope_unique, validate_foreign_key};
