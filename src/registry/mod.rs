//! Tenants and their lifecycle, accesses, members, administrators, plans, settings, hosts. Called as the extension's owner,
//! by those who may. May import `catalog` and below.

mod access;
mod bulk;
mod clone;
mod erase;
mod export;
mod handlers;
mod hosts;
mod inventory;
mod jwt_keys;
mod lifecycle;
mod members;
mod order;
mod parents;
mod plans;
mod publication;
mod settings;

pub use crate::catalog::jwt_keys::Terms;
pub use access::{grant_access, grant_admin, revoke_access, revoke_admin};
pub use bulk::loaded;
pub use clone::clone_tenant;
pub use erase::erase_tenant;
pub use export::{export_tenant, tenant_digest};
pub use handlers::{off_lifecycle, on_lifecycle, plan_moved};
pub use hosts::{add_host, remove_host};
pub use jwt_keys::{NewKey, add_jwt_key, import_jwks, remove_jwt_key};
pub use lifecycle::{Transition, create_tenant, transition};
pub use members::{accept_invitation, add_member, invite_member, owner_left, remove_member, revoke_invitation};
pub use parents::{parent_left, parent_set, set_parent};
pub use plans::create_plan;
pub use publication::{publication_sql, stale_publications};
pub use settings::set_setting;
