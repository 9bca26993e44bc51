//! `PgBouncer` in front of one database of a [`Cluster`].

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use postgres::{Client, NoTls};

use crate::account::{self, Account, run};
use crate::fixture::Fixture;
use crate::wire::RawSession;

/// Ends the pooler and removes its directory once the pipe on its input closes, by whatever way our process ends. SIGTERM won't do: newer
/// ones then wait until the last client has left.
const GUARD_SCRIPT: &str = r#""$1" "$2/pgbouncer.ini" 2>"$2/complaints" & pooler=$!; cat >/dev/null; kill -KILL "$pooler"; wait "$pooler"; cd /; rm -rf "$2""#;

/// How clients get connections to the server.
#[derive(Clone, Debug)]
pub struct PoolerConfig {
    program: PoolerProgram,
    settings: Vec<(String, String)>,
}

/// One of the `PgBouncer`s there may be on this machine.
#[derive(Clone, Debug)]
pub struct PoolerProgram(PathBuf);

impl PoolerProgram {
    /// The machine's own, or the one that `PG_TENANCY_PGBOUNCER` names.
    #[must_use]
    pub fn usual() -> Self {
        Self(program())
    }

    /// The one that `PG_TENANCY_NEWER_PGBOUNCER` names, for what the usual one is too old for; the usual one where there is no other.
    #[must_use]
    pub fn newest() -> Self {
        std::env::var_os("PG_TENANCY_NEWER_PGBOUNCER").map_or_else(Self::usual, |named| Self(named.into()))
    }

    /// Major and minor version, such as (1, 18).
    #[must_use]
    pub fn version(&self) -> (u32, u32) {
        let printed = run(Command::new(&self.0).arg("--version")).stdout;
        let printed = String::from_utf8(printed).expect("a version in UTF-8");
        let mut numbers = printed.trim_start_matches("PgBouncer ").split(['.', '\n']).map(|number| number.parse().ok());
        match (numbers.next().flatten(), numbers.next().flatten()) {
            (Some(major), Some(minor)) => (major, minor),
            _ => panic!("what version is this? {printed}"),
        }
    }
}

impl Default for PoolerConfig {
    /// Transactions of all clients in turn on one connection per role.
    fn default() -> Self {
        let config = Self { program: PoolerProgram::usual(), settings: Vec::new() };
        config.set("pool_mode", "transaction").set("default_pool_size", "1")
    }
}

impl PoolerConfig {
    /// Another program than the usual one.
    #[must_use]
    pub fn program(mut self, program: PoolerProgram) -> Self {
        self.program = program;
        self
    }

    /// Adds one setting of section `[pgbouncer]`; a later value of the same one wins.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.settings.retain(|(known, _)| known != name);
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A running pooler, reachable through its own socket alone. Dropping it ends it.
#[derive(Debug)]
pub struct Pooler {
    directory: PathBuf,
    database: String,
    guard: Child,
}

impl Pooler {
    /// A pooler for these roles and the fixture's database.
    #[must_use]
    #[track_caller]
    pub fn start(fixture: &Fixture<'_>, roles: &[&str], config: &PoolerConfig) -> Self {
        Self::try_start(fixture, roles, config).unwrap_or_else(|complaints| panic!("no pooler:\n{complaints}"))
    }

    /// The same; what the pooler complains of when it does not start.
    pub fn try_start(fixture: &Fixture<'_>, roles: &[&str], config: &PoolerConfig) -> Result<Self, String> {
        let account = Account::for_servers();
        // Not the caller's TMPDIR, as for a cluster: a socket's path must be short.
        let directory = tempfile::Builder::new()
            .prefix("tenancy-pooler-")
            .tempdir_in("/tmp")
            .expect("a directory under /tmp")
            .keep();
        let text = ini(fixture, &directory, config);
        fs::write(directory.join("pgbouncer.ini"), text).expect("the pooler's settings are written");
        let users: String = roles.iter().map(|role| format!("\"{role}\" \"\"\n")).collect();
        fs::write(directory.join("users"), users).expect("the pooler's users are written");
        if let Some(account) = account {
            account.give(&directory);
        }
        let guard = account::command(account, "sh", &directory)
            .args(["-c", GUARD_SCRIPT, "tenancy-guard"])
            .args([&config.program.0, &directory])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Its own process group: Ctrl-C in the terminal must not end it before it has cleaned up.
            .process_group(0)
            .spawn()
            .expect("a shell can be started");
        let pooler = Self { directory, database: fixture.database().to_owned(), guard };
        pooler.wait_until_it_answers(roles)?;
        Ok(pooler)
    }

    fn wait_until_it_answers(&self, roles: &[&str]) -> Result<(), String> {
        let deadline = Instant::now() + Duration::from_secs(20);
        while let Err(error) = self.try_connect(roles[0], "") {
            let complaints = self.complaints();
            if complaints.contains("FATAL") || Instant::now() > deadline {
                return Err(format!("{error}\n{complaints}"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// A client's session of `role`.
    #[track_caller]
    pub fn connect(&self, role: &str) -> Client {
        self.try_connect(role, "")
            .unwrap_or_else(|error| panic!("cannot connect as {role}: {error:?}\n{}", self.complaints()))
    }

    /// A client's session with options for the backend, such as `-c tenancy.tenant_id=acme`.
    pub fn try_connect(&self, role: &str, options: &str) -> Result<Client, postgres::Error> {
        let mut config = Client::configure();
        config.host_path(&self.directory).port(6432).dbname(&self.database).user(role);
        if !options.is_empty() {
            config.options(options);
        }
        config.connect(NoTls)
    }

    /// A client's session that gives itself a name.
    pub fn connect_as(&self, role: &str, application: &str) -> Result<Client, postgres::Error> {
        let mut config = Client::configure();
        config.host_path(&self.directory).port(6432).dbname(&self.database).user(role).application_name(application);
        config.connect(NoTls)
    }

    /// A session without a client library in between.
    pub fn open_raw(&self, role: &str) -> std::io::Result<RawSession> {
        RawSession::open_at(&self.directory.join(".s.PGSQL.6432"), &self.database, role, "")
    }

    fn complaints(&self) -> String {
        fs::read_to_string(self.directory.join("complaints")).unwrap_or_default()
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        // Nothing useful can be done about a guard that failed; a panic in drop would hide the test's own.
        let _ = self.guard.wait();
    }
}

fn ini(fixture: &Fixture<'_>, directory: &Path, config: &PoolerConfig) -> String {
    let mut text = format!(
        "[databases]\n{} = host={} port=5432\n\n\
         [pgbouncer]\nlisten_addr =\nlisten_port = 6432\nunix_socket_dir = {directory}\n\
         auth_type = trust\nauth_file = {directory}/users\n",
        fixture.database(),
        fixture.cluster().directory().display(),
        directory = directory.display(),
    );
    for (name, value) in &config.settings {
        text.push_str(&format!("{name} = {value}\n"));
    }
    text
}

/// Debian keeps it where only administrators look.
fn program() -> PathBuf {
    if let Some(named) = std::env::var_os("PG_TENANCY_PGBOUNCER") {
        return PathBuf::from(named);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin")])
        .map(|directory| directory.join("pgbouncer"))
        .find(|candidate| candidate.is_file());
    found.expect("PgBouncer is installed: .ci/setup does that")
}
