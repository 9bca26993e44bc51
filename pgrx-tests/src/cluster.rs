//! One PostgreSQL server in a directory of its own.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use postgres::{Client, NoTls};

use crate::account::{self, Account, run};
use crate::session::Session;

/// Stops the server and removes its directory once the pipe on its input closes: on drop, and also when the process
/// that started the server ends without dropping it (statics, a signal, `kill -9`).
const GUARD_SCRIPT: &str =
    r#"cat >/dev/null; "$1" stop --silent --wait --mode=immediate --pgdata="$2/data"; cd /; rm -rf "$2""#;

/// What minor releases since November 2026 (15.20) keep in the options of each column. `pg_dump` of earlier ones takes it for an
/// option to be set again, which their servers refuse.
const COLUMN_VERSION: &str = "pg_attver";

/// How a server is set up. The default preloads the extension and skips what only matters after a power cut.
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) settings: Vec<(String, String)>,
    environment: Vec<(String, String)>,
}

impl Default for Config {
    fn default() -> Self {
        Self::without_preload().set("shared_preload_libraries", "pg_tenancy")
    }
}

impl Config {
    /// A server that loads the extension's library only when a session first needs it.
    pub fn without_preload() -> Self {
        Self::empty().set("fsync", "off").set("max_prepared_transactions", "10")
    }

    /// No line for `postgresql.conf`.
    pub(crate) fn empty() -> Self {
        Self { settings: Vec::new(), environment: Vec::new() }
    }

    /// Adds a variable to the server's environment.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds one line to `postgresql.conf`; a later value of the same setting wins.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    fn file_text(&self, socket_directory: &Path) -> String {
        let mut text = format!("listen_addresses = ''\nunix_socket_directories = '{}'\n", socket_directory.display());
        for (name, value) in &self.settings {
            text.push_str(&format!("{name} = '{}'\n", value.replace('\'', "''")));
        }
        text
    }
}

/// A running server. Dropping it stops the server at once and removes its directory.
#[derive(Debug)]
pub struct Cluster {
    bindir: PathBuf,
    libdir: PathBuf,
    directory: PathBuf,
    account: Option<Account>,
    environment: Vec<(String, String)>,
    guard: Child,
}

impl Cluster {
    /// The superuser that `initdb` makes.
    pub const SUPERUSER: &str = "postgres";

    /// Makes and starts a new server; `name` only marks its directory.
    pub fn start(name: &str, config: &Config) -> Self {
        let mut cluster = Self::prepare(name);
        cluster.environment = config.environment.clone();
        cluster.initialize(config, &[]);
        cluster.start_server();
        cluster
    }

    /// As [`Cluster::start`], by another PostgreSQL, whose `pg_config` that is.
    pub fn start_of(pg_config: &OsStr, name: &str, config: &Config) -> Self {
        let cluster = Self::prepare_of(pg_config, name);
        cluster.initialize(config, &[]);
        cluster.start_server();
        cluster
    }

    fn initialize(&self, config: &Config, more: &[&str]) {
        run(self
            .server_program("initdb")
            .args(["--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8", "--username=postgres"])
            .args(more)
            .arg("--pgdata")
            .arg(self.data_directory()));
        self.append_settings(config);
    }

    /// Stops `old`, which is of an earlier PostgreSQL, has `pg_upgrade` take it over, and starts what has become of it.
    #[track_caller]
    pub fn upgraded_from(old: &Self, name: &str, config: &Config) -> Self {
        let cluster = Self::prepare(name);
        // From 18 on checksums are the default, and both must have them or neither.
        let differ = cluster.major_of_programs() >= 18 && old.major_of_programs() < 18;
        cluster.initialize(config, if differ { &["--no-data-checksums"] } else { &[] });
        if old.program_mentions("postgres", COLUMN_VERSION) && !cluster.program_mentions("pg_dump", COLUMN_VERSION) {
            old.forget_column_versions();
        }
        run(old.pg_ctl("stop").arg("--mode=fast"));
        let mut upgrade = cluster.server_program("pg_upgrade");
        upgrade.args(["--username=postgres", "--no-sync", "--old-bindir"]).arg(&old.bindir);
        upgrade.arg("--new-bindir").arg(&cluster.bindir).arg("--old-datadir").arg(old.data_directory());
        upgrade.arg("--new-datadir").arg(cluster.data_directory()).arg("--socketdir").arg(&cluster.directory);
        let output = upgrade.output().expect("pg_upgrade runs");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "pg_upgrade says\n{said}\nand in its logs\n{}", cluster.upgrade_logs());
        cluster.start_server();
        cluster
    }

    /// Ends of the logs that a failed `pg_upgrade` leaves in the new data directory, one for each database among them.
    fn upgrade_logs(&self) -> String {
        let entries = |path: PathBuf| fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
        let runs = entries(self.data_directory().join("pg_upgrade_output.d"));
        let logs = runs.flat_map(|run| entries(run.join("log")).chain(entries(run)).collect::<Vec<_>>());
        let mut text = String::new();
        for log in logs.filter(|path| path.is_file()) {
            let lines = fs::read(&log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
            let lines: Vec<&str> = lines.lines().collect();
            text.push_str(&format!("{}:\n{}\n", log.display(), lines[lines.len().saturating_sub(12)..].join("\n")));
        }
        text
    }

    /// A minor release since [`COLUMN_VERSION`] is upgraded by a major release from before: that would fail for every database
    /// that has a table, whatever extensions it has.
    fn forget_column_versions(&self) {
        eprintln!(
            "pg_upgrade: the new PostgreSQL's minor release is older than the old one's: {COLUMN_VERSION} is removed before"
        );
        let query = "select datname from pg_database where datallowconn";
        let rows = self.connect(Self::SUPERUSER).query(query, &[]).expect("the databases");
        for row in rows {
            self.connect_to(row.get(0), Self::SUPERUSER)
                .batch_execute(&format!(
                    "update pg_attribute set attoptions = nullif(array(
                         select o from unnest(attoptions) as o where not starts_with(o, '{COLUMN_VERSION}=')), '{{}}')
                     where attoptions is not null"
                ))
                .expect("options without versions");
        }
    }

    fn program_mentions(&self, program: &str, word: &str) -> bool {
        let bytes = fs::read(self.bindir.join(program)).expect("the server's programs can be read");
        bytes.windows(word.len()).any(|part| part == word.as_bytes())
    }

    /// The major version of the programs, running or not.
    fn major_of_programs(&self) -> u32 {
        let output = run(self.server_program("postgres").arg("--version"));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let number: String =
            text.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
        number.parse().expect("a major version")
    }

    /// An empty directory and its guard, no server yet.
    pub(crate) fn prepare(name: &str) -> Self {
        Self::prepare_of(&named_pg_config(), name)
    }

    fn prepare_of(pg_config: &OsStr, name: &str) -> Self {
        let (bindir, libdir) = (server_path(pg_config, "--bindir"), server_path(pg_config, "--libdir"));
        let account = Account::for_servers();
        // Not the caller's TMPDIR: the server's account must reach it, and a socket's path is limited to 107 bytes.
        let directory = tempfile::Builder::new()
            .prefix(&format!("tenancy-{name}-"))
            .tempdir_in(std::env::var_os("PG_TENANCY_SERVERS").unwrap_or_else(|| "/tmp".into()))
            .expect("a directory for the server")
            .keep();
        if let Some(account) = account {
            account.give(&directory);
        }
        let guard = spawn_guard(account, &bindir.join("pg_ctl"), &directory);
        Self { bindir, libdir, directory, account, environment: Vec::new(), guard }
    }

    pub(crate) fn append_settings(&self, config: &Config) {
        // Opened, not replaced: the file stays the server's own.
        fs::OpenOptions::new()
            .append(true)
            .open(self.data_directory().join("postgresql.conf"))
            .and_then(|mut file| file.write_all(config.file_text(&self.directory).as_bytes()))
            .expect("postgresql.conf can be written");
    }

    pub(crate) fn start_server(&self) {
        // After a crash the old server's processes hold its shared memory for a moment.
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let mut start = self.pg_ctl("start");
            start.envs(self.environment.iter().cloned()).arg("--log").arg(self.log_file());
            let output = start.output().expect("pg_ctl runs");
            if output.status.success() {
                return;
            }
            assert!(Instant::now() < deadline, "the server does not start:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn pg_ctl(&self, action: &str) -> Command {
        let mut command = self.server_program("pg_ctl");
        command.args([action, "--silent", "--wait", "--timeout=60", "--pgdata"]).arg(self.data_directory());
        command
    }

    /// Stops the server in an orderly way and starts it again; starts it when it is not running.
    pub fn restart(&self) {
        if self.is_running() {
            run(self.pg_ctl("stop").arg("--mode=fast"));
        }
        self.start_server();
    }

    /// Kills the server as a failing machine would. [`Cluster::restart`] brings it back through crash recovery.
    pub fn kill9(&self) {
        let pid_file = fs::read_to_string(self.data_directory().join("postmaster.pid")).expect("the server runs");
        let pid = pid_file.lines().next().expect("postmaster.pid has a first line").to_owned();
        assert!(kill9(&pid), "the server runs");
        let process = PathBuf::from(format!("/proc/{pid}"));
        while process.exists() {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn is_running(&self) -> bool {
        self.pg_ctl("status").output().expect("pg_ctl runs").status.success()
    }

    /// A command for one of the server's own programs, under the server's account.
    pub fn server_program(&self, program: &str) -> Command {
        let mut command = account::command(self.account, self.bindir.join(program), &self.directory);
        // Its own libpq: dblink and postgres_fdw of a newer server don't load with the system's.
        command.env("LD_LIBRARY_PATH", &self.libdir);
        command
    }

    /// Has a program of somebody else's find this server's own client programs, and connect to this database as superuser.
    pub fn lend_tools<'p>(&self, program: &'p mut Command, database: &str) -> &'p mut Command {
        let mut path = self.bindir.clone().into_os_string();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        program.env("PATH", path).env("LD_LIBRARY_PATH", self.bindir.join("../lib"));
        program.env("PGHOST", &self.directory).env("PGUSER", Self::SUPERUSER).env("PGDATABASE", database)
    }

    /// A command for a client program, connected to this server as superuser unless its arguments say otherwise.
    pub fn tool(&self, program: &str) -> Command {
        let mut command = self.server_program(program);
        // The libpq of its own version, wherever the tree was copied to; Debian's own programs find none there, and the system's.
        command.env("LD_LIBRARY_PATH", self.bindir.join("../lib"));
        command.env("PGHOST", &self.directory).env("PGUSER", Self::SUPERUSER).env("PGDATABASE", "postgres");
        command
    }

    /// Runs a client program such as `pg_dump` and returns what it printed; panics when it fails.
    #[track_caller]
    pub fn run_tool(&self, program: &str, arguments: &[&str]) -> Output {
        run(self.tool(program).args(arguments))
    }

    /// Runs an SQL script through `psql`, which stops at the first error. The caller judges the exit status.
    pub fn psql(&self, database: &str, role: &str, script: &str) -> Output {
        let mut psql = self
            .tool("psql")
            .args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--set=ON_ERROR_STOP=1"])
            .args(["--dbname", database, "--username", role])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("psql runs");
        let mut input = psql.stdin.take().expect("psql has an input");
        let script = script.to_owned();
        let writer = std::thread::spawn(move || {
            // psql that stopped at an error no longer reads: its exit status tells.
            let _ = input.write_all(script.as_bytes());
        });
        let output = psql.wait_with_output().expect("psql ends");
        writer.join().expect("psql's input is written");
        output
    }

    /// Connection parameters; refine them with `postgres::Config`'s own methods.
    pub fn client_config(&self, database: &str, role: &str) -> postgres::Config {
        let mut config = Client::configure();
        config.host_path(&self.directory).port(5432).dbname(database).user(role);
        config
    }

    /// A session of `role` in database `postgres`.
    #[track_caller]
    pub fn connect(&self, role: &str) -> Client {
        self.connect_to("postgres", role)
    }

    /// A session of `role` in `database`.
    #[track_caller]
    pub fn connect_to(&self, database: &str, role: &str) -> Client {
        self.try_connect(database, role, "").unwrap_or_else(|error| panic!("cannot connect as {role}: {error}"))
    }

    /// A session with command-line options for the backend, such as `-c tenancy.tenant_id=acme`.
    pub fn try_connect(&self, database: &str, role: &str, options: &str) -> Result<Client, postgres::Error> {
        self.client_config(database, role).options(options).connect(NoTls)
    }

    /// `server_version_num`, for instance 150020.
    pub fn version(&self) -> u32 {
        let row = self.connect(Self::SUPERUSER).query_one("select current_setting('server_version_num')", &[]);
        row.expect("the server tells its version").get::<_, String>(0).parse().expect("a number")
    }

    /// The directory that holds everything of this server, its socket included; the server's account may write there.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    pub fn data_directory(&self) -> PathBuf {
        self.directory.join("data")
    }

    fn log_file(&self) -> PathBuf {
        self.directory.join("server.log")
    }

    /// Waits until a condition is true in the session's database, for what another session, server or background process does.
    #[track_caller]
    pub fn wait_until(&self, session: &mut Client, condition: &str) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while session.value(&format!("select {condition}")).as_deref() != Some("t") {
            assert!(Instant::now() < deadline, "never so: {condition}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The server's log so far.
    pub fn log(&self) -> String {
        fs::read(self.log_file()).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        // Nothing useful can be done about a guard that failed; a panic in drop would hide the test's own.
        let _ = self.guard.wait();
    }
}

/// Kills a process of a server as a failing machine would, and says whether there was one. By the shell's own means: a small system
/// has no program for it.
pub fn kill9(pid: &str) -> bool {
    Command::new("sh").args(["-c", r#"kill -9 "$1""#, "kill", pid]).status().is_ok_and(|status| status.success())
}

fn spawn_guard(account: Option<Account>, pg_ctl: &Path, directory: &Path) -> Child {
    use std::os::unix::process::CommandExt;
    account::command(account, "sh", directory)
        .args(["-c", GUARD_SCRIPT, "tenancy-guard"])
        .args([pg_ctl, directory])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Its own process group: Ctrl-C in the terminal must not reach it before it has stopped the server.
        .process_group(0)
        .spawn()
        .expect("a shell can be started")
}

fn named_pg_config() -> OsString {
    std::env::var_os("PG_TENANCY_PG_CONFIG")
        .expect("PG_TENANCY_PG_CONFIG names the pg_config of a PostgreSQL that has the extension installed")
}

/// A path that a server's `pg_config` tells.
fn server_path(pg_config: &OsStr, option: &str) -> PathBuf {
    // Cargo runs tests in their package's folder; a relative path is meant from the repository's root.
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let output = run(Command::new(repository.join(pg_config)).arg(option));
    PathBuf::from(String::from_utf8(output.stdout).expect("a path in UTF-8").trim())
}
