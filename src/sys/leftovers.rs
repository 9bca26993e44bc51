//! What a statement leaves behind in its session, for the session's next user to find.

use crate::sys::backend::BackendCell;
use crate::sys::flag::Unsettled;
use crate::sys::scan::{self, Key};
use crate::sys::{portal, xact};
use pgrx::pg_sys;
use std::ffi::CString;

/// What a session may hold, as far as statements have been seen that make it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// A cursor WITH HOLD.
    pub held_cursors: bool,
    /// PREPARE as a statement; what drivers prepare through the protocol is theirs alone.
    pub prepared_statements: bool,
}

static SEEN: BackendCell<Seen> = BackendCell::new(Seen { held_cursors: false, prepared_statements: false });

/// What has been seen since `forget`.
pub fn seen() -> Seen {
    SEEN.get()
}

/// Nothing of the kind is left.
pub fn forget() {
    SEEN.set(Seen { held_cursors: false, prepared_statements: false });
}

/// A library that is loaded into a running session has not seen what came before.
pub fn assume_any_unless_preloading() {
    // SAFETY: reads a flag of this process.
    let preloading = unsafe { pg_sys::process_shared_preload_libraries_in_progress };
    SEEN.set(Seen { held_cursors: !preloading, prepared_statements: !preloading });
}

/// Takes note of a utility statement.
///
/// # Safety
/// `node` is a valid parse node.
pub unsafe fn note(node: *mut pg_sys::Node) {
    // SAFETY: by the contract above; the node is read as what its tag says.
    unsafe {
        let seen = SEEN.get();
        match (*node).type_ {
            pg_sys::NodeTag::T_PrepareStmt => SEEN.set(Seen { prepared_statements: true, ..seen }),
            pg_sys::NodeTag::T_DeclareCursorStmt => {
                let cursor = node.cast::<pg_sys::DeclareCursorStmt>();
                if (*cursor).options & pg_sys::CURSOR_OPT_HOLD as i32 != 0 {
                    SEEN.set(Seen { held_cursors: true, ..seen });
                }
            }
            _ => {}
        }
    }
}

/// Whether a utility statement may leave something behind in the session, or call what does. Those that clean up may not
/// be asked, nor those that must be the first of their transaction.
///
/// # Safety
/// `node` is a valid parse node.
pub unsafe fn may_leave(node: *mut pg_sys::Node) -> bool {
    use pg_sys::NodeTag::*;
    // SAFETY: by the contract above.
    !matches!(
        unsafe { (*node).type_ },
        T_TransactionStmt
            | T_VariableSetStmt
            | T_VariableShowStmt
            | T_DiscardStmt
            | T_DeallocateStmt
            | T_ClosePortalStmt
            | T_DropStmt
            | T_LockStmt
            | T_ConstraintsSetStmt
            | T_ListenStmt
            | T_UnlistenStmt
            | T_NotifyStmt
            | T_LoadStmt
            | T_CheckPointStmt
            | T_VacuumStmt
            | T_ClusterStmt
            | T_ReindexStmt
            | T_IndexStmt
    )
}

/// The level of savepoints at which the outermost statement runs that executes a prepared one; 0 while none does.
static EXECUTING: Unsettled<i32> = Unsettled::new(0);

/// Whether a prepared statement is being executed by name, and so must not vanish.
pub fn is_executing() -> bool {
    EXECUTING.get() != 0
}

/// A utility statement begins. Returns whether `executed` is to be called when it has ended well.
///
/// # Safety
/// `node` is a valid parse node.
pub unsafe fn executes(node: *mut pg_sys::Node) -> bool {
    // SAFETY: by the contract above.
    let begins = EXECUTING.get() == 0 && unsafe { is_execute(node) };
    if begins {
        EXECUTING.set(xact::nest_level());
    }
    begins
}

/// The statement of which `executes` said so has ended.
pub fn executed() {
    EXECUTING.reset(0);
}

/// A savepoint of that level was rolled back, or at level 0 the transaction ended: with it what was running in it.
pub fn rolled_back(level: i32) {
    if EXECUTING.get() >= level {
        EXECUTING.reset(0);
    }
}

/// EXECUTE, or a statement around one: EXPLAIN, CREATE TABLE AS.
///
/// # Safety
/// `node` is a valid parse node.
unsafe fn is_execute(node: *mut pg_sys::Node) -> bool {
    // SAFETY: by the contract above; each node is read as what its tag says, and the parts are valid nodes or NULL.
    unsafe {
        let inner = match (*node).type_ {
            pg_sys::NodeTag::T_ExecuteStmt => return true,
            pg_sys::NodeTag::T_ExplainStmt => (*node.cast::<pg_sys::ExplainStmt>()).query,
            pg_sys::NodeTag::T_CreateTableAsStmt => (*node.cast::<pg_sys::CreateTableAsStmt>()).query,
            pg_sys::NodeTag::T_Query => (*node.cast::<pg_sys::Query>()).utilityStmt,
            _ => return false,
        };
        !inner.is_null() && is_execute(inner)
    }
}

// Of pg_depend, fixed since long: OID, OID of the index on what is referenced, and its columns.
const DEPEND: u32 = 2608;
const DEPEND_BY_REFERENCE: u32 = 2674;
const REFERENCED_CLASS: i16 = 4;
const REFERENCED_OBJECT: i16 = 5;

/// Whether the session has temporary relations, types or functions.
pub fn has_temporary_objects() -> bool {
    let (mut schema, mut toast) = (pg_sys::InvalidOid, pg_sys::InvalidOid);
    // SAFETY: writes two OIDs, invalid ones while the session has no temporary schema.
    unsafe { pg_sys::GetTempNamespaceState(&mut schema, &mut toast) };
    if schema == pg_sys::InvalidOid {
        return false;
    }
    // Every object records that it depends on its schema.
    let keys = [(REFERENCED_CLASS, Key::Oid(pg_sys::NamespaceRelationId)), (REFERENCED_OBJECT, Key::Oid(schema))];
    let mut found = false;
    scan::find(DEPEND.into(), DEPEND_BY_REFERENCE.into(), &keys, |_| {
        found = true;
        true
    });
    found
}

/// Drops a prepared statement, as DEALLOCATE does.
pub fn deallocate(name: &str) {
    if let Ok(name) = CString::new(name) {
        // SAFETY: the string outlives the call; absence is no error.
        unsafe { pg_sys::DropPreparedStatement(name.as_ptr(), false) }
    }
}

/// Whether a cursor is in use by what is running.
pub fn is_busy(cursor: &str) -> bool {
    CString::new(cursor).is_ok_and(|name| portal::is_busy(&name))
}

/// Closes a cursor, as CLOSE does.
pub fn close(name: &str) {
    if let Ok(name) = CString::new(name) {
        // SAFETY: the string outlives the call; an error is raised when the cursor is in use.
        unsafe {
            let portal = pg_sys::SPI_cursor_find(name.as_ptr());
            if !portal.is_null() {
                pg_sys::SPI_cursor_close(portal);
            }
        }
    }
}

/// Drops the session's temporary objects, as DISCARD TEMP does.
pub fn drop_temporary_objects() {
    // SAFETY: an error is raised when one of them is in use.
    unsafe { pg_sys::ResetTempTableNamespace() }
}

/// Makes the session forget which sequence values it drew, as DISCARD SEQUENCES does.
pub fn forget_sequences() {
    unsafe extern "C-unwind" {
        #[link_name = "ResetSequenceCaches"]
        fn reset_sequence_caches();
    }
    // SAFETY: frees a hash table of this backend; can't raise an error.
    unsafe { reset_sequence_caches() }
}
