//! Hosts: under which names tenants are served.

use super::access::known_tenant;
use crate::catalog::event::{self, Event};
use crate::catalog::host::Host;
use crate::catalog::hosts;
use crate::error::{Error, Result};
use uuid::Uuid;

/// Has a tenant served under a host, or under every host directly in a domain. Called as the extension's owner.
///
/// # Errors
/// 22023 malformed host; 42704 unknown tenant; 42710 when the host is taken.
pub fn add_host(host: &str, tenant: &str) -> Result<()> {
    let host = Host::parse_pattern(host)?;
    let tenant = known_tenant(tenant)?;
    if !hosts::insert(&host, tenant)? {
        return Err(Error::AlreadyExists(format!("host \"{}\"", host.as_str())));
    }
    log("host.added", &host, tenant)
}

/// Takes a host away. Called as the extension's owner.
///
/// # Errors
/// 22023 malformed host; 42704 unknown host.
pub fn remove_host(host: &str) -> Result<()> {
    let pattern = Host::parse_pattern(host)?;
    let tenant = hosts::delete(&pattern)?.ok_or_else(|| Error::UnknownHost(pattern.as_str().to_owned()))?;
    log("host.removed", &pattern, tenant)
}

fn log(event: &'static str, host: &Host, tenant: Uuid) -> Result<()> {
    let object = Some(host.as_str().to_owned());
    event::write(Event { event, tenant: Some(tenant), object, ..Event::default() })
}
