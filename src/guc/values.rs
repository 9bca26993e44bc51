//! What the settings say.

use super::*;

/// How far the session's role is hardened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PostgresGucEnum)]
pub enum Profile {
    #[name = c"none"]
    None,
    #[name = c"standard"]
    Standard,
    #[name = c"strict"]
    Strict,
}

/// The context as it was set: a tenant's id or key; empty when none is.
pub fn tenant() -> String {
    text(&TENANT)
}

/// The token as it was set; empty when none is.
pub fn token() -> String {
    text(&SIGNED)
}

/// Whether a token is set.
pub fn has_token() -> bool {
    HAS_TOKEN.get()
}

/// The user, if there is one: that of the token or the request where one is in force, else the one that is set.
pub fn user_id() -> Option<String> {
    if let Some(user) = LISTENER.get().and_then(|listener| (listener.proven_user)()) {
        return user;
    }
    chosen_user()
}

/// The user that is set, if there is one.
pub fn chosen_user() -> Option<String> {
    let counts = |id: &String| LISTENER.get().is_none_or(|listener| (listener.user_counts)(id));
    Some(text(&USER)).filter(|id| !id.is_empty() && counts(id))
}

/// What a parallel worker's leader is sealed to; empty when it isn't.
pub fn sealed() -> String {
    text(&SEALED_TO)
}

/// Has parallel workers know what the session is sealed to.
pub fn tell_workers_of_seal(sealed_to: &str) {
    let _sealing = SEALING.raised();
    option::set_for_good(SEALED, sealed_to);
}

/// The request that the application serves, if set.
pub fn request_id() -> Option<String> {
    Some(text(&REQUEST)).filter(|id| !id.is_empty())
}

/// Whether this session may act for several tenants in one transaction.
pub fn allow_switch() -> bool {
    Flag::SwitchAllowed.get()
}

/// The tenant that a superuser chose for sessions that set none; empty when none.
pub fn default_tenant() -> String {
    text(&DEFAULT)
}

/// What to do about a protected table touched without a context.
pub fn on_missing() -> OnMissing {
    MISSING.get()
}

/// What to do about a bypass without a declared reason.
pub fn on_bypass() -> OnBypass {
    BYPASS.get()
}

/// What to do about another tenant's left-overs.
pub fn on_leftovers() -> OnLeftovers {
    LEFTOVERS.get()
}

/// The region whose tenants this server may act for, if restricted.
pub fn region() -> Option<String> {
    Some(text(&HOME_REGION)).filter(|region| !region.is_empty())
}

/// For how many tenants sessions share memory.
pub fn shared_tenants() -> usize {
    usize::try_from(DIRECTORY_SIZE.get()).unwrap_or(0)
}

/// How many slots sessions share for rates, and as many for statistics.
pub fn max_tracked_tenants() -> usize {
    usize::try_from(TRACKED.get()).unwrap_or(0)
}

/// The rate that they are counted for.
pub fn enforce_rate() -> String {
    text(&STATEMENT_RATE)
}

/// Whether DDL that weakens a protected table is refused.
pub fn guard_ddl() -> bool {
    DDL_GUARD.get()
}

/// For how many seconds an idempotency key is known again.
pub fn keep_idempotency_keys() -> i32 {
    KEYS_KEPT.get()
}

/// For how many seconds the history of usage is kept.
pub fn keep_usage_history() -> i32 {
    HISTORY_KEPT.get()
}

/// The profile that the session came with.
pub fn profile() -> Profile {
    ROLE_PROFILE.get()
}

fn text(setting: &GucSetting<Option<CString>>) -> String {
    setting.get().map(|value| value.to_string_lossy().into_owned()).unwrap_or_default()
}
