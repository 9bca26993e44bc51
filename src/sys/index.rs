//! Indexes: their parts as text, and what the planner thinks of them.

use pgrx::pg_sys::{self, NodeTag};
use pgrx::{FromDatum, PgSqlErrorCode, PgTryBuilder};
use std::ffi::{CStr, CString};
use std::panic::AssertUnwindSafe;
use std::ptr;

/// One entry of an index's list of columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    /// The column's name; `None` for an expression.
    pub column: Option<String>,
}

/// Reads the text of one column or expression, as CREATE INDEX takes it with collation, operator class and ordering.
/// `None` when it is not that, or that and something more.
pub fn element(text: &str) -> Option<Element> {
    // A comment at its end must not swallow what comes after.
    let statement = parsed(&format!("CREATE INDEX ON x ({text}\n)"))?;
    if statement.has_predicate {
        return None;
    }
    Some(statement.element)
}

/// Whether the text is one condition, as an index's WHERE takes it.
pub fn is_predicate(text: &str) -> bool {
    parsed(&format!("CREATE INDEX ON x (x) WHERE ({text}\n)")).is_some_and(|statement| statement.has_predicate)
}

/// CREATE INDEX on one column, with a predicate or without, and with nothing else.
struct Statement {
    element: Element,
    has_predicate: bool,
}

/// Reads that statement; `None` when the text is anything else.
fn parsed(sql: &str) -> Option<Statement> {
    let text = CString::new(sql).ok()?;
    // SAFETY: the parser reads a C string that outlives it, and makes nodes in the current memory context: of what it
    // takes for a list or node, tag and length tell. A syntax error leaves nothing behind but memory.
    unsafe {
        let parse = || pg_sys::raw_parser(text.as_ptr(), pg_sys::RawParseMode::RAW_PARSE_DEFAULT);
        let statements = PgTryBuilder::new(AssertUnwindSafe(parse))
            .catch_when(PgSqlErrorCode::ERRCODE_SYNTAX_ERROR, |_| ptr::null_mut())
            .execute();
        let raw = only(statements)?.cast::<pg_sys::RawStmt>();
        let node = (*raw).stmt;
        if (*node).type_ != NodeTag::T_IndexStmt {
            return None;
        }
        let index = &*node.cast::<pg_sys::IndexStmt>();
        let is_plain = index.indexIncludingParams.is_null()
            && index.options.is_null()
            && index.excludeOpNames.is_null()
            && index.tableSpace.is_null()
            && !index.nulls_not_distinct;
        if !is_plain {
            return None;
        }
        let element = &*only(index.indexParams)?.cast::<pg_sys::IndexElem>();
        let column = (!element.name.is_null()).then(|| CStr::from_ptr(element.name).to_string_lossy().into_owned());
        Some(Statement { element: Element { column }, has_predicate: !index.whereClause.is_null() })
    }
}

/// The only element of a list of pointers.
///
/// # Safety
/// `list` is NULL or a valid list of pointers.
unsafe fn only(list: *mut pg_sys::List) -> Option<*mut std::ffi::c_void> {
    // SAFETY: by the contract above.
    unsafe { (!list.is_null() && (*list).length == 1).then(|| pg_sys::list_nth(list, 0)) }
}

/// What an access method can do with the column that comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Method {
    /// Several columns in one index.
    pub multicolumn: bool,
    /// It has a default operator class for the type.
    pub takes_type: bool,
}

/// The access method for indexes of that name, with regard to columns of a type; `None` when there is none.
pub fn method(name: &str, type_oid: pg_sys::Oid) -> Option<Method> {
    let name = CString::new(name).ok()?;
    // SAFETY: catalog look-ups; the routine is palloc'd and valid for an existing access method.
    unsafe {
        let oid = pg_sys::get_index_am_oid(name.as_ptr(), true);
        if oid == pg_sys::InvalidOid {
            return None;
        }
        let routine = pg_sys::GetIndexAmRoutineByAmId(oid, false);
        Some(Method {
            multicolumn: (*routine).amcanmulticol,
            takes_type: pg_sys::GetDefaultOpClass(type_oid, oid) != pg_sys::InvalidOid,
        })
    }
}

/// A name for an index that no relation of the schema has, made as PostgreSQL makes it of the table's and the columns'.
pub fn unused_name(table: &str, columns: &str, schema: pg_sys::Oid) -> Option<String> {
    let (table, columns) = (CString::new(table).ok()?, CString::new(columns).ok()?);
    // SAFETY: the strings outlive the call, which returns a palloc'd string.
    unsafe {
        let name = pg_sys::ChooseRelationName(table.as_ptr(), columns.as_ptr(), c"idx".as_ptr(), schema, false);
        Some(CStr::from_ptr(name).to_string_lossy().into_owned())
    }
}

/// For each expression of an index whether a condition on it is kept back by row security, since it calls a function that
/// is not leakproof. Runs none of these functions.
pub fn leaky_expressions(index: pg_sys::Oid) -> Vec<bool> {
    // SAFETY: a valid cache tuple holds a pg_index row; it is released before returning. Its column for expressions is
    // NULL or the text of a list of nodes that PostgreSQL wrote.
    unsafe {
        let cache = pg_sys::SysCacheIdentifier::INDEXRELID as i32;
        let tuple = pg_sys::SearchSysCache1(cache, pg_sys::Datum::from(index));
        if tuple.is_null() {
            return Vec::new();
        }
        let mut null = true;
        let number = pg_sys::Anum_pg_index_indexprs as pg_sys::AttrNumber;
        let datum = pg_sys::SysCacheGetAttr(cache, tuple, number, &mut null);
        let text = String::from_datum(datum, null).and_then(|text| CString::new(text).ok());
        pg_sys::ReleaseSysCache(tuple);
        let Some(text) = text else { return Vec::new() };
        let list = pg_sys::stringToNode(text.as_ptr()).cast::<pg_sys::List>();
        let count = if list.is_null() { 0 } else { (*list).length };
        (0..count).map(|place| pg_sys::contain_leaked_vars(pg_sys::list_nth(list, place).cast())).collect()
    }
}
