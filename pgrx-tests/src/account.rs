//! The operating-system account that server programs run under: PostgreSQL refuses to start as root.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::process::{Command, Output};

/// Account for server programs, when it is not the one this process already has.
#[derive(Clone, Copy, Debug)]
pub struct Account {
    uid: u32,
    gid: u32,
}

impl Account {
    /// The account to change to: `None` for an ordinary user, who runs the server as itself.
    /// Root uses the account named by `PG_TENANCY_SERVER_USER`, or else `postgres`, or else `nobody`.
    pub fn for_servers() -> Option<Self> {
        let effective_uid = fs::metadata("/proc/self").expect("/proc is mounted").uid();
        if effective_uid != 0 {
            return None;
        }
        if let Ok(name) = std::env::var("PG_TENANCY_SERVER_USER") {
            let account = Self::named(&name);
            assert!(account.is_some(), "PG_TENANCY_SERVER_USER names {name}, which does not exist");
            return account;
        }
        let account = Self::named("postgres").or_else(|| Self::named("nobody"));
        assert!(account.is_some(), "no account to run PostgreSQL under: set PG_TENANCY_SERVER_USER");
        account
    }

    fn named(name: &str) -> Option<Self> {
        Some(Self { uid: id("-u", name)?, gid: id("-g", name)? })
    }

    pub fn give(self, path: &Path) {
        chown(path, Some(self.uid), Some(self.gid)).expect("chown for the server's account");
    }
}

fn id(flag: &str, name: &str) -> Option<u32> {
    let output = Command::new("id").args([flag, name]).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

/// A command for `program` under `account`, in `directory`, untouched by the caller's libpq and language settings.
pub fn command(account: Option<Account>, program: impl AsRef<OsStr>, directory: &Path) -> Command {
    let mut command = match account {
        None => Command::new(program),
        Some(Account { uid, gid }) => {
            let mut command = Command::new("setpriv");
            command.args([&format!("--reuid={uid}"), &format!("--regid={gid}"), "--clear-groups", "--"]);
            command.arg(program);
            command
        }
    };
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PG") {
            command.env_remove(name);
        }
    }
    // With backtraces on, the library appends them to its errors.
    command.env_remove("RUST_BACKTRACE");
    command.env_remove("LANGUAGE").env("LC_ALL", "C").env("HOME", directory).current_dir(directory);
    command
}

/// Runs `command` and returns what it printed; panics with its complaint when it fails.
#[track_caller]
pub fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?} failed with {}:\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    output
}
