//! (h) what a session keeps after very many tenants.

use tenancy_harness::Session;
use tenancy_harness::postgres::Client;

use crate::Bench;
use crate::report::Line;

const WARM_UP: u64 = 10_000;
const BAR_KIB: i64 = 1024;

pub fn memory(bench: &Bench<'_>) -> Vec<Line> {
    let registry = bench.large_registry();
    // The view is for superusers; the role that is measured shall be an ordinary one.
    registry.fixture().run(
        "create function context_bytes() returns bigint security definer
         language sql return (select sum(total_bytes)::bigint from pg_backend_memory_contexts)",
    );
    let mut client = registry.connect();
    let mut usage = Usage::of(&mut client);
    let mut taken = Vec::new();
    for calls in [WARM_UP, bench.scale.memory_calls] {
        registry.visit(&mut client, calls);
        let now = Usage::of(&mut client);
        taken.push((usage, now));
        usage = now;
    }
    let (before, after) = taken[1];
    let what = format!("{} calls of set_tenant, {} tenants", bench.scale.memory_calls, crate::registry::MANY);
    let line = |compared, pick: fn(&Usage) -> i64| {
        let (before, after) = (pick(&before), pick(&after));
        Line::kibibytes('h', &what, compared, after - before, BAR_KIB, format!("{after} KiB / {before} KiB"))
    };
    vec![
        line("growth of memory contexts", |usage| usage.contexts),
        line("growth of private memory", |usage| usage.private),
    ]
}

/// Memory of one session, in KiB.
#[derive(Clone, Copy, Debug)]
struct Usage {
    /// PostgreSQL's memory contexts.
    contexts: i64,
    /// What the process has to itself: contexts and everything else.
    private: i64,
}

impl Usage {
    fn of(client: &mut Client) -> Self {
        let mut number = |query: &str| -> i64 {
            let value = client.value(query).and_then(|value| value.parse().ok());
            value.expect("a number")
        };
        let contexts = number("select context_bytes()") / 1024;
        let pid = number("select pg_backend_pid()");
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the session's process");
        let private = status
            .lines()
            .find_map(|line| line.strip_prefix("RssAnon:")?.trim().strip_suffix(" kB")?.parse().ok())
            .expect("the kernel tells a process' private memory");
        Self { contexts, private }
    }
}
