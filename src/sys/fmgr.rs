//! SQL functions with PostgreSQL's own calling convention, for those that run once per row.

/// Exports `$symbol` as a C function that gets `$fcinfo` and does `$body`, and `$finfo`, by which PostgreSQL learns that it has
/// the version-1 convention.
#[macro_export]
macro_rules! version_1 {
    ($(#[$doc:meta])* $symbol:ident, $finfo:ident, |$fcinfo:ident| $body:block) => {
        #[allow(unsafe_code)]
        #[unsafe(no_mangle)]
        #[doc(hidden)]
        pub extern "C" fn $finfo() -> &'static ::pgrx::pg_sys::Pg_finfo_record {
            const V1: ::pgrx::pg_sys::Pg_finfo_record = ::pgrx::pg_sys::Pg_finfo_record { api_version: 1 };
            &V1
        }

        $(#[$doc])*
        ///
        /// # Safety
        /// For PostgreSQL alone, which calls it with the record of a call.
        #[allow(unsafe_code)]
        #[unsafe(no_mangle)]
        pub unsafe extern "C-unwind" fn $symbol($fcinfo: ::pgrx::pg_sys::FunctionCallInfo) -> ::pgrx::pg_sys::Datum $body
    };
}

pub use version_1;

/// Exports `$symbol` as a version-1 C function without arguments. `$read` gives the result from
/// backend state, or `None` when that can't be handed out as it is; it must not allocate. `$make` then
/// makes the result, and may fail. No datum is NULL.
#[macro_export]
macro_rules! native_function {
    ($(#[$doc:meta])* $symbol:ident, $finfo:ident, $read:path, $make:path) => {
        $crate::sys::fmgr::version_1! {
            $(#[$doc])*
            $symbol, $finfo, |fcinfo| {
                let value = match $read() {
                    Some(value) => value,
                    // SAFETY: the function manager is the caller, and nothing here needs dropping.
                    None => unsafe { $crate::sys::fmgr::made($make) },
                };
                match value {
                    Some(datum) => datum,
                    None => {
                        // SAFETY: the function manager passes a valid call record.
                        unsafe { (*fcinfo).isnull = true };
                        ::pgrx::pg_sys::Datum::null()
                    }
                }
            }
        }
    };
}

/// Exports `$symbol` as a version-1 C function of one `text`, declared STRICT, that returns a `boolean`. `$read` answers from
/// backend state, and must not allocate; where it doesn't, `$make` does, and may fail.
#[macro_export]
macro_rules! native_text_test {
    ($(#[$doc:meta])* $symbol:ident, $finfo:ident, $read:path, $make:path) => {
        $crate::sys::fmgr::version_1! {
            $(#[$doc])*
            $symbol, $finfo, |fcinfo| {
                // SAFETY: the function manager is the caller, with the one argument that the function was declared with, and
                // which is not NULL; nothing here needs dropping.
                let answer = unsafe {
                    match $crate::sys::fmgr::plain_text(fcinfo).and_then($read) {
                        Some(answer) => answer,
                        None => $crate::sys::fmgr::asked(fcinfo, $make),
                    }
                };
                ::pgrx::pg_sys::Datum::from(answer)
            }
        }
    };
}

use crate::error::Result;
use pgrx::{FromDatum, pg_sys};

/// A result of a native function: no datum is NULL.
pub type Nullable = Option<pg_sys::Datum>;

/// The slow path of a native function; its error becomes a PostgreSQL error.
///
/// # Safety
/// Only from a function that the function manager called, with nothing to drop.
#[cold]
pub unsafe fn made(make: fn() -> Result<Nullable>) -> Nullable {
    // SAFETY: the caller keeps to the guard's own rule.
    unsafe {
        pg_sys::panic::pgrx_extern_c_guard(|| match make() {
            Ok(value) => value,
            Err(error) => {
                super::hooks::raise(error);
                None
            }
        })
    }
}

/// The bytes of a function's only argument, a `text`; `None` where it is compressed or stored elsewhere.
///
/// # Safety
/// The function manager called the function with this record, and the argument is not NULL.
#[inline(always)]
pub unsafe fn plain_text<'a>(fcinfo: pg_sys::FunctionCallInfo) -> Option<&'a [u8]> {
    // SAFETY: by the contract above the argument is a varlena, whose header says how long it is. It lives as long as the call.
    unsafe {
        let text = (*(*fcinfo).args.as_ptr()).value.cast_mut_ptr::<pg_sys::varlena>();
        if !pgrx::varlena::varatt_is_4b_u(text)
            && (!pgrx::varlena::varatt_is_1b(text) || pgrx::varlena::varatt_is_1b_e(text))
        {
            return None;
        }
        let length = pgrx::varlena::varsize_any_exhdr(text);
        Some(std::slice::from_raw_parts(pgrx::varlena::vardata_any(text).cast::<u8>(), length))
    }
}

/// The slow path of a native test of a `text`; its error becomes a PostgreSQL error.
///
/// # Safety
/// As for `plain_text`, with nothing to drop.
#[cold]
pub unsafe fn asked(fcinfo: pg_sys::FunctionCallInfo, make: fn(&str) -> Result<bool>) -> bool {
    // SAFETY: the caller keeps to the guard's own rule; the argument is a text.
    unsafe {
        pg_sys::panic::pgrx_extern_c_guard(|| {
            let text = String::from_datum((*(*fcinfo).args.as_ptr()).value, false).unwrap_or_default();
            match make(&text) {
                Ok(answer) => answer,
                Err(error) => {
                    // Raising it jumps over this frame.
                    drop(text);
                    super::hooks::raise(error);
                    false
                }
            }
        })
    }
}

/// Exports `$symbol` as a version-1 C function that serves as a trigger or event trigger: it calls
/// `$act` with the trigger's table, if it has one, and returns no row.
#[macro_export]
macro_rules! native_trigger {
    ($(#[$doc:meta])* $symbol:ident, $finfo:ident, $act:expr) => {
        $crate::sys::fmgr::version_1! {
            $(#[$doc])*
            $symbol, $finfo, |fcinfo| {
                let act: fn(Option<$crate::sys::Oid>) -> $crate::error::Result<()> = $act;
                // SAFETY: the function manager is the caller, and nothing here needs dropping.
                unsafe { $crate::sys::fmgr::acted(fcinfo, act) };
                ::pgrx::pg_sys::Datum::null()
            }
        }
    };
}

/// As `native_trigger`, for an event trigger that looks at the command itself.
#[macro_export]
macro_rules! native_command_trigger {
    ($(#[$doc:meta])* $symbol:ident, $finfo:ident, $act:expr) => {
        $crate::sys::fmgr::version_1! {
            $(#[$doc])*
            $symbol, $finfo, |fcinfo| {
                let act: fn($crate::sys::command::Command) -> $crate::error::Result<()> = $act;
                // SAFETY: the function manager is the caller, with its record, and nothing here needs dropping.
                unsafe { $crate::sys::fmgr::guarded(|| act($crate::sys::command::of(fcinfo))) };
                ::pgrx::pg_sys::Datum::null()
            }
        }
    };
}

/// Runs what a trigger does; its error becomes a PostgreSQL error.
///
/// # Safety
/// Only from a function that the function manager called with this record, with nothing to drop.
pub unsafe fn acted(fcinfo: pg_sys::FunctionCallInfo, act: fn(Option<pg_sys::Oid>) -> Result<()>) {
    // SAFETY: the caller keeps to the guard's own rule; the context is a node, and read as what its tag says.
    unsafe {
        guarded(|| {
            let context = (*fcinfo).context;
            let table = (!context.is_null() && (*context).type_ == pg_sys::NodeTag::T_TriggerData)
                .then(|| (*(*context.cast::<pg_sys::TriggerData>()).tg_relation).rd_id);
            act(table)
        });
    }
}

/// Runs `act`; its error becomes a PostgreSQL error.
///
/// # Safety
/// Only from a function that the function manager called, with nothing to drop.
pub unsafe fn guarded(act: impl FnOnce() -> Result<()>) {
    // SAFETY: the caller keeps to the guard's own rule.
    unsafe {
        pg_sys::panic::pgrx_extern_c_guard(|| {
            if let Err(error) = act() {
                super::hooks::raise(error);
            }
        });
    }
}
