//! What an operator does: dumps of parts, restores that are not whole, replication of one tenant, failing over, dropping and updating the extension.

mod drop;
mod dump;
mod failover;
mod moving;
mod publication;
mod replication;
mod restore;
mod update;

use std::process::Output;

/// A program that had nothing to complain about.
#[track_caller]
fn assert_clean(tool: &str, output: &Output) {
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaint.is_empty(), "{tool}: {complaint}");
}
