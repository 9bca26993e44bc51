//! Reading and writing tables: the extension's own and PostgreSQL's catalogs. The only user of SPI;
//! returns plain structs. May import `sql`, `tenant`, `guc`, `sys` and `error`.

pub mod access;
pub mod admin;
pub mod adoption;
pub mod announce;
pub mod attack;
pub mod audit_chain;
pub mod audit_log;
pub mod audited;
pub mod bounds;
pub mod changed;
pub mod consumptions;
pub mod counted;
pub mod doctor;
pub mod event;
pub mod extension;
pub mod guard;
pub mod hardening;
pub mod health;
pub mod hierarchy;
pub mod host;
pub mod hosts;
pub mod indexes;
pub mod json;
pub mod jwt_keys;
pub mod leftovers;
pub mod lifecycle;
pub mod managed;
pub mod members;
pub mod numbers;
pub mod plans;
pub mod planting;
pub mod protection;
pub mod published;
pub mod quotas;
pub mod registry;
pub mod relations;
pub mod removal;
pub mod row;
pub mod scope;
pub mod settings;
mod spi;
pub mod tenant_rows;
pub mod tenants;
pub mod tree;
pub mod undo;
pub mod usage;
pub mod worker;

/// Connects the catalogs to PostgreSQL, once the settings are defined. Called once per backend.
pub fn init() {
    announce::init();
    worker::init();
    tenants::init();
}
