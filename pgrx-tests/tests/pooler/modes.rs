//! What the pooler's modes have in common where nobody resets a session: the next client finds it.

use tenancy_harness::{PoolerConfig, Session};

use crate::{Shop, key, visible};

/// The modes in which no reset query is run.
const MODES: [&str; 2] = ["transaction", "statement"];

/// One of each thing that a session keeps.
const KEPT: [&str; 7] = [
    "select tenancy.set_tenant('acme', is_local => false)",
    "create temp table scratch (id integer)",
    "declare held cursor with hold for select body from public.notes_uuid",
    "prepare kept as select 1",
    "select pg_advisory_lock(4711)",
    "listen storm",
    "set work_mem = '5MB'",
];

const FOUND: &str = "select concat_ws(' ', tenancy.current_key(),
    (select count(*) from pg_class where relnamespace = pg_my_temp_schema()),
    (select count(*) from pg_cursors where is_holdable),
    (select count(*) from pg_prepared_statements where from_sql),
    (select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()),
    (select string_agg(channel, ' ') from pg_listening_channels() channel),
    current_setting('work_mem'))";

fn shop(mode: &str) -> Shop {
    Shop::with(&PoolerConfig::default().set("pool_mode", mode), &[])
}

#[test]
fn what_a_session_keeps_is_the_next_clients() {
    for mode in MODES {
        let shop = shop(mode);
        let (mut one, mut other) = (shop.client(), shop.client());
        KEPT.iter().for_each(|statement| one.run(statement));
        assert_eq!(other.value(FOUND).as_deref(), Some("acme 1 1 1 1 storm 5MB"), "{mode}");
    }
}

#[test]
fn a_seal_stays_on_the_connection() {
    for mode in MODES {
        let shop = shop(mode);
        let (mut one, mut other) = (shop.client(), shop.client());
        one.run("select tenancy.set_tenant('acme', is_local => false)");
        one.run("select tenancy.seal('a secret of sixteen bytes or more')");
        assert_eq!(visible(&mut other), ["acme"], "{mode}");
        other.refuses("select tenancy.set_tenant('globex', is_local => false)", "42501");
        other.run("discard all");
        assert_eq!(key(&mut one), "none", "{mode}");
        one.refuses("select tenancy.set_tenant('globex', is_local => false)", "42501");
    }
}
