//! The context as it is, for people to read.

use super::cache::Trust;
use super::given;
use super::leftovers::Remedy;
use super::resolve::{admit, effective_name, resolve};
use crate::error::Error;
use crate::sys::role;
use uuid::Uuid;

/// What the session is set to act for, and what comes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// No tenant is set.
    None,
    /// The tenant in force.
    Acting { id: Uuid, key: String, by_default: bool },
    /// A tenant is set, and can't be acted for.
    Refused(Error),
}

/// The context of the current outer role. Like every use, it binds the transaction to the tenant.
pub fn status() -> Status {
    given::look_up();
    let Some((name, trust)) = effective_name() else { return Status::None };
    match resolve().and_then(|()| admit(role::outer(), &name, trust, Remedy::None)) {
        Ok(tenant) => {
            Status::Acting { id: tenant.id, key: tenant.key.as_str().to_owned(), by_default: trust == Trust::Default }
        }
        Err(error) => Status::Refused(error),
    }
}
