//! What the planner asks of functions.

use pgrx::pg_sys;

/// `SupportRequestCost`, which pgrx does not have: the same from PostgreSQL 12 on.
#[repr(C)]
struct CostRequest {
    tag: pg_sys::NodeTag,
    _root: *mut pg_sys::PlannerInfo,
    _function: pg_sys::Oid,
    _node: *mut pg_sys::Node,
    startup: f64,
    per_tuple: f64,
}

/// Exports `$symbol` as a version-1 C function of one `internal`, declared STRICT, that supports functions whose arrays are
/// compared with: to the planner a call costs what the comparison with as many elements as `$elements` says does.
#[macro_export]
macro_rules! native_array_support {
    ($(#[$doc:meta])* $symbol:ident, $finfo:ident, $elements:path) => {
        $crate::sys::fmgr::version_1! {
            $(#[$doc])*
            $symbol, $finfo, |fcinfo| {
                // SAFETY: the planner is the caller: SQL can't make an argument of this type.
                unsafe { $crate::sys::planner::support(fcinfo, $elements) }
            }
        }
    };
}

/// Answers what a call costs, and nothing else.
///
/// # Safety
/// Only from a function that the planner called with this record.
pub unsafe fn support(fcinfo: pg_sys::FunctionCallInfo, elements: fn() -> usize) -> pg_sys::Datum {
    // SAFETY: by the contract above the argument is a node, and read as what its tag says; the setting is a plain variable.
    // A null pointer says that the request is not answered.
    unsafe {
        let request = (*(*fcinfo).args.as_ptr()).value.cast_mut_ptr::<CostRequest>();
        if request.is_null() || (*request).tag != pg_sys::NodeTag::T_SupportRequestCost {
            return pg_sys::Datum::null();
        }
        // On the average half of them are compared with.
        (*request).startup = 0.0;
        (*request).per_tuple = pg_sys::cpu_operator_cost * (1.0 + elements() as f64 / 2.0);
        pg_sys::Datum::from(request)
    }
}
