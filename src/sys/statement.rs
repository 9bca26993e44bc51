//! Utility statements, as far as the guards look at them: read from the parse tree into plain values.

use pgrx::pg_sys;
use std::ffi::CStr;

/// A statement that a guard may object to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    /// SET for the session.
    Set(String),
    /// SET for the transaction, or RESET, of the role or of the session's user.
    Become {
        what: Identity,
        /// It leads back to where the session came from.
        back: bool,
    },
    DiscardAll,
    Prepare,
    PrepareTransaction,
    Listen,
    Notify,
    Unlisten,
    Explain,
    Lock,
    HeldCursor,
    /// ALTER ROLE, CREATE ROLE, DROP ROLE, also by their other names; GRANT and REVOKE of a role.
    RoleDdl,
    DropOwned,
    ReassignOwned,
    Load,
}

/// Who somebody is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// SET ROLE.
    Role,
    /// SET SESSION AUTHORIZATION.
    User,
}

/// What the statement is, if a guard may object to it. Allocates nothing for others.
///
/// # Safety
/// `node` is a valid parse node of a utility statement.
pub unsafe fn read(node: *mut pg_sys::Node) -> Option<Statement> {
    use pg_sys::NodeTag::*;
    // SAFETY: by the contract above; a node is read as what its tag says.
    unsafe {
        Some(match (*node).type_ {
            T_VariableSetStmt => return read_set(&*node.cast::<pg_sys::VariableSetStmt>()),
            T_DiscardStmt => {
                let all = (*node.cast::<pg_sys::DiscardStmt>()).target == pg_sys::DiscardMode::DISCARD_ALL;
                return all.then_some(Statement::DiscardAll);
            }
            T_TransactionStmt => {
                let kind = (*node.cast::<pg_sys::TransactionStmt>()).kind;
                let prepares = kind == pg_sys::TransactionStmtKind::TRANS_STMT_PREPARE;
                return prepares.then_some(Statement::PrepareTransaction);
            }
            T_DeclareCursorStmt => {
                let options = (*node.cast::<pg_sys::DeclareCursorStmt>()).options;
                return (options & pg_sys::CURSOR_OPT_HOLD as i32 != 0).then_some(Statement::HeldCursor);
            }
            T_RenameStmt => {
                let renamed = (*node.cast::<pg_sys::RenameStmt>()).renameType;
                return (renamed == pg_sys::ObjectType::OBJECT_ROLE).then_some(Statement::RoleDdl);
            }
            T_PrepareStmt => Statement::Prepare,
            T_ListenStmt => Statement::Listen,
            T_NotifyStmt => Statement::Notify,
            T_UnlistenStmt => Statement::Unlisten,
            T_ExplainStmt => Statement::Explain,
            T_LockStmt => Statement::Lock,
            T_AlterRoleStmt | T_AlterRoleSetStmt | T_CreateRoleStmt | T_DropRoleStmt | T_GrantRoleStmt => {
                Statement::RoleDdl
            }
            T_DropOwnedStmt => Statement::DropOwned,
            T_ReassignOwnedStmt => Statement::ReassignOwned,
            T_LoadStmt => Statement::Load,
            _ => return None,
        })
    }
}

/// Whether a statement is none that a client is charged for: it begins or ends a transaction or a savepoint, has to do with
/// settings, or gives up what the session has.
///
/// # Safety
/// `node` is a valid parse node of a utility statement.
pub unsafe fn is_free(node: *mut pg_sys::Node) -> bool {
    use pg_sys::NodeTag::*;
    // SAFETY: by the contract above.
    let tag = unsafe { (*node).type_ };
    matches!(
        tag,
        T_TransactionStmt
            | T_VariableSetStmt
            | T_VariableShowStmt
            | T_DiscardStmt
            | T_DeallocateStmt
            | T_ClosePortalStmt
            | T_UnlistenStmt
    )
}

/// # Safety
/// The name in the node is NULL or a C string.
unsafe fn read_set(set: &pg_sys::VariableSetStmt) -> Option<Statement> {
    use pg_sys::VariableSetKind::*;
    // SAFETY: by the contract above.
    let name = unsafe { if set.name.is_null() { c"" } else { CStr::from_ptr(set.name) } };
    let is = |other: &CStr| name.to_bytes().eq_ignore_ascii_case(other.to_bytes());
    let resets = matches!(set.kind, VAR_SET_DEFAULT | VAR_RESET | VAR_RESET_ALL);
    let identity = match () {
        () if is(c"role") => Some(Identity::Role),
        () if is(c"session_authorization") => Some(Identity::User),
        () => None,
    };
    if let Some(what) = identity.filter(|_| resets || set.is_local) {
        return Some(Statement::Become { what, back: resets });
    }
    // What begins with TRANSACTION is the transaction's however it is written.
    let is_the_transactions = set.kind == VAR_SET_MULTI && name.to_bytes().starts_with(b"TRANSACTION");
    (!(set.is_local || resets || is_the_transactions)).then(|| Statement::Set(name.to_string_lossy().into_owned()))
}

/// From whom and to whom a REASSIGN OWNED gives what there is. PostgreSQL's own errors are raised for roles that
/// don't exist.
///
/// # Safety
/// `node` is a valid parse node of that statement.
pub unsafe fn reassigned(node: *mut pg_sys::Node) -> Option<(Vec<pg_sys::Oid>, pg_sys::Oid)> {
    let role = |spec: *mut pg_sys::RoleSpec| {
        // SAFETY: by the contract above these are role specifications.
        unsafe {
            ((*spec).roletype != pg_sys::RoleSpecType::ROLESPEC_PUBLIC).then(|| pg_sys::get_rolespec_oid(spec, false))
        }
    };
    // SAFETY: by the contract above; the list holds as many pointers as it says.
    unsafe {
        let statement = node.cast::<pg_sys::ReassignOwnedStmt>();
        let list = (*statement).roles;
        let count = if list.is_null() { 0 } else { (*list).length };
        let from = (0..count).map(|place| pg_sys::list_nth(list, place).cast::<pg_sys::RoleSpec>());
        Some((from.map(role).collect::<Option<_>>()?, role((*statement).newrole)?))
    }
}
