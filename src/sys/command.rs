//! The command that an event trigger is called for, as far as somebody looks at it: read from the parse tree into plain values.

use pgrx::pg_sys;
use std::ffi::{CStr, c_char};

/// What a command does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    RenameSchema {
        from: String,
        to: String,
    },
    /// DROP EXTENSION.
    DropExtensions {
        names: Vec<String>,
        cascade: bool,
    },
    /// DROP OWNED BY these roles.
    DropOwned {
        roles: Vec<pg_sys::Oid>,
        cascade: bool,
    },
    Other,
}

/// Reads the command of an event trigger's call.
///
/// # Safety
/// The function manager passes this record to a function that it calls.
pub unsafe fn of(fcinfo: pg_sys::FunctionCallInfo) -> Command {
    // SAFETY: by the contract above the context is NULL or a node; nodes are read as what their tags say, and the parse tree
    // lives as long as the command.
    unsafe {
        let context = (*fcinfo).context;
        if context.is_null() || (*context).type_ != pg_sys::NodeTag::T_EventTriggerData {
            return Command::Other;
        }
        let tree = (*context.cast::<pg_sys::EventTriggerData>()).parsetree;
        if tree.is_null() {
            return Command::Other;
        }
        read(tree)
    }
}

/// # Safety
/// `tree` is a valid parse node of a utility statement.
unsafe fn read(tree: *mut pg_sys::Node) -> Command {
    use pg_sys::{DropBehavior::DROP_CASCADE, NodeTag, ObjectType};
    // SAFETY: by the contract above. DROP EXTENSION names its objects as strings; the other lists hold what their statements say.
    unsafe {
        match (*tree).type_ {
            NodeTag::T_RenameStmt => {
                let renaming = &*tree.cast::<pg_sys::RenameStmt>();
                if renaming.renameType != ObjectType::OBJECT_SCHEMA {
                    return Command::Other;
                }
                Command::RenameSchema { from: text(renaming.subname), to: text(renaming.newname) }
            }
            NodeTag::T_DropStmt => {
                let drop = &*tree.cast::<pg_sys::DropStmt>();
                if drop.removeType != ObjectType::OBJECT_EXTENSION {
                    return Command::Other;
                }
                let names = members(drop.objects).map(|name| text((*name.cast::<pg_sys::String>()).sval)).collect();
                Command::DropExtensions { names, cascade: drop.behavior == DROP_CASCADE }
            }
            NodeTag::T_DropOwnedStmt => {
                let drop = &*tree.cast::<pg_sys::DropOwnedStmt>();
                let role = |spec: *mut std::ffi::c_void| {
                    let spec = spec.cast::<pg_sys::RoleSpec>();
                    // PostgreSQL has its own word for PUBLIC, and for roles that don't exist.
                    ((*spec).roletype != pg_sys::RoleSpecType::ROLESPEC_PUBLIC)
                        .then(|| pg_sys::get_rolespec_oid(spec, true))
                };
                Command::DropOwned {
                    roles: members(drop.roles).filter_map(role).collect(),
                    cascade: drop.behavior == DROP_CASCADE,
                }
            }
            _ => Command::Other,
        }
    }
}

/// # Safety
/// The list is NULL or valid, and holds pointers.
unsafe fn members(list: *mut pg_sys::List) -> impl Iterator<Item = *mut std::ffi::c_void> {
    // SAFETY: by the contract above; the list holds as many pointers as it says.
    unsafe {
        let count = if list.is_null() { 0 } else { (*list).length };
        (0..count).map(move |place| pg_sys::list_nth(list, place))
    }
}

/// # Safety
/// The text is NULL or a C string.
unsafe fn text(text: *const c_char) -> String {
    // SAFETY: by the contract above.
    unsafe { if text.is_null() { String::new() } else { CStr::from_ptr(text).to_string_lossy().into_owned() } }
}
