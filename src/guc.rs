//! Every setting: name, default, who may set it, hooks, typed accessor.
//!
//! The hooks parse and tell; they never look into a catalog. What a value means is decided when it
//! is used, see `context`.

mod named;
mod reported;
mod values;

pub use values::*;

use crate::error::{Error, Result};
use crate::jwt;
use crate::sys::backend::BackendCell;
use crate::sys::flag::Flag;
use crate::sys::{discretion, option, subject, tally, xact};
use crate::tenant::TenantRef;
use pgrx::pg_sys;
use pgrx::prelude::*;
use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting, PostgresGucEnum};
use std::ffi::{CStr, CString, c_char, c_void};

pub const PREFIX: &str = "tenancy.";
pub const TENANT_ID: &CStr = c"tenancy.tenant_id";
pub const TOKEN: &CStr = c"tenancy.token";
pub const USER_ID: &CStr = c"tenancy.user_id";
const REQUEST_ID: &CStr = c"tenancy.request_id";
const ALLOW_SWITCH: &CStr = c"tenancy.allow_switch";
pub const DEFAULT_TENANT: &CStr = c"tenancy.default_tenant";
const ON_MISSING: &CStr = c"tenancy.on_missing";
const ON_BYPASS: &CStr = c"tenancy.on_bypass";
const ON_LEFTOVERS: &CStr = c"tenancy.on_leftovers";
const REGION: &CStr = c"tenancy.region";
const SHARED_TENANTS: &CStr = c"tenancy.shared_tenants";
pub const GUARD_DDL: &CStr = c"tenancy.guard_ddl";
const SEALED: &CStr = c"tenancy.sealed";
const KEEP_IDEMPOTENCY_KEYS: &CStr = c"tenancy.keep_idempotency_keys";
const MAX_TRACKED_TENANTS: &CStr = c"tenancy.max_tracked_tenants";
const ENFORCE_RATE: &CStr = c"tenancy.enforce_rate";
const KEEP_USAGE_HISTORY: &CStr = c"tenancy.keep_usage_history";
const PROFILE: &CStr = c"tenancy.profile";
const TRACK_STATS: &CStr = c"tenancy.track_stats";
const LOG_CONTEXT: &CStr = c"tenancy.log_context";

/// Where PostgreSQL looks for names that bear no schema, and the value that trusts none but its own.
pub const SEARCH_PATH: &CStr = c"search_path";
pub const SAFE_PATH: &str = "pg_catalog, pg_temp";

/// The longest user or request id, in characters.
const MAX_ID_CHARS: usize = 255;

static TENANT: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));
static SIGNED: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));
static USER: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));
static REQUEST: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));
static SWITCH: GucSetting<bool> = GucSetting::<bool>::new(false);
static DEFAULT: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));
static MISSING: GucSetting<OnMissing> = GucSetting::<OnMissing>::new(OnMissing::Empty);
static BYPASS: GucSetting<OnBypass> = GucSetting::<OnBypass>::new(OnBypass::Log);
static LEFTOVERS: GucSetting<OnLeftovers> = GucSetting::<OnLeftovers>::new(OnLeftovers::Error);
static DIRECTORY_SIZE: GucSetting<i32> = GucSetting::<i32>::new(131_072);
static DDL_GUARD: GucSetting<bool> = GucSetting::<bool>::new(true);
static SEALED_TO: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));
static ROLE_PROFILE: GucSetting<Profile> = GucSetting::<Profile>::new(Profile::None);
static KEYS_KEPT: GucSetting<i32> = GucSetting::<i32>::new(86_400);
static TRACKED: GucSetting<i32> = GucSetting::<i32>::new(10_000);
static STATEMENT_RATE: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));
static HISTORY_KEPT: GucSetting<i32> = GucSetting::<i32>::new(400 * 86_400);
static STATS_TRACKED: GucSetting<bool> = GucSetting::<bool>::new(true);
static CONTEXT_LOGGED: GucSetting<bool> = GucSetting::<bool>::new(false);
static HOME_REGION: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));

/// What happens when a statement touches a protected table without a context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PostgresGucEnum)]
pub enum OnMissing {
    #[name = c"empty"]
    Empty,
    #[name = c"error"]
    Error,
}

/// What happens when a role that row security does not bind touches a protected table without a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PostgresGucEnum)]
pub enum OnBypass {
    #[name = c"allow"]
    Allow,
    #[name = c"log"]
    Log,
    #[name = c"error"]
    Error,
}

/// What happens when a session that holds another tenant's left-overs takes a new tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PostgresGucEnum)]
pub enum OnLeftovers {
    #[name = c"error"]
    Error,
    #[name = c"discard"]
    Discard,
    #[name = c"ignore"]
    Ignore,
}

/// Whom the hooks tell.
#[derive(Clone, Copy)]
pub struct Listener {
    /// A session is about to set this tenant within a transaction; an error refuses it.
    pub tenant_set: fn(&TenantRef) -> Result<()>,
    /// A session is about to set the tenant to this, which may be nothing; an error refuses it.
    pub tenant_chosen: fn(&str) -> Result<()>,
    /// A session is about to set this token within a transaction; an error refuses it.
    pub token_set: fn(&str) -> Result<()>,
    /// The token is about to be this from here on, which may be nothing, or what it was. Can't fail.
    pub token_becomes: fn(&str),
    /// The user whom a token or the request names, who may be nobody; `None` where neither is in force.
    pub proven_user: fn() -> Option<Option<String>>,
    /// A session is about to set the user to this, which may be nothing; an error refuses it.
    pub user_chosen: fn(&str) -> Result<()>,
    /// Whether the user that is set counts.
    pub user_counts: fn(&str) -> bool,
    /// The user has changed, maybe back to what it was. Can't fail.
    pub user_changed: fn(),
    /// A setting that the context rests on has changed, maybe back to what it was. Can't fail.
    pub context_changed: fn(),
    /// The tenant is about to be this from here on; empty for the default. Can't fail.
    pub tenant_becomes: fn(&str),
    /// The server's region has changed. Can't fail.
    pub region_changed: fn(),
}

static LISTENER: BackendCell<Option<Listener>> = BackendCell::new(None);

/// True while the library loads: values set before are then handed to the check hooks, and a refusal
/// would only drop them with a warning, which could bring an older value back into force. They are
/// let in, and fail at first use instead.
static LOADING: BackendCell<bool> = BackendCell::new(false);

/// Whether a token is set; apart, because it is asked for each statement.
const HAS_TOKEN: Flag = Flag::TokenSet;
/// Whether statements are counted for a rate; apart, because it is asked before each.
const COUNTS_STATEMENTS: Flag = Flag::StatementsCounted;

/// True while the extension sets `tenancy.sealed`, which nobody else may.
static SEALING: BackendCell<bool> = BackendCell::new(false);

#[pg_guard]
unsafe extern "C-unwind" fn check_token(
    value: *mut *mut c_char,
    _extra: *mut *mut c_void,
    source: pg_sys::GucSource::Type,
) -> bool {
    // SAFETY: PostgreSQL passes the new value, or NULL.
    match check_new_token(unsafe { borrowed(value) }, source) {
        Ok(()) => true,
        Err(error) => option::refuse(&error),
    }
}

fn check_new_token(token: &str, source: pg_sys::GucSource::Type) -> Result<()> {
    if LOADING.get() || xact::starting_parallel_worker() {
        return Ok(());
    }
    let by_session = source == pg_sys::GucSource::PGC_S_SESSION;
    if by_session && xact::in_restricted_operation() {
        return Err(Error::RestrictedOperation);
    }
    if token.is_empty() {
        return Ok(());
    }
    discretion::veil_statement_with(token);
    // ALTER ROLE ... SET, a function's SET: kept in a catalog that everybody reads.
    if source == pg_sys::GucSource::PGC_S_TEST {
        return Err(Error::TokenKept);
    }
    if token.len() > jwt::MAX_BYTES {
        return Err(Error::InvalidToken);
    }
    if !jwt::is_well_formed(token) {
        return Err(Error::InvalidArgument { what: "token", reason: "it is no JSON Web Token in compact form".into() });
    }
    match LISTENER.get().filter(|_| by_session && xact::in_transaction()) {
        Some(listener) => (listener.token_set)(token),
        None => Ok(()),
    }
}

unsafe extern "C-unwind" fn token_changed(value: *const c_char, _extra: *mut c_void) {
    // SAFETY: PostgreSQL passes the value that is about to be in force, or NULL.
    let value = unsafe { assigned(value) };
    HAS_TOKEN.set(!value.is_empty());
    subject::changed();
    if let Some(listener) = LISTENER.get() {
        (listener.token_becomes)(value);
    }
    context_changed();
}

/// Whoever asks is told whether there is a token, and not which.
unsafe extern "C-unwind" fn show_token() -> *const c_char {
    if HAS_TOKEN.get() { c"********" } else { c"" }.as_ptr()
}

#[pg_guard]
unsafe extern "C-unwind" fn check_user(
    value: *mut *mut c_char,
    extra: *mut *mut c_void,
    source: pg_sys::GucSource::Type,
) -> bool {
    // SAFETY: PostgreSQL passes the new value, or NULL, to this hook as to the one called.
    let (well_formed, value) = unsafe { (check_identifier(value, extra, source), borrowed(value)) };
    if !well_formed || LOADING.get() || xact::starting_parallel_worker() {
        return well_formed;
    }
    match LISTENER.get().filter(|_| source == pg_sys::GucSource::PGC_S_SESSION).map(|l| (l.user_chosen)(value)) {
        Some(Err(error)) => option::refuse(&error),
        _ => true,
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn check_sealed(
    value: *mut *mut c_char,
    _extra: *mut *mut c_void,
    _source: pg_sys::GucSource::Type,
) -> bool {
    // SAFETY: PostgreSQL passes the new value, or NULL.
    let is_empty = unsafe { borrowed(value) }.is_empty();
    if SEALING.get() || xact::starting_parallel_worker() || is_empty && LOADING.get() {
        return true;
    }
    option::refuse(&Error::ReadOnlySetting("tenancy.sealed"))
}

#[pg_guard]
unsafe extern "C-unwind" fn check_default_tenant(
    value: *mut *mut c_char,
    _extra: *mut *mut c_void,
    _source: pg_sys::GucSource::Type,
) -> bool {
    // SAFETY: PostgreSQL passes the new value, or NULL.
    let value = unsafe { borrowed(value) };
    if value.is_empty() {
        return true;
    }
    match TenantRef::parse(value) {
        Ok(_) => true,
        Err(malformed) => option::refuse(&malformed.into()),
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn check_identifier(
    value: *mut *mut c_char,
    _extra: *mut *mut c_void,
    _source: pg_sys::GucSource::Type,
) -> bool {
    // SAFETY: PostgreSQL passes the new value, or NULL.
    let value = unsafe { borrowed(value) };
    let reason = if value.chars().any(char::is_control) {
        "it must not contain control characters"
    } else if value.chars().count() > MAX_ID_CHARS {
        "it has at most 255 characters"
    } else {
        return true;
    };
    option::refuse(&Error::InvalidArgument { what: "identifier", reason: reason.into() })
}

/// # Safety
/// `value` is what a string check hook gets: a pointer to a C string or to NULL.
unsafe fn borrowed<'a>(value: *mut *mut c_char) -> &'a str {
    // SAFETY: by the contract above; the string outlives the hook.
    unsafe {
        if value.is_null() || (*value).is_null() {
            ""
        } else {
            // A text that is not UTF-8 can name no tenant; the replacement is a control character.
            CStr::from_ptr(*value).to_str().unwrap_or("\u{1}")
        }
    }
}

unsafe extern "C-unwind" fn default_tenant_changed(value: *const c_char, _extra: *mut c_void) {
    context_changed();
    // SAFETY: as above.
    let value = unsafe { assigned(value) };
    if let Some(listener) = LISTENER.get()
        && tenant().is_empty()
    {
        (listener.tenant_becomes)(value);
    }
}

unsafe extern "C-unwind" fn rate_changed(value: *const c_char, _extra: *mut c_void) {
    // SAFETY: as above.
    COUNTS_STATEMENTS.set(!unsafe { assigned(value) }.is_empty());
}

/// # Safety
/// `value` is what a string assign hook gets: a C string or NULL.
unsafe fn assigned<'a>(value: *const c_char) -> &'a str {
    // SAFETY: by the contract above; the string outlives the hook.
    if value.is_null() { "" } else { unsafe { CStr::from_ptr(value) }.to_str().unwrap_or("\u{1}") }
}

unsafe extern "C-unwind" fn user_changed(value: *const c_char, _extra: *mut c_void) {
    // SAFETY: as above.
    unsafe { subject::USER.becomes(value) };
    if let Some(listener) = LISTENER.get() {
        (listener.user_changed)();
    }
}

unsafe extern "C-unwind" fn switch_changed(allowed: bool, _extra: *mut c_void) {
    Flag::SwitchAllowed.set(allowed);
    if allowed {
        Flag::SwitchUsed.set(true);
    }
    context_changed();
}

unsafe extern "C-unwind" fn region_changed(_value: *const c_char, _extra: *mut c_void) {
    if let Some(listener) = LISTENER.get() {
        (listener.region_changed)();
    }
}

fn context_changed() {
    if let Some(listener) = LISTENER.get() {
        (listener.context_changed)();
    }
}

/// Defines the settings. Called once per backend, when the library loads.
pub fn init(listener: Listener) {
    LISTENER.set(Some(listener));
    LOADING.set(true);
    let plain = GucFlags::default();
    // SAFETY: the hooks have the signatures that PostgreSQL asks for; those that can fail are
    // guarded, the assign hooks only set flags.
    unsafe {
        GucRegistry::define_string_guc_with_hooks(
            TENANT_ID,
            c"The tenant that the session or transaction acts for, by id or key.",
            c"Whether the role may act for that tenant is checked at first use in each transaction. Reported to the client, so that poolers can track it. Refused inside security-restricted operations.",
            &TENANT,
            GucContext::Userset,
            GucFlags::REPORT,
            Some(named::check),
            Some(named::changed),
            Some(named::show),
        );
        GucRegistry::define_string_guc_with_hooks(
            TOKEN,
            c"The signed token (JWT) that says which tenant and user the session or transaction acts for.",
            c"It is verified at first use in each transaction, and never shown: SHOW gives ********.",
            &SIGNED,
            GucContext::Userset,
            GucFlags::NO_SHOW_ALL | GucFlags::DISALLOW_IN_FILE,
            Some(check_token),
            Some(token_changed),
            Some(show_token),
        );
        GucRegistry::define_string_guc_with_hooks(
            USER_ID,
            c"The application's user, recorded with what is changed, and asked for where access requires membership.",
            c"It is as trustworthy as the application is. While a token is set, the token's sub counts instead; for roles of mode claims, that of the request.",
            &USER,
            GucContext::Userset,
            plain,
            Some(check_user),
            Some(user_changed),
            None,
        );
        GucRegistry::define_string_guc_with_hooks(
            REQUEST_ID,
            c"The request that the application serves, recorded with what is changed.",
            c"It is as trustworthy as the application is.",
            &REQUEST,
            GucContext::Userset,
            plain,
            Some(check_identifier),
            Some(subject::request_changed),
            None,
        );
        GucRegistry::define_bool_guc_with_hooks(
            ALLOW_SWITCH,
            c"Allows several tenants in one transaction.",
            c"Meant for jobs: ALTER ROLE job SET tenancy.allow_switch = on. With it, injected SQL can move on to any tenant that the role has access to.",
            &SWITCH,
            GucContext::Suset,
            plain,
            None,
            Some(switch_changed),
            None,
        );
        GucRegistry::define_string_guc_with_hooks(
            DEFAULT_TENANT,
            c"The tenant of sessions that set none (single-tenant mode).",
            c"Needs no access: every role then acts for this tenant unless it names another. Given by ALTER ROLE or ALTER DATABASE, it is also taken by sessions that began before, once they touch a protected table with no tenant from anywhere else; like any setting of a role, they then keep it.",
            &DEFAULT,
            GucContext::Suset,
            plain,
            Some(check_default_tenant),
            Some(default_tenant_changed),
            None,
        );
        GucRegistry::define_enum_guc(
            ON_MISSING,
            c"What happens when a statement touches a protected table and no tenant is set.",
            c"empty: it finds no rows. error: it is refused, so that a forgotten context is noticed.",
            &MISSING,
            GucContext::Userset,
            plain,
        );
        GucRegistry::define_enum_guc(
            ON_BYPASS,
            c"What happens when a superuser or a role with BYPASSRLS touches a protected table without a declared reason.",
            c"log: it is written to the server's log and to tenancy.event_log. error: it is refused until tenancy.bypass() has been given a reason. row_security = off counts as declared.",
            &BYPASS,
            GucContext::Suset,
            plain,
        );
        GucRegistry::define_enum_guc(
            ON_LEFTOVERS,
            c"What happens when a session that holds another tenant's left-overs takes a new tenant.",
            c"Left-overs are WITH HOLD cursors, temporary relations and SQL-level prepared statements. With ignore, one tenant can read what another left in a pooled session, or lay a trap for it.",
            &LEFTOVERS,
            GucContext::Suset,
            plain,
        );
        GucRegistry::define_string_guc_with_hooks(
            REGION,
            c"The region of this server; tenants of another region can't be acted for.",
            c"Empty means no restriction. Tenants without a region can be acted for everywhere.",
            &HOME_REGION,
            GucContext::Sighup,
            plain,
            None,
            Some(region_changed),
            None,
        );
        // A setting of the server's start can be defined at no other time; later it has no effect.
        let preloading = pg_sys::process_shared_preload_libraries_in_progress;
        GucRegistry::define_int_guc(
            SHARED_TENANTS,
            c"Tenants that all sessions together keep in memory, 88 bytes each.",
            c"A session looks a tenant up there before it reads the registry. 0 turns it off. For keys of up to 40 bytes, tenants without a region; not on a standby or a subscriber. Needs shared_preload_libraries.",
            &DIRECTORY_SIZE,
            0,
            16_777_216,
            if preloading { GucContext::Postmaster } else { GucContext::Sighup },
            plain,
        );
        GucRegistry::define_int_guc(
            MAX_TRACKED_TENANTS,
            c"Slots in shared memory, 132 bytes each: one for each tenant and rate, and as many for statistics.",
            c"With more in use, the least recently used one goes: a rate begins anew, statistics are lost. Needs shared_preload_libraries.",
            &TRACKED,
            1,
            16_777_216,
            if preloading { GucContext::Postmaster } else { GucContext::Sighup },
            plain,
        );
        GucRegistry::define_string_guc_with_hooks(
            ENFORCE_RATE,
            c"The rate that each statement of a tenant takes one of.",
            c"The name of a resource of kind rate; empty for none. Superusers and roles with BYPASSRLS are not counted.",
            &STATEMENT_RATE,
            GucContext::Suset,
            plain,
            None,
            Some(rate_changed),
            None,
        );
        GucRegistry::define_bool_guc_with_hooks(
            TRACK_STATS,
            c"Counts what is done for each tenant, for tenancy.stat_tenants.",
            c"Needs shared_preload_libraries; without, nothing is counted.",
            &STATS_TRACKED,
            GucContext::Suset,
            plain,
            None,
            Some(tally::wanted),
            None,
        );
        GucRegistry::define_bool_guc_with_hooks(
            LOG_CONTEXT,
            c"Adds tenant, user and request to the DETAIL of what is written to the server's log.",
            c"The client never gets them by this. User and request are as trustworthy as the application.",
            &CONTEXT_LOGGED,
            GucContext::Suset,
            plain,
            None,
            Some(subject::wanted),
            None,
        );
        GucRegistry::define_bool_guc_with_hooks(
            GUARD_DDL,
            c"Refuses DDL that weakens a protected table.",
            c"Off, such DDL passes, new partitions and children stay unprotected, and managed schemas are not managed.",
            &DDL_GUARD,
            GucContext::Suset,
            plain,
            None,
            None,
            None,
        );
        GucRegistry::define_int_guc(
            KEEP_IDEMPOTENCY_KEYS,
            c"How long tenancy.consume() knows an idempotency key again.",
            c"The same key takes nothing more meanwhile; afterwards it counts as new.",
            &KEYS_KEPT,
            1,
            i32::MAX,
            GucContext::Suset,
            GucFlags::UNIT_S,
        );
        GucRegistry::define_int_guc(
            KEEP_USAGE_HISTORY,
            c"How long tenancy.usage_history is kept.",
            c"tenancy.meter_usage() removes what is older, but for the last row before.",
            &HISTORY_KEPT,
            86_400,
            i32::MAX,
            GucContext::Suset,
            GucFlags::UNIT_S,
        );
        GucRegistry::define_enum_guc(
            PROFILE,
            c"How far the role is hardened: none, standard, strict.",
            c"tenancy.harden_role() sets it for roles. With strict, statements that outlast the transaction or tell of other tenants are refused.",
            &ROLE_PROFILE,
            GucContext::Suset,
            plain,
        );
        GucRegistry::define_string_guc_with_hooks(
            SEALED,
            c"What the session is sealed to, for its parallel workers.",
            c"Nobody can set it: tenancy.seal() and tenancy.unseal() do.",
            &SEALED_TO,
            GucContext::Suset,
            GucFlags::NO_SHOW_ALL | GucFlags::NO_RESET_ALL | GucFlags::DISALLOW_IN_FILE,
            Some(check_sealed),
            None,
            None,
        );
        pg_sys::MarkGUCPrefixReserved(c"tenancy".as_ptr());
    }
    LOADING.set(false);
}
