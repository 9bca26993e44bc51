//! One processor for everything that is measured.

use std::process::Command;
use std::sync::OnceLock;

/// Where this process may run, and where it is kept.
static PINNED: OnceLock<(String, u32)> = OnceLock::new();

/// Keeps this process, and with it the server that it is about to start, on one processor, and returns which.
///
/// Client and server take turns anyway. On two processors a round trip takes twice or thrice as long when the other one
/// must be woken up, which depends on where the scheduler happened to put a session: that would be measured, not us.
/// Without `taskset`, or without permission, nothing is changed.
pub fn to_one_processor() -> Option<u32> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    let last = allowed.rsplit([',', '-']).next()?.trim().parse().ok()?;
    let is_kept = keep_to(&u32::to_string(&last));
    if is_kept {
        let _ = PINNED.set((allowed.trim().to_owned(), last));
    }
    is_kept.then_some(last)
}

fn keep_to(processors: &str) -> bool {
    let own = std::process::id().to_string();
    let output = Command::new("taskset").args(["--cpu-list", "--pid", processors, &own]).output();
    output.is_ok_and(|output| output.status.success())
}

/// While it lives, what is started runs on all processors, where that may be.
pub struct Lifted;

pub fn lifted() -> Lifted {
    if let Some((allowed, _)) = PINNED.get() {
        keep_to(allowed);
    }
    Lifted
}

impl Drop for Lifted {
    fn drop(&mut self) {
        if let Some((_, processor)) = PINNED.get() {
            keep_to(&processor.to_string());
        }
    }
}
