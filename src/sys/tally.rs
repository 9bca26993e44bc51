//! What is done for each tenant, counted in memory that all sessions share.
//!
//! A session counts for itself, and adds it to what is shared when its transaction ends. What a statement does counts for the
//! tenant that the transaction uses: from the statement on that first uses it. Until a session first uses a tenant it is asked
//! for nothing but a flag.

use crate::sys::backend::{BackendCell, Raised};
use crate::sys::flag::Flag;
use crate::sys::shared::{self, Memory, Region};
use crate::sys::table::{self, Hint, Key, Shared, State, Usage, Words};
use crate::sys::{clock, counting, session, statement, xact};
use pgrx::{PgLogLevel, PgSqlErrorCode, pg_sys};
use std::ffi::{c_int, c_void};
use std::ptr;
use uuid::Uuid;

/// What is counted of a tenant. Times are in microseconds since 1970, but for `nanoseconds`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    pub transactions: u64,
    /// Of these, those that were rolled back.
    pub rolled_back: u64,
    pub statements: u64,
    pub rows: u64,
    pub nanoseconds: u64,
    pub errors: u64,
    pub refused_writes: u64,
    pub quota_refusals: u64,
    pub last_seen: u64,
    /// Since when it is counted.
    pub since: u64,
}

impl State for Tally {
    fn words(&self) -> Words {
        [
            self.transactions,
            self.rolled_back,
            self.statements,
            self.rows,
            self.nanoseconds,
            self.errors,
            self.refused_writes,
            self.quota_refusals,
            self.last_seen,
            self.since,
        ]
    }

    fn of(words: Words) -> Self {
        let [
            transactions,
            rolled_back,
            statements,
            rows,
            nanoseconds,
            errors,
            refused_writes,
            quota_refusals,
            last_seen,
            since,
        ] = words;
        Self {
            transactions,
            rolled_back,
            statements,
            rows,
            nanoseconds,
            errors,
            refused_writes,
            quota_refusals,
            last_seen,
            since,
        }
    }

    fn matters(&self, _now: u64) -> bool {
        self.since != 0
    }
}

static TABLE: BackendCell<Option<Shared>> = BackendCell::new(None);
static CAPACITY: BackendCell<usize> = BackendCell::new(0);
static LAST: Hint = Hint::none();

/// Statistics are wanted.
const WANTED: Flag = Flag::TallyWanted;

/// The session has used a tenant, and its statements are counted.
const COUNTS: Flag = Flag::StatementsTallied;

/// Whom the transaction counts for.
static ACTING: BackendCell<Option<Uuid>> = BackendCell::new(None);

// What has not been added to what is shared yet.
static STATEMENTS: BackendCell<u64> = BackendCell::new(0);
static ROWS: BackendCell<u64> = BackendCell::new(0);
static NANOSECONDS: BackendCell<u64> = BackendCell::new(0);
static ERRORS: BackendCell<u64> = BackendCell::new(0);
static REFUSED: BackendCell<u64> = BackendCell::new(0);

/// When the statement that is running began, or was last added to `NANOSECONDS`; 0 while none is.
static SINCE: BackendCell<u64> = BackendCell::new(0);

/// Whom the statement that runs, or ran last, has counted for.
static COUNTED_FOR: BackendCell<Option<Uuid>> = BackendCell::new(None);

/// The session used its first tenant in the middle of a statement, which is not counted yet.
static UNCOUNTED: BackendCell<bool> = BackendCell::new(false);

/// What is refused is none of the tenant's doing.
static IS_ASIDE: BackendCell<bool> = BackendCell::new(false);

/// A refusal has been counted, and the error is on its way to whoever catches it: what it passes may raise it anew.
static IN_FLIGHT: BackendCell<bool> = BackendCell::new(false);

/// PostgreSQL's own functions, past pgrx's guard: they can't fail here.
mod raw {
    use super::*;
    unsafe extern "C-unwind" {
        #[link_name = "GetCurrentTransactionStopTimestamp"]
        pub fn transaction_stop() -> i64;
        #[link_name = "geterrcode"]
        pub fn error_code() -> c_int;
        #[link_name = "CopyErrorData"]
        pub fn copy_error() -> *mut pg_sys::ErrorData;
        #[link_name = "FreeErrorData"]
        pub fn free_error(copy: *mut pg_sys::ErrorData);
    }
}

/// Asks for room for so many tenants. To be called once, while the library loads.
pub fn init(capacity: usize) {
    CAPACITY.set(capacity);
    shared::reserve(Region { name: c"pg_tenancy statistics", size, locks: 1, attach });
}

fn size() -> usize {
    table::size(CAPACITY.get())
}

fn attach(memory: &Memory) {
    TABLE.set(Shared::at(memory, CAPACITY.get()));
}

/// Whether there is such memory.
pub fn exists() -> bool {
    TABLE.get().is_some()
}

/// The setting's assign hook.
///
/// # Safety
/// For PostgreSQL alone.
pub unsafe extern "C-unwind" fn wanted(wanted: bool, _extra: *mut c_void) {
    WANTED.set(wanted);
    if !wanted {
        COUNTS.set(false);
        ACTING.set(None);
        SINCE.set(0);
    }
}

fn key(tenant: Uuid) -> Key {
    let (high, low) = tenant.as_u64_pair();
    [u64::from(session::database().to_u32()) << 32, 0, high, low]
}

/// The transaction uses this tenant. Can't fail.
#[inline]
pub fn is_used(tenant: Uuid) {
    if WANTED.get() && ACTING.get() != Some(tenant) && TABLE.get().is_some() && !xact::in_parallel_worker() {
        begin(tenant);
    }
}

#[cold]
fn begin(tenant: Uuid) {
    if let Some(other) = ACTING.get() {
        add(other, None);
    }
    if !COUNTS.replace(true) && Flag::StatementRunning.get() && is_clients() {
        UNCOUNTED.set(true);
        SINCE.set(clock::monotonic());
    }
    let is_counted = SINCE.get() == 0 || UNCOUNTED.get() || COUNTED_FOR.get() == Some(tenant);
    STATEMENTS.set(u64::from(!is_counted));
    COUNTED_FOR.set(Some(tenant));
    ROWS.set(0);
    NANOSECONDS.set(0);
    ERRORS.set(0);
    REFUSED.set(0);
    ACTING.set(Some(tenant));
}

/// Adds what was counted to what is shared; `committed` is told where the transaction ends by this.
fn add(tenant: Uuid, committed: Option<bool>) {
    let Some(table) = TABLE.get() else { return };
    // A procedure has ended the transaction in the middle of it.
    if UNCOUNTED.get() && Flag::StatementRunning.get() {
        UNCOUNTED.set(false);
        STATEMENTS.set(STATEMENTS.get() + 1);
    }
    let since = SINCE.get();
    if since != 0 {
        let now = clock::monotonic();
        NANOSECONDS.set(NANOSECONDS.get() + now.saturating_sub(since));
        SINCE.set(now);
    }
    let now = match committed {
        // PostgreSQL asks for it as well, and remembers it.
        // SAFETY: called when a transaction has been committed or rolled back.
        Some(_) => clock::since_1970(unsafe { raw::transaction_stop() }),
        None => clock::now(),
    };
    let now = u64::try_from(now).unwrap_or(0);
    table.update(&LAST, &key(tenant), now, |tally: &mut Tally| {
        tally.transactions += 1;
        tally.rolled_back += u64::from(committed == Some(false));
        tally.statements += STATEMENTS.get();
        tally.rows = tally.rows.saturating_add(ROWS.get());
        tally.nanoseconds = tally.nanoseconds.saturating_add(NANOSECONDS.get());
        tally.errors += ERRORS.get();
        tally.refused_writes += REFUSED.get();
        tally.seen(now);
    });
}

impl Tally {
    fn seen(&mut self, now: u64) {
        self.last_seen = self.last_seen.max(now);
        if self.since == 0 {
            self.since = now;
        }
    }
}

/// What is refused until this is dropped is not counted.
pub fn set_aside() -> Raised<'static> {
    IS_ASIDE.raised()
}

/// A limit has refused this tenant something, whatever becomes of the transaction. Can't fail.
pub fn quota_refused(tenant: Uuid) {
    if let Some(table) = TABLE.get()
        && WANTED.get()
        && !IS_ASIDE.get()
    {
        let now = u64::try_from(clock::now()).unwrap_or(0);
        table.update(&LAST, &key(tenant), now, |tally: &mut Tally| {
            tally.quota_refusals += 1;
            tally.seen(now);
        });
    }
}

/// Whether an error has reached the client, by which the transaction or savepoint is being rolled back. PostgreSQL forgets the
/// statement before that, which it also has where the message Sync commits: deferred triggers that catch errors roll back there as
/// well. But it holds interrupts off all the while it deals with an error, and the rollback once more.
fn is_error() -> bool {
    // SAFETY: reads variables of this process.
    unsafe {
        pg_sys::debug_query_string.is_null()
            && pg_sys::InterruptHoldoffCount > 1
            && !pg_sys::proc_exit_inprogress
            && pg_sys::MyBackendType == pg_sys::BackendType::B_BACKEND
    }
}

/// A savepoint was rolled back; before `counting` hears of it. Can't fail.
pub fn savepoint_rolled_back() {
    IN_FLIGHT.set(false);
    if COUNTS.get() && is_error() {
        ERRORS.set(ERRORS.get() + 1);
        statement_failed();
    }
}

/// The statement that was running has ended by an error.
fn statement_failed() {
    if UNCOUNTED.replace(false) && Flag::StatementRunning.get() {
        STATEMENTS.set(STATEMENTS.get() + 1);
    }
    stop_clock();
}

/// The top-level transaction has ended; before `counting` hears of it. Can't fail.
pub fn transaction_ended(committed: bool) {
    IN_FLIGHT.set(false);
    if !COUNTS.get() {
        return;
    }
    if !committed && is_error() {
        ERRORS.set(ERRORS.get() + 1);
        statement_failed();
    }
    if !committed && !counting::has_portal() {
        stop_clock();
    }
    if let Some(tenant) = ACTING.replace(None) {
        add(tenant, Some(committed));
    }
}

fn stop_clock() {
    let since = SINCE.replace(0);
    if since != 0 {
        NANOSECONDS.set(NANOSECONDS.get() + clock::monotonic().saturating_sub(since));
    }
}

/// Whether what runs, if it is no part of something else that does, is a statement that the client sent.
fn is_clients() -> bool {
    counting::has_portal() && counting::trigger_depth() == 0
}

/// A statement that is being run, as long as it is; it must stay where it is until it has ended.
pub struct Watch {
    is_clients: bool,
    refusals: pg_sys::ErrorContextCallback,
}

impl Watch {
    #[inline(always)]
    pub fn new() -> Self {
        let refusals = pg_sys::ErrorContextCallback { previous: ptr::null_mut(), callback: None, arg: ptr::null_mut() };
        Self { is_clients: false, refusals }
    }

    /// A query is about to be run, for the first time or again. Can't fail.
    ///
    /// # Safety
    /// `query` is the descriptor of a started query; an error jumps over the caller, or `query_ended` is called.
    #[inline(always)]
    pub unsafe fn query_begins(&mut self, query: *mut pg_sys::QueryDesc, is_statement: bool) {
        // SAFETY: by the contract above.
        unsafe {
            if is_statement && COUNTS.get() && runs_for_client() {
                self.is_clients = true;
                begins(!(*query).already_executed && !is_added((*query).plannedstmt));
            }
            if WANTED.get() && writes(query) {
                self.watch_for_refusals();
            }
        }
    }

    /// A query was run without an error. Can't fail.
    ///
    /// # Safety
    /// As for `query_begins`.
    #[inline(always)]
    pub unsafe fn query_ended(&mut self, query: *mut pg_sys::QueryDesc, is_statement: bool) {
        // SAFETY: by the contract above.
        unsafe {
            self.ends_watching();
            if is_statement && COUNTS.get() {
                if self.is_clients || runs_for_client() {
                    count_if_due();
                    // Of what rules have made of a statement, the rows that the client is told of.
                    if (*(*query).plannedstmt).canSetTag {
                        ROWS.set(ROWS.get() + (*(*query).estate).es_processed);
                    }
                }
                // What triggers do afterwards is a part of it.
                if !writes(query) {
                    stop_clock();
                }
            }
        }
    }

    /// A utility statement is about to be run. Can't fail.
    ///
    /// # Safety
    /// The statement is a valid one, of a utility; as for `query_begins`.
    pub unsafe fn utility_begins(&mut self, statement: *mut pg_sys::PlannedStmt, is_statement: bool) {
        // SAFETY: by the contract above.
        unsafe {
            let node = (*statement).utilityStmt;
            if is_statement && COUNTS.get() && is_clients() && !statement::is_free(node) {
                self.is_clients = true;
                begins(!is_added(statement));
            }
            if WANTED.get() && (*node).type_ == pg_sys::NodeTag::T_TruncateStmt {
                self.watch_for_refusals();
            }
        }
    }

    /// A utility statement was run without an error. Can't fail.
    ///
    /// # Safety
    /// As for `utility_begins`; `completion` is NULL or valid.
    pub unsafe fn utility_ended(&mut self, is_statement: bool, completion: *mut pg_sys::QueryCompletion) {
        self.ends_watching();
        if is_statement && COUNTS.get() {
            // SAFETY: by the contract above.
            if (count_if_due() || self.is_clients) && unsafe { gives_rows(completion) } {
                // SAFETY: as before.
                ROWS.set(ROWS.get() + unsafe { (*completion).nprocessed });
            }
            stop_clock();
        }
    }

    /// Has errors looked at that are raised until `ends_watching`, whatever becomes of them.
    #[inline(always)]
    fn watch_for_refusals(&mut self) {
        self.refusals.callback = Some(error_raised);
        self.refusals.arg = (&raw mut self.refusals).cast();
        // SAFETY: as PostgreSQL has it: the entry stays in place until it is taken off, and who catches an error takes off
        // those of the frames that it jumps over.
        unsafe {
            self.refusals.previous = pg_sys::error_context_stack;
            pg_sys::error_context_stack = &raw mut self.refusals;
        }
    }

    #[inline(always)]
    fn ends_watching(&mut self) {
        if self.refusals.callback.is_some() {
            // SAFETY: it is the innermost again.
            unsafe { pg_sys::error_context_stack = self.refusals.previous };
        }
    }
}

/// The client's statement goes on from here, or one of the queries that rules have made of it; `is_new` when it begins.
#[inline]
fn begins(is_new: bool) {
    UNCOUNTED.set(false);
    if is_new {
        STATEMENTS.set(STATEMENTS.get() + 1);
    }
    COUNTED_FOR.set(ACTING.get());
    SINCE.set(clock::monotonic());
}

/// Counts the statement that has used the session's first tenant, if that is to be done; returns whether it was.
#[inline]
fn count_if_due() -> bool {
    let is_due = UNCOUNTED.get();
    if is_due {
        UNCOUNTED.set(false);
        STATEMENTS.set(STATEMENTS.get() + 1);
    }
    is_due
}

/// Whether a utility statement tells of rows that it returned or wrote: all do that tell of any, but for MOVE.
///
/// # Safety
/// As for `Watch::utility_ended`.
unsafe fn gives_rows(completion: *mut pg_sys::QueryCompletion) -> bool {
    // SAFETY: by the contract above.
    !completion.is_null() && unsafe { (*completion).commandTag } != pg_sys::CommandTag::CMDTAG_MOVE
}

/// Something is being reported while a write runs. Of writes within writes only the innermost counts it: ours are the entries
/// that refer to themselves. Functions in Rust raise an error anew that passes them, when the innermost is not there any more.
unsafe extern "C-unwind" fn error_raised(own: *mut c_void) {
    // SAFETY: PostgreSQL calls this while it makes up a report, which has a code; the entries are those of frames that are
    // running.
    unsafe {
        if raw::error_code() != PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE as c_int
            || IS_ASIDE.get()
            || IN_FLIGHT.get()
            || !is_error_being_raised()
        {
            return;
        }
        let mut entry = pg_sys::error_context_stack;
        while !entry.is_null() && (*entry).arg != entry.cast() {
            entry = (*entry).previous;
        }
        if entry.cast() == own {
            IN_FLIGHT.set(true);
            REFUSED.set(REFUSED.get() + 1);
        }
    }
}

/// Whether what is being reported is an error, and no message that stops nothing. PostgreSQL tells its level only with all the
/// rest of it.
///
/// # Safety
/// Something is being reported.
unsafe fn is_error_being_raised() -> bool {
    // SAFETY: by the contract above. The copy is made where it can be freed, and that is done at once: while a report is made up
    // the memory for it is in use.
    unsafe {
        let before = pg_sys::CurrentMemoryContext;
        pg_sys::CurrentMemoryContext = pg_sys::TopMemoryContext;
        let copy = raw::copy_error();
        let is_error = (*copy).elevel >= PgLogLevel::ERROR as c_int;
        raw::free_error(copy);
        pg_sys::CurrentMemoryContext = before;
        is_error
    }
}

/// Whether a query that is no part of another one belongs to a statement that the client sent: it is not the rest of a cursor
/// that is put by when its transaction ends.
#[inline]
fn runs_for_client() -> bool {
    // SAFETY: the active portal is valid.
    is_clients() && !unsafe { counting::is_being_held(pg_sys::ActivePortal) }
}

/// Whether rules have added this to what the client sent; of what they have put in its stead, the first counts.
///
/// # Safety
/// A portal is being run.
#[inline]
unsafe fn is_added(statement: *mut pg_sys::PlannedStmt) -> bool {
    // SAFETY: by the contract above.
    unsafe { counting::is_added(pg_sys::ActivePortal, statement) }
}

/// # Safety
/// As for `Watch::query_begins`.
#[inline(always)]
unsafe fn writes(query: *mut pg_sys::QueryDesc) -> bool {
    // SAFETY: by the contract above.
    unsafe { (*query).operation != pg_sys::CmdType::CMD_SELECT || (*(*query).plannedstmt).hasModifyingCTE }
}

/// What triggers do after a query has been done. Can't fail.
///
/// # Safety
/// As for `Watch::query_begins`.
#[inline(always)]
pub unsafe fn finished(query: *mut pg_sys::QueryDesc, is_statement: bool) {
    // SAFETY: by the contract above.
    unsafe {
        if is_statement && COUNTS.get() && writes(query) {
            stop_clock();
        }
    }
}

/// Shows what is counted of this database's tenants, or of one. Nothing where there is no memory.
pub fn read(tenant: Option<Uuid>) -> Vec<(Uuid, Tally)> {
    let Some(table) = TABLE.get() else { return Vec::new() };
    if let Some(tenant) = tenant {
        let tally = table.read(&key(tenant)).filter(|tally: &Tally| tally.since != 0);
        return tally.map(|tally| (tenant, tally)).into_iter().collect();
    }
    // While the lock is held nothing may fail, and so no memory be asked for.
    let mut found = Vec::with_capacity(table.used());
    let own = key(Uuid::nil())[0];
    table.for_each(|key, tally: Tally| {
        if key[0] == own && tally.since != 0 && found.len() < found.capacity() {
            found.push((Uuid::from_u64_pair(key[2], key[3]), tally));
        }
    });
    found
}

/// Forgets what was counted of this database's tenants, or of one.
pub fn reset(tenant: Option<Uuid>) {
    let Some(table) = TABLE.get() else { return };
    match tenant.map(key) {
        Some(own) => table.clear(|key| *key == own),
        None => {
            let database = key(Uuid::nil())[0];
            table.clear(|key| key[0] == database);
        }
    }
}

/// How the table is used.
pub fn usage() -> Option<Usage> {
    TABLE.get().map(|table| table.usage::<Tally>(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_is_kept_as_it_is() {
        let tally = Tally::of([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
        assert_eq!((tally.transactions, tally.refused_writes, tally.since), (1, 7, 10));
        assert_eq!(Tally::of(tally.words()), tally);
        assert!(tally.matters(0) && !Tally::default().matters(0));
    }
}
