//! Reading and writing tables: the extension's own and PostgreSQL's catalogs. The only user of SPI;
//! returns plain structs. May import `sql`, `tenant`, `guc`, `sys` and `error`.

pub mod access;
pub mod admin;
pub mod attack;
pub mod doctor;
pub mod event;
pub mod guard;
pub mod hardening;
pub mod json;
pub mod leftovers;
pub mod managed;
pub mod plans;
pub mod planting;
pub mod protection;
pub mod registry;
pub mod relations;
pub mod row;
mod spi;
pub mod tenants;

/// Connects the catalogs to PostgreSQL, once the settings are defined. Called once per backend.
pub fn init() {
    event::init();
    tenants::init();
}
