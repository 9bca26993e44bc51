//! pg_tenancy: row-level tenant isolation in PostgreSQL, kept by the database itself.
//!
//! One way through it: SQL call → `api` → a room (`context`, `isolation`, `hardening`, `keys`,
//! `adoption`, `quota`, `audit`, `registry`, `doctor`, `proof`, `monitor`) → `catalog` → `sys`. Imports go that way only.

#![deny(unsafe_code)]

mod adoption;
mod api;
mod audit;
mod catalog;
mod context;
mod doctor;
mod error;
#[allow(unsafe_code)]
mod guc;
mod hardening;
mod isolation;
mod jwt;
mod keys;
mod monitor;
mod proof;
mod quota;
mod registry;
mod sql;
#[allow(unsafe_code)]
mod sys;
mod tenant;

use pgrx::prelude::*;

::pgrx::pg_module_magic!(name, version);

extension_sql_file!("../sql/install/01_schema.sql", name = "schema", bootstrap);
extension_sql_file!("../sql/install/02_context.sql", name = "context", requires = ["schema"]);
extension_sql_file!("../sql/install/03_registry.sql", name = "registry", requires = ["context"]);
extension_sql_file!("../sql/install/04_tables.sql", name = "tables", requires = ["registry"]);
extension_sql_file!("../sql/install/05_members.sql", name = "members", requires = ["tables"]);
extension_sql_file!("../sql/install/05_token.sql", name = "token", requires = ["members"]);
extension_sql_file!("../sql/install/06_doctor.sql", name = "doctor", requires = ["token"]);
extension_sql_file!("../sql/install/07_guard.sql", name = "guard", requires = ["doctor"]);
extension_sql_file!("../sql/install/08_bypass.sql", name = "bypass", requires = ["guard"]);
extension_sql_file!("../sql/install/09_roles.sql", name = "roles", requires = ["bypass"]);
extension_sql_file!("../sql/install/10_proof.sql", name = "proof", requires = ["roles"]);
extension_sql_file!("../sql/install/11_indexes.sql", name = "indexes", requires = ["proof"]);
extension_sql_file!("../sql/install/12_scope.sql", name = "scope", requires = ["indexes"]);
extension_sql_file!("../sql/install/13_quota.sql", name = "quota", requires = ["scope"]);
extension_sql_file!("../sql/install/14_audit.sql", name = "audit", requires = ["quota"]);
extension_sql_file!("../sql/install/15_views.sql", name = "views", requires = ["audit"]);
extension_sql_file!("../sql/install/16_settings.sql", name = "settings", requires = ["views"]);
extension_sql_file!("../sql/install/17_hosts.sql", name = "hosts", requires = ["settings"]);
extension_sql_file!("../sql/install/18_lifecycle.sql", name = "lifecycle", requires = ["hosts"]);
extension_sql_file!("../sql/install/19_adopt.sql", name = "adopt", requires = ["lifecycle"]);
extension_sql_file!("../sql/install/20_trees.sql", name = "trees", requires = ["adopt"]);
extension_sql_file!("../sql/install/21_bulk.sql", name = "bulk", requires = ["trees"]);
extension_sql_file!("../sql/install/22_monitor.sql", name = "monitor", requires = ["bulk"]);
extension_sql_file!("../sql/install/23_operations.sql", name = "operations", requires = ["monitor"]);

/// Called by PostgreSQL when it loads the library.
#[allow(unsafe_code)]
#[pg_guard]
pub extern "C-unwind" fn _PG_init() {
    context::init();
    isolation::init(context::is_set);
    hardening::init();
    quota::init(context::acting);
    context::count_sessions(quota::enter, quota::leave);
    audit::init();
    monitor::init();
    catalog::init();
}
