//! What plain SQL registers in bulk.

use crate::catalog::event::{self, Event};
use crate::catalog::registry::{self, as_owner};
use crate::error::Result;
use crate::sys::session;
use crate::sys::transition::{Fired, Side};
use serde_json::json;

/// A statement has registered tenants, hosts or members: one entry tells how many, unless each has its own, or they are being
/// restored, as their entries are.
pub fn loaded(fired: Fired<'_>) -> Result<()> {
    if event::is_told() || session::has_row_security_off() {
        return Ok(());
    }
    let rows = fired.count(Side::New);
    let Some(event) = registry::load_event(fired.table())?.filter(|_| rows > 0) else { return Ok(()) };
    let detail = Some(json!({ "rows": rows }));
    as_owner(|| event::write(Event { event, detail, ..Event::default() }))
}
