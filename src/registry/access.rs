//! Which role may act for whom, and who may administrate.

use crate::catalog::access::{self, Mode};
use crate::catalog::event::{self, Event};
use crate::catalog::{admin, tenants};
use crate::error::{Error, Result};
use crate::sql::{self, Ident};
use crate::sys::{Oid, report, role};
use crate::tenant::TenantRef;
use serde_json::json;
use uuid::Uuid;

/// Lets a role act for a tenant, or for any, on behalf of everybody, or of the tenant's members alone; of an access that is there
/// already, changes the mode and for whom; the caller is told where members were asked for, and no longer are.
///
/// # Errors
/// 42704 unknown role or tenant; 22023 unknown mode.
pub fn grant_access(role: &str, tenant: Option<&str>, mode: &str, require_membership: bool) -> Result<()> {
    let Some(proof) = Mode::parse(mode) else {
        return Err(Error::InvalidArgument {
            what: "mode",
            reason: format!("\"{mode}\" is none of direct, signed, claims"),
        });
    };
    let grantee = known_role(role)?;
    let id = tenant.map(known_tenant).transpose()?;
    let lifts = !require_membership && access::requires_membership(grantee, id)?;
    if access::put(grantee, id, proof, require_membership)? {
        if lifts {
            report::notice(
                format!("role \"{role}\" may act for others than members from now on"),
                "Grant it again with require_membership => true to go back.",
            );
        }
        let detail = json!({ "mode": mode, "any_tenant": id.is_none(), "require_membership": require_membership });
        log("access.granted", role, id, detail)?;
    }
    Ok(())
}

/// Takes a role's access to a tenant, or its access to any, back. Every session hears of it at its
/// next statement after commit.
///
/// # Errors
/// 42704 unknown role or tenant.
pub fn revoke_access(role: &str, tenant: Option<&str>) -> Result<()> {
    let grantee = known_role(role)?;
    let id = tenant.map(known_tenant).transpose()?;
    if access::delete(grantee, id)? {
        log("access.revoked", role, id, json!({ "any_tenant": id.is_none() }))?;
    }
    Ok(())
}

/// Makes a role an administrator: it may execute the functions that change things.
///
/// # Errors
/// 42704 unknown role.
pub fn grant_admin(role: &str) -> Result<()> {
    known_role(role)?;
    let grantee = Ident::quoted(role::quoted(role));
    admin::lock()?;
    for function in admin::functions()? {
        admin::execute(&sql::grant_execute(&function, &grantee))?;
    }
    admin::execute(&format!("GRANT REFERENCES (id, key) ON tenancy.tenants TO {grantee}"))?;
    log("admin.granted", role, None, json!({}))
}

/// Takes administration from a role.
///
/// # Errors
/// 42704 unknown role.
pub fn revoke_admin(role: &str) -> Result<()> {
    known_role(role)?;
    let grantee = Ident::quoted(role::quoted(role));
    admin::lock()?;
    for function in admin::functions()? {
        admin::execute(&sql::revoke_execute(&function, &grantee))?;
    }
    admin::execute(&format!("REVOKE REFERENCES (id, key) ON tenancy.tenants FROM {grantee} CASCADE"))?;
    log("admin.revoked", role, None, json!({}))
}

fn known_role(name: &str) -> Result<Oid> {
    role::oid(name).ok_or_else(|| Error::UnknownRole(name.to_owned()))
}

pub(super) fn known_tenant(name: &str) -> Result<Uuid> {
    match tenants::find(&TenantRef::parse(name)?)? {
        Some(tenant) if tenant.status != "erased" => Ok(tenant.id),
        _ => Err(Error::UnknownTenant(name.to_owned())),
    }
}

fn log(event: &'static str, role: &str, tenant: Option<Uuid>, detail: serde_json::Value) -> Result<()> {
    event::write(Event { event, tenant, object: Some(role.to_owned()), detail: Some(detail), ..Event::default() })
}
