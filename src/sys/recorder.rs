//! Work that survives its transaction: a background worker does it in a transaction of its own, and may answer with a
//! number. What is to be done travels in a segment of dynamic shared memory.

use crate::error::Result;
use crate::sys::backend::{self, BackendCell};
use crate::sys::hooks;
use pgrx::bgworkers::{BackgroundWorker, BackgroundWorkerBuilder, SignalWakeFlags};
use pgrx::{FromDatum, IntoDatum, PgTryBuilder, pg_sys};
use std::ffi::CStr;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Written once the worker has the text, and again when what it did is committed.
const SENT: u32 = 0;
const TAKEN: u32 = 1;
const DONE: u32 = 2;

/// How the segment begins; the text follows.
#[repr(C)]
struct Header {
    state: AtomicU32,
    answer: AtomicI64,
    database: pg_sys::Oid,
    length: usize,
}

type Work = fn(&str) -> Result<i64>;

static WORK: BackendCell<Option<Work>> = BackendCell::new(None);

/// What the worker does with a text, in a transaction of its own, as a superuser; the number is the answer to who waits.
pub fn init(work: Work) {
    WORK.set(Some(work));
}

/// Whether a worker can do anything: not on a standby, nor in a server without other processes.
pub fn is_possible() -> bool {
    // SAFETY: reads flags of this process and of shared memory.
    unsafe { pg_sys::IsUnderPostmaster && !pg_sys::RecoveryInProgress() }
}

/// Has a worker do what the text says, and does not wait until it is done. Where no worker can be started, it tries again
/// for as long as it has `patience`, a short time in which nobody is heard who cancels. Returns whether one could be.
pub fn send(text: &str, patience: Duration) -> bool {
    let since = Instant::now();
    loop {
        // SAFETY: see `hand_over`; the segment is pinned, so it outlives our own mapping of it.
        unsafe {
            if let Some((segment, _)) = hand_over(text, None) {
                pg_sys::dsm_detach(segment);
                return true;
            }
        }
        if since.elapsed() >= patience {
            return false;
        }
        backend::wait(Duration::from_millis(10));
    }
}

/// Has a worker do what the text says, and waits for it: the answer, once that is committed. Where no worker can be
/// started, it tries again for as long as it has `patience`.
pub fn send_and_wait(text: &str, patience: Duration) -> Option<i64> {
    let since = Instant::now();
    // SAFETY: see `hand_over`; the header stays mapped until it is detached.
    unsafe {
        let (segment, worker) = loop {
            match hand_over(text, Some(pg_sys::MyProcPid)) {
                Some(handed) => break handed,
                None if since.elapsed() >= patience => return None,
                None => backend::pause(Duration::from_millis(2)),
            }
        };
        let _ = worker.wait_for_shutdown();
        let header = pg_sys::dsm_segment_address(segment).cast::<Header>();
        let state = (*header).state.load(Ordering::Acquire);
        let answer = (*header).answer.load(Ordering::Relaxed);
        if state == SENT {
            pg_sys::dsm_unpin_segment(pg_sys::dsm_segment_handle(segment));
        }
        pg_sys::dsm_detach(segment);
        (state == DONE).then_some(answer)
    }
}

/// A segment of shared memory; `None` where there is no room for one.
///
/// # Safety
/// In a backend under the postmaster. The caller detaches the segment.
unsafe fn segment(size: usize) -> Option<*mut pg_sys::dsm_segment> {
    // SAFETY: PostgreSQL holds no lock while it asks the operating system for memory, which is what may fail, and leaves a
    // descriptor that maps nothing; the transaction is to go on then, and no resource owner is to report that one at its
    // end. One that was made belongs to the current owner, if there is one. The memory context is put back as it was.
    unsafe {
        let (owner, context) = (pg_sys::CurrentResourceOwner, pg_sys::CurrentMemoryContext);
        pg_sys::CurrentResourceOwner = std::ptr::null_mut();
        let segment = PgTryBuilder::new(|| pg_sys::dsm_create(size, pg_sys::DSM_CREATE_NULL_IF_MAXSEGMENTS as i32))
            .catch_others(|_| std::ptr::null_mut())
            .execute();
        pg_sys::CurrentResourceOwner = owner;
        pg_sys::CurrentMemoryContext = context;
        if segment.is_null() {
            return None;
        }
        if !owner.is_null() {
            pg_sys::dsm_unpin_mapping(segment);
        }
        Some(segment)
    }
}

/// # Safety
/// As for `segment`.
unsafe fn hand_over(
    text: &str,
    notify: Option<i32>,
) -> Option<(*mut pg_sys::dsm_segment, pgrx::bgworkers::DynamicBackgroundWorker)> {
    let size = size_of::<Header>() + text.len();
    // SAFETY: the segment has room for header and text, begins at a page, and nobody else knows it yet.
    unsafe {
        let segment = segment(size)?;
        let header = pg_sys::dsm_segment_address(segment).cast::<Header>();
        header.write(Header {
            state: AtomicU32::new(SENT),
            answer: AtomicI64::new(0),
            database: pg_sys::MyDatabaseId,
            length: text.len(),
        });
        header.add(1).cast::<u8>().copy_from_nonoverlapping(text.as_ptr(), text.len());
        let handle = pg_sys::dsm_segment_handle(segment);
        pg_sys::dsm_pin_segment(segment);
        let mut worker = BackgroundWorkerBuilder::new("pg_tenancy recorder")
            .set_library("pg_tenancy")
            .set_function("pg_tenancy_record")
            .set_argument(i64::from(handle).into_datum())
            .enable_spi_access();
        if let Some(pid) = notify {
            worker = worker.set_notify_pid(pid);
        }
        match worker.load_dynamic() {
            Ok(worker) => Some((segment, worker)),
            Err(_) => {
                pg_sys::dsm_unpin_segment(handle);
                pg_sys::dsm_detach(segment);
                None
            }
        }
    }
}

/// The background worker: does what one text says and ends.
///
/// # Safety
/// For PostgreSQL alone, as the main function of a worker that `hand_over` registered.
#[unsafe(no_mangle)]
#[pgrx::pg_guard]
pub unsafe extern "C-unwind" fn pg_tenancy_record(argument: pg_sys::Datum) {
    BackgroundWorker::attach_signal_handlers(SignalWakeFlags::SIGTERM);
    // SAFETY: the argument is the handle of a pinned segment that begins with a header; it stays mapped
    // until this process ends, and nobody writes to the text any more.
    let (header, database, text) = unsafe {
        let Some(handle) = i64::from_datum(argument, false) else { return };
        let segment = pg_sys::dsm_attach(handle as pg_sys::dsm_handle);
        if segment.is_null() {
            return;
        }
        let header = pg_sys::dsm_segment_address(segment).cast::<Header>();
        pg_sys::dsm_unpin_segment(handle as pg_sys::dsm_handle);
        let bytes = std::slice::from_raw_parts(header.add(1).cast::<u8>(), (*header).length);
        let header = &*header;
        header.state.store(TAKEN, Ordering::Release);
        (header, header.database, String::from_utf8_lossy(bytes).into_owned())
    };
    BackgroundWorker::connect_worker_to_spi_by_oid(Some(database), None);
    pin_settings();
    let Some(work) = WORK.get() else { return };
    BackgroundWorker::transaction(|| match work(&text) {
        Ok(answer) => header.answer.store(answer, Ordering::Relaxed),
        Err(error) => hooks::raise(error),
    });
    header.state.store(DONE, Ordering::Release);
}

/// What a database's owner may choose for a database reaches its background workers too. Nothing of it decides who this
/// one is, what its statements mean, whether they are carried out, or whether they last.
const PINNED: [(&CStr, &CStr); 8] = [
    (c"role", c"none"),
    (c"search_path", c"pg_catalog, pg_temp"),
    (c"default_transaction_read_only", c"off"),
    (c"default_transaction_isolation", c"read committed"),
    (c"default_transaction_deferrable", c"off"),
    (c"row_security", c"on"),
    (c"statement_timeout", c"0"),
    (c"synchronous_commit", c"on"),
];

/// Makes this worker the superuser it began as, with settings of its own.
fn pin_settings() {
    // SAFETY: the worker began as the bootstrap superuser, who may be whoever he likes, himself too; the strings outlive
    // the calls, which copy them.
    unsafe {
        // As a setting it is looked up in a catalog, and there is no transaction yet. It also ends what `role` was.
        pg_sys::SetSessionAuthorization(pg_sys::Oid::from(pg_sys::BOOTSTRAP_SUPERUSERID), true);
        let pin = |name: &CStr, value: &CStr| {
            pg_sys::SetConfigOption(
                name.as_ptr(),
                value.as_ptr(),
                pg_sys::GucContext::PGC_SUSET,
                pg_sys::GucSource::PGC_S_OVERRIDE,
            );
        };
        for (name, value) in PINNED {
            pin(name, value);
        }
        #[cfg(not(any(feature = "pg15", feature = "pg16")))]
        pin(c"transaction_timeout", c"0");
    }
}
