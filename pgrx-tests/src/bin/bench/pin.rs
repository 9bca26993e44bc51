//! One processor for everything that is measured.

use std::process::Command;

/// Keeps this process, and with it the server that it is about to start, on one processor, and returns which.
///
/// Client and server take turns anyway. On two processors a round trip takes twice or thrice as long when the other one
/// must be woken up, which depends on where the scheduler happened to put a session: that would be measured, not us.
/// Without `taskset`, or without permission, nothing is changed.
pub fn to_one_processor() -> Option<u32> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    let last = allowed.rsplit([',', '-']).next()?.trim().parse().ok()?;
    let own = std::process::id().to_string();
    let output = Command::new("taskset").args(["--cpu-list", "--pid", &u32::to_string(&last), &own]).output().ok()?;
    output.status.success().then_some(last)
}
