//! The SQL-callable surface, one file per section of the reference: arguments, one call, result or
//! error. The functions are declared in `sql/install`, with their comments and grants.

mod adopt;
mod audit;
mod context;
mod doctor;
mod hosts;
mod keys;
mod members;
mod monitor;
mod proof;
mod quotas;
mod registry;
mod roles;
mod scope;
mod settings;
mod tables;
mod token;
mod triggers;

use crate::error::{Error, Result};
use crate::sys::json::Jsonb;
use pgrx::AnyElement;
use std::ffi::CStr;

/// An argument that has no meaning when it is null.
fn required<T>(value: Option<T>, name: &'static str) -> Result<T> {
    value.ok_or(Error::NullArgument(name))
}

/// A `jsonb` argument as it came.
fn jsonb(value: Option<AnyElement>) -> Option<Jsonb> {
    value.and_then(Jsonb::from_argument)
}

/// A `name` argument as text.
fn name_text(name: &CStr) -> String {
    name.to_string_lossy().into_owned()
}
