//! The SQL in the documentation runs as it stands there, and gives what is shown.
//!
//! - `sql`: run by a superuser, `sql as=ROLE` by that role, each block in a session of its own and in the order of the page.
//!   `fails=SQLSTATE`: its last statement is refused so; where there are several, the error is shown, which tells the one.
//! - `psql`: run by a superuser's psql, in a copy of the database: what follows doesn't build on it.
//! - `text`: what the block before it gave. The rows of its last statement that returns some, as psql prints them, or without
//!   a heading; those of its last two, and so on, with an empty line between; or the error. `…` stands for anything.
//!   `varies=uuid,time,number,hex,cost,buffers`: what of it differs from run to run. `on=VERSION`: compared on that version alone.
//! - `text measured`: what a program printed elsewhere.
//! - Every other block says in one word what it is (`sh`, `ini`, …), and isn't run; or names a file of which it is a part.
//!
//! On the pages the database is called `shop`.
//!
//! `PG_TENANCY_WRITE=1` writes what the blocks gave into the pages instead; read the difference.

mod links;
mod page;
mod shown;

use std::path::Path;
use std::sync::Mutex;

use page::{Block, Page, Runner};
use shown::Outcome;
use tenancy_harness::{Cluster, Config, Fixture, sqlstate};

/// Roles belong to the whole server, and each page makes its own: they go with the page.
const FORGET_ROLES: &str = "DO $$ DECLARE made record; BEGIN
    FOR made IN SELECT oid, rolname FROM pg_roles WHERE oid >= 16384 LOOP
        EXECUTE format('DROP OWNED BY %I CASCADE', made.rolname);
    END LOOP;
    FOR made IN SELECT oid, rolname FROM pg_roles WHERE oid >= 16384 LOOP
        EXECUTE format('DROP ROLE %I', made.rolname);
    END LOOP;
END $$";

/// Plans are shown: nothing works in the background that would change them.
fn server() -> Cluster {
    Cluster::start("docs", &Config::default().set("autovacuum", "off"))
}

/// What was run, compared, and not as it should be.
#[derive(Debug, Default)]
struct Tally {
    ran: usize,
    compared: usize,
    faults: Vec<String>,
}

#[test]
fn every_sql_block_of_the_documentation_gives_what_it_shows() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut pages: Vec<Page> = page::all(&root).iter().map(|path| Page::read(&root, path)).collect();
    pages.retain(|page| !page.blocks.is_empty() || !page.faults.is_empty());
    // The longest first, so that no server is left with one when the others have nothing to do.
    pages.sort_by_key(|page| page.blocks.iter().map(|block| block.sql.len()).sum::<usize>());
    let (queue, tally) = (Mutex::new(pages), Mutex::new(Tally::default()));
    let servers = std::thread::available_parallelism().map_or(1, |many| many.get().min(4));
    std::thread::scope(|scope| {
        for _ in 0..servers {
            scope.spawn(|| {
                let mut cluster = server();
                loop {
                    let Some(mut page) = queue.lock().expect("the queue").pop() else { break };
                    run(&mut page, &cluster, &tally);
                    let forgotten = cluster.connect(Cluster::SUPERUSER).batch_execute(FORGET_ROLES);
                    if forgotten.is_err() {
                        cluster = server();
                    }
                }
            });
        }
    });
    let tally = tally.into_inner().expect("the tally");
    assert!(tally.faults.is_empty(), "{}", tally.faults.join("\n\n"));
    assert!(
        tally.ran >= 280 && tally.compared >= 150,
        "only {} blocks ran, {} were compared",
        tally.ran,
        tally.compared
    );
}

fn run(page: &mut Page, cluster: &Cluster, tally: &Mutex<Tally>) {
    let writes = std::env::var_os("PG_TENANCY_WRITE").is_some();
    let fixture = Fixture::empty(cluster);
    let mut found = Tally { faults: std::mem::take(&mut page.faults), ..Tally::default() };
    let unclear = page
        .unclear()
        .map(|block| format!("{}:{}: show the error: which statement is refused?", page.name, block.line));
    found.faults.extend(unclear);
    let mut written = Vec::new();
    for block in &page.blocks {
        let at = format!("{}:{}", page.name, block.line);
        let outcome = match outcome(&fixture, block) {
            Ok(outcome) => outcome,
            Err(fault) => {
                // What follows builds on it.
                found.faults.push(format!("{at}: {fault}"));
                break;
            }
        };
        found.ran += 1;
        for shown in block.shown.iter().filter(|shown| shown.only.is_none_or(|only| only == fixture.major_version())) {
            found.compared += 1;
            let Err(fault) = shown.compare(&outcome) else { continue };
            if writes {
                written.push((shown.lines.clone(), shown.render(&outcome)));
            } else {
                found.faults.push(format!("{}:{}: {fault}", page.name, shown.line));
            }
        }
    }
    if !written.is_empty() {
        page.write(&written);
    }
    let mut tally = tally.lock().expect("the tally");
    tally.ran += found.ran;
    tally.compared += found.compared;
    tally.faults.append(&mut found.faults);
}

/// What a block gives; why not, where it is not as the fence says.
fn outcome(fixture: &Fixture<'_>, block: &Block) -> Result<Outcome, String> {
    if block.runner == Runner::Psql {
        return by_psql(fixture, block);
    }
    let result = fixture.connect(&block.role).simple_query(&block.sql);
    match (&block.fails, sqlstate(&result).map(str::to_owned)) {
        (None, None) => {
            let outcome = result.map(|messages| Outcome::of(&messages));
            outcome.map(|outcome| outcome.with_database(fixture.database())).map_err(|error| format!("{error:?}"))
        }
        (Some(wanted), Some(state)) if *wanted == state => {
            Ok(result.err().and_then(|error| error.as_db_error().map(Outcome::refused)).unwrap_or_default())
        }
        (wanted, state) => {
            let said = result.err().map(|error| format!("{error:?}")).unwrap_or_default();
            Err(format!("SQLSTATE {state:?}, expected {wanted:?} {said}"))
        }
    }
}

/// Whether psql runs a block to its end.
fn by_psql(fixture: &Fixture<'_>, block: &Block) -> Result<Outcome, String> {
    let copy = fixture.copy();
    let output = fixture.cluster().psql(copy.database(), &block.role, &block.sql);
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        Ok(Outcome::default())
    } else {
        Err(format!("psql ended with {}: {said}", output.status))
    }
}
