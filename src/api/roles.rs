//! Hardening roles.

use super::{name_text, required};
use crate::hardening::{self, Profile};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use std::ffi::CStr;

#[pg_extern(sql = false)]
fn harden_role(
    role: Option<&CStr>,
    profile: Option<&str>,
    dry_run: Option<bool>,
) -> Result<SetOfIterator<'static, String>, ErrorReport> {
    let role = name_text(required(role, "role")?);
    let profile = Profile::parse(required(profile, "profile")?)?;
    let ddl = hardening::harden_role(&role, profile, required(dry_run, "dry_run")?)?;
    Ok(SetOfIterator::new(ddl))
}
