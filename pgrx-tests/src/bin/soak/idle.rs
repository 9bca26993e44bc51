//! What a client does outside of its tenants' transactions: looks what it finds where it names no tenant, leaves something in the session,
//! looks at the session's memory.

use std::sync::Arc;

use crate::client::{Client, Ended};
use crate::manner::Manner;
use crate::memory;

/// The settings of the context, who it is, and what rows there are. The pid comes last.
const LOOK: &str = "select concat_ws(' ', coalesce(tenancy.current_key(), '-'), current_user = session_user, current_setting('statement_timeout'),
    quote_literal(concat(current_setting('tenancy.tenant_id'), current_setting('tenancy.user_id'), current_setting('tenancy.request_id'),
      current_setting('tenancy.token'), current_setting('tenancy.default_tenant'), current_setting('tenancy.region'))),
    current_setting('tenancy.on_missing'), current_setting('tenancy.on_bypass'), current_setting('tenancy.allow_switch'),
    current_setting('tenancy.on_leftovers'), current_setting('tenancy.guard_ddl'), current_setting('tenancy.max_tracked_tenants'),
    (select count(*) from orders) + (select count(*) from notes) + (select count(*) from points)
    + (select count(*) from ledger) + (select count(*) from tenancy.tenants) + (select count(*) from tenancy.audit_log)
    + (select count(*) from tenancy.quota_usage)); select pg_backend_pid()";
const NOBODY: &str = "- t 0 '' empty log off discard on 10000 0";

/// What else is of the session.
const LITTER: &str = "select concat_ws(' ', (select count(*) from pg_class where relnamespace = pg_my_temp_schema()),
    (select count(*) from pg_cursors where is_holdable), (select count(*) from pg_prepared_statements),
    (select count(*) from pg_listening_channels()),
    (select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()),
    current_setting('search_path'), current_setting('work_mem'))";
const NO_LITTER: &str = "0 0 0 0 0 \"$user\", public 4MB";

/// What a client leaves that the pooler resets.
const LEFT: [&str; 15] = [
    "set tenancy.user_id = 'user of $CANARY'",
    "set tenancy.request_id = '$CANARY'",
    "set tenancy.token = '$TOKEN'",
    "set tenancy.tenant_id = '$KEY'",
    "select tenancy.set_tenant('$KEY', false); set tenancy.user_id = 'user of $CANARY'",
    "select tenancy.authenticate('$TOKEN', false)",
    "begin; set local tenancy.token = '$TOKEN'; set tenancy.request_id = '$CANARY'; commit",
    "set role $APP",
    "set tenancy.on_missing = 'error'",
    "set statement_timeout = '11min'; set search_path = pg_temp, public; set work_mem = '5MB'",
    "create temp table notes (id bigint, tenant_id text, body text)",
    "begin; declare held cursor with hold for select '$CANARY'; commit",
    "prepare kept as select body from public.notes where body <> '$CANARY'",
    "select pg_advisory_lock(4711)",
    "listen soak",
];

/// Who names no tenant has none, and sees nothing.
pub fn look(client: &mut Client<'_, '_>) -> Result<(), Ended> {
    let reply = client.ask(LOOK, &[])?;
    let seen: Vec<&str> = reply.texts().collect();
    if seen.first() != Some(&NOBODY) {
        client.site.tally.fault(format!("who names no tenant finds: {seen:?}"));
    }
    client.count(seen.get(1).copied());
    if client.manner == Manner::Tidy {
        let reply = client.ask(LITTER, &[])?;
        let found = reply.texts().next().unwrap_or_default();
        if found != NO_LITTER {
            client.site.tally.fault(format!("the session was reset, and there is: {found}"));
        }
    }
    if client.dice.one_in(3) { client.refused("select tenancy.set_tenant('1001')", "25P01") } else { Ok(()) }
}

/// Leaves something that is of the session.
pub fn litter(client: &mut Client<'_, '_>) -> Result<(), Ended> {
    let resident = client.site.resident(&mut client.dice);
    client.act_for(Arc::clone(&resident));
    let left = client.dice.pick(&LEFT);
    let left = left.replace("$CANARY", resident.canary.text()).replace("$TOKEN", &resident.token);
    let left = left.replace("$KEY", &resident.key).replace("$APP", &client.site.app);
    client.ask(&left, &[]).map(drop)
}

/// Looks at the memory of its session, which does nothing meanwhile.
pub fn measure(client: &mut Client<'_, '_>) -> Result<(), Ended> {
    let reply = client.ask(&format!("begin; {}", memory::LOOK), &[])?;
    // A session's first transaction has not been counted yet.
    let said = reply.texts().next().unwrap_or_default();
    client.site.memory().look(client.manner.name(), said);
    client.roll_back()
}
