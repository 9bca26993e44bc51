//! The examples in docs/clients: each tells the same story, in its language and with its driver, to a database of its own. What
//! befalls one driver alone, or takes longer than a story should, are the trials in `clients/`, which use the examples' functions.
//!
//! `PG_TENANCY_CLIENTS="psql jdbc"` names those to run, for a machine that lacks the others' toolchains. A toolchain that is
//! missing otherwise is a failure; `.ci/setup` installs them.

use std::env;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::thread;

use tenancy_harness::{Cluster, Config};

/// What `PG_TENANCY_CLIENTS` may name.
const CLIENTS: [&str; 6] = ["psql", "rust", "python", "node", "go", "jdbc"];
/// The login role that `schema.sql` makes.
const ROLE: &str = "shop_app";
/// Nothing here takes this long; a client that waits for what never comes would hold up everybody.
const SECONDS: &str = "120";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the repository")
}

/// A file of docs/clients.
fn file(name: &str) -> PathBuf {
    root().join("docs/clients").join(name)
}

fn read(name: &str) -> String {
    let path = file(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// One server for all; its database `clients` is what `schema.sql` makes, and is copied for each example.
fn server() -> &'static Cluster {
    static SERVER: OnceLock<Cluster> = OnceLock::new();
    SERVER.get_or_init(|| {
        let server = Cluster::start("clients", &Config::default());
        let run = |sql: &str| server.connect(Cluster::SUPERUSER).batch_execute(sql).expect("a prepared database");
        run("create database clients");
        let made = server.psql("clients", Cluster::SUPERUSER, &read("schema.sql"));
        assert!(made.status.success(), "schema.sql: {}", String::from_utf8_lossy(&made.stderr));
        run("alter database clients allow_connections false");
        server
    })
}

fn is_wanted(client: &str) -> bool {
    let Ok(wanted) = env::var("PG_TENANCY_CLIENTS") else { return true };
    let mut wanted = wanted.split_whitespace();
    wanted.clone().for_each(|name| assert!(CLIENTS.contains(&name), "PG_TENANCY_CLIENTS: what is {name}?"));
    wanted.any(|name| name == client)
}

/// Where an example connects to.
struct Place {
    host: String,
    port: u16,
}

/// `set_tenant` as it is not: the tenant stays when the transaction has ended, as with a plain SET.
const LASTING: &str = "
    alter function tenancy.set_tenant(text, boolean) rename to set_tenant_for;
    create function tenancy.set_tenant(tenant text, is_local boolean default true) returns uuid language sql
        begin atomic select tenancy.set_tenant_for(tenant, false); end";

/// Nothing is protected.
const OPEN: &str = "select tenancy.detach_quota('orders', 'orders'); select tenancy.unprotect('orders')";

/// A copy of the database, with something changed in it.
fn database(name: &str, change: &str) -> String {
    let made = server().connect(Cluster::SUPERUSER).batch_execute(&format!("create database {name} template clients"));
    made.expect("a database for the example");
    server().connect_to(name, Cluster::SUPERUSER).batch_execute(change).expect("a changed database");
    name.to_owned()
}

/// Runs the example in a fresh database, and compares what it printed; and again where tenants outlast their transactions, which it
/// must notice. `place` is that of a forwarder to the server's socket; without it the example connects to the socket itself.
#[track_caller]
fn tells_the_story(name: &str, place: Option<Place>, example: &mut Command) {
    let expected = read("expected.txt");
    let place = place.unwrap_or_else(|| Place { host: server().directory().display().to_string(), port: 5432 });
    example.env("PGHOST", place.host).env("PGPORT", place.port.to_string()).env("PGUSER", ROLE);
    let output = run(example.env("PGDATABASE", database(&format!("story_{name}"), "")));
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "printed by {name}");

    let output = try_run(example.env("PGDATABASE", database(&format!("lasting_{name}"), LASTING)));
    let printed = String::from_utf8_lossy(&output.stdout);
    let last = expected.lines().last().expect("a story");
    let others = expected.strip_suffix(&format!("{last}\n")).expect("lines");
    assert!(
        printed.starts_with(others) && !printed.contains(last),
        "{name} does not notice, or stumbles before:\n{printed}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Runs a program of some toolchain, for a limited time.
#[track_caller]
fn run(command: &mut Command) -> Output {
    let output = try_run(command);
    let told = || format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    match output.status.code() {
        Some(0) => output,
        Some(124) => panic!("{command:?} does not end:\n{}", told()),
        Some(127) => {
            panic!("{command:?} is not installed (.ci/setup does that, PG_TENANCY_CLIENTS chooses):\n{}", told())
        }
        _ => panic!("{command:?} fails with {}:\n{}", output.status, told()),
    }
}

/// The same, whatever it ends with.
fn try_run(command: &Command) -> Output {
    let mut limited = Command::new("timeout");
    limited.arg(SECONDS).arg(command.get_program()).args(command.get_args()).env("LC_ALL", "C.UTF-8");
    for (variable, value) in command.get_envs() {
        match value {
            Some(value) => limited.env(variable, value),
            None => limited.env_remove(variable),
        };
    }
    limited.current_dir(root()).output().expect("coreutils")
}

/// What `.ci/clients` tells, having installed it.
fn installed(what: &str) -> PathBuf {
    let printed = run(Command::new(root().join(".ci/clients")).arg(what)).stdout;
    PathBuf::from(String::from_utf8(printed).expect("a path in UTF-8").trim())
}

fn target() -> PathBuf {
    root().join(env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

fn python(script: &Path) -> Command {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    let mut command = Command::new(PYTHON.get_or_init(|| installed("python")));
    // No cache of bytecode in the source tree.
    command.arg("-B").arg(script).env("PYTHONPATH", file("python"));
    command
}

fn node(script: &Path) -> Command {
    static MODULES: OnceLock<PathBuf> = OnceLock::new();
    let modules = MODULES.get_or_init(|| installed("node"));
    let path = env::join_paths([modules, &file("node")]).expect("paths without a colon");
    let mut command = Command::new("node");
    command.arg(script).env("NODE_PATH", path);
    command
}

fn python_story(example: &str) {
    tells_the_story(example, None, &mut python(&file(&format!("python/{example}.py"))));
}

fn node_story(example: &str) {
    tells_the_story(example, None, &mut node(&file(&format!("node/{example}.js"))));
}

/// Runs what `clients/` has under that name, in a fresh database.
#[track_caller]
fn trial(name: &str, program: impl Fn(&Path) -> Command, script: &str) {
    let mut command = program(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(script));
    command.arg(name).env("PGHOST", server().directory()).env("PGPORT", "5432").env("PGUSER", ROLE);
    run(command.env("PGDATABASE", database(&format!("trial_{name}"), "")));
}

fn rust(example: &str) {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo)
            .args(["build", "--quiet", "--locked", "--package", "tenancy-clients"])
            .current_dir(root())
            .output()
            .expect("cargo runs");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    });
    tells_the_story(example, None, &mut Command::new(target().join("debug").join(example)));
}

/// Passes connections of the application's role from a port on loopback to the server's socket, for a driver that knows TCP alone;
/// anybody else is turned away: on the socket, who comes in is believed to be who he says.
fn forwarder() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let socket = server().directory().join(".s.PGSQL.5432");
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let socket = socket.clone();
            thread::spawn(move || forward(client, &socket));
        }
    });
    port
}

fn forward(mut client: TcpStream, socket: &Path) -> io::Result<()> {
    // The first message: its length, the protocol's version, then names and values.
    let mut length = [0; 4];
    client.read_exact(&mut length)?;
    let mut rest = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap_or(0).clamp(8, 10_000) - 4];
    client.read_exact(&mut rest)?;
    let words: Vec<&[u8]> = rest[4..].split(|byte| *byte == 0).collect();
    if !words.chunks_exact(2).any(|pair| pair == [b"user".as_slice(), ROLE.as_bytes()]) {
        return Ok(());
    }
    let mut server = UnixStream::connect(socket)?;
    server.write_all(&length)?;
    server.write_all(&rest)?;
    let (mut answers, mut back) = (server.try_clone()?, client.try_clone()?);
    let answering = thread::spawn(move || {
        let _ = io::copy(&mut answers, &mut back);
        let _ = back.shutdown(Shutdown::Both);
    });
    let _ = io::copy(&mut client, &mut server);
    let _ = server.shutdown(Shutdown::Both);
    let _ = answering.join();
    Ok(())
}

/// A test for each example, by its client's name.
macro_rules! clients {
    ($($test:ident: $client:literal => $run:expr;)*) => {
        $(
            #[test]
            fn $test() {
                if is_wanted($client) {
                    $run;
                } else {
                    eprintln!("{}: not among PG_TENANCY_CLIENTS", $client);
                }
            }
        )*
    };
}

clients! {
    psql_tells_the_story: "psql" => psql();
    tokio_postgres_tells_the_story: "rust" => rust("tokio_postgres_example");
    sqlx_tells_the_story: "rust" => rust("sqlx_example");
    psycopg_tells_the_story: "python" => python_story("psycopg_example");
    sqlalchemy_tells_the_story: "python" => python_story("sqlalchemy_example");
    django_tells_the_story: "python" => python_story("django_example");
    node_postgres_tells_the_story: "node" => node_story("pg_example");
    a_client_in_the_manner_of_prisma_tells_the_story: "node" => node_story("transaction_example");
    pgx_tells_the_story: "go" => go();
    jdbc_tells_the_story: "jdbc" => jdbc();
    psycopg_gives_up_after_three_conflicts: "python" => trial("psycopg_conflicts", python, "trials.py");
    sqlalchemy_gives_up_after_three_conflicts: "python" => trial("sqlalchemy_conflicts", python, "trials.py");
    what_goes_on_after_a_failed_part_is_refused: "node" => trial("failed_part", node, "trials.js");
    what_goes_on_in_the_manner_of_prisma_is_refused: "node" => trial("failed_part_in_the_manner_of_prisma", node, "trials.js");
    what_nobody_waited_for_is_refused: "node" => trial("forgotten_part", node, "trials.js");
    a_process_outlives_its_idle_connection: "node" => trial("idle_connection_ends", node, "trials.js");
    a_process_outlives_its_connection_in_use: "node" => trial("connection_in_use_ends", node, "trials.js");
}

fn psql() {
    // The server's own, with the libpq of its version; the one that the script starts is the same.
    let mut command = Command::new("psql");
    server().lend_tools(&mut command, "postgres");
    command.args(["-X", "-q", "-A", "-t", "-f"]).arg(file("psql/example.sql"));
    tells_the_story("psql", None, &mut command);
    // Nor is it the same where nothing is protected.
    let open = try_run(command.env("PGDATABASE", database("open", OPEN)));
    let printed = String::from_utf8_lossy(&open.stdout);
    assert!(printed.starts_with("without a tenant: umbrella 5\n"), "{printed}");
}

fn go() {
    let folder = target().join("clients/go");
    fs::create_dir_all(&folder).expect("a folder under target/");
    // Debian's packages of Go libraries are a GOPATH; nothing is fetched.
    run(Command::new("go")
        .args(["build", "-o"])
        .args([folder.join("example"), file("go/example.go")])
        .envs([("GO111MODULE", "off"), ("GOPATH", "/usr/share/gocode"), ("GOFLAGS", ""), ("GOTOOLCHAIN", "local")])
        .env("GOCACHE", folder.join("cache")));
    tells_the_story("go", None, &mut Command::new(folder.join("example")));
}

fn jdbc() {
    let jars = ["postgresql.jar", "HikariCP.jar", "slf4j-api.jar"].map(|jar| format!("/usr/share/java/{jar}"));
    for jar in &jars {
        assert!(Path::new(jar).exists(), "{jar} is missing: .ci/setup installs it, PG_TENANCY_CLIENTS chooses");
    }
    let place = Place { host: Ipv4Addr::LOCALHOST.to_string(), port: forwarder() };
    let mut command = Command::new("java");
    command.args(["-cp", &jars.join(":")]).arg(file("java/Example.java"));
    tells_the_story("jdbc", Some(place), &mut command);
}

/// Blocks of code in the page, with the file that each is of.
fn excerpts(page: &str) -> Vec<(String, String)> {
    let mut excerpts = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(info) = line.strip_prefix("```") else { continue };
        let body: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        let source = match info.split_once(" file=") {
            Some((_, source)) => source,
            None if info == "sql" => "schema.sql",
            None if info == "sh" => continue,
            None => panic!("what file is this of? {info}"),
        };
        excerpts.push((source.to_owned(), body.join("\n")));
    }
    excerpts
}

/// A text without the indentation of its lines, which depends on where it stands.
fn unindented(text: &str) -> String {
    text.lines().map(|line| format!("{}\n", line.trim())).collect()
}

#[test]
fn what_the_page_shows_is_what_runs() {
    let excerpts = excerpts(&read("README.md"));
    for (source, excerpt) in &excerpts {
        assert!(unindented(&read(source)).contains(&unindented(excerpt)), "not in {source}:\n{excerpt}");
    }
    let shown = |client: &str| excerpts.iter().any(|(source, _)| source.starts_with(&format!("{client}/")));
    let clients = ["psql", "rust", "python", "node", "go", "java"];
    assert!(clients.into_iter().all(shown), "only {:?}", excerpts.iter().map(|(source, _)| source).collect::<Vec<_>>());
}

/// Nothing that was fetched says from where: it comes from wherever the reader's own tools fetch.
#[test]
fn lock_files_name_no_registry() {
    let lock = read("node/package-lock.json");
    assert!(lock.contains("\"integrity\"") && !lock.contains("\"resolved\""), "package-lock.json names a registry");
    let requirements = read("python/requirements.txt");
    for line in requirements.lines() {
        assert!(
            line.split_once("==").is_some_and(|(_, version)| !version.contains([' ', '/'])),
            "requirements.txt: {line}"
        );
    }
}
