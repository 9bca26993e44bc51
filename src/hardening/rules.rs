//! What roles with the profile `strict` may not run: what outlasts the transaction in a session that others will
//! use, tells of other tenants, disturbs them, or leads out of the guard. Pure.

use crate::error::Error;
use crate::sys::Oid;
use crate::sys::statement::{Identity, Statement};

/// Where the guard holds when the session goes back to where it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Strict {
    /// The session's user, whom RESET ROLE leads to, is watched too.
    pub user: bool,
    /// The role that logged in, whom RESET SESSION AUTHORIZATION leads to, is watched too.
    pub login: bool,
}

/// The statement's name when it is refused.
pub fn refused(statement: &Statement, strict: Strict) -> Option<Error> {
    use Statement::*;
    let (what, hint) = match statement {
        Set(_) => ("SET for the session", "Use SET LOCAL within a transaction, or tenancy.set_tenant()."),
        Become { what: Identity::Role, .. } if strict.user => return None,
        Become { what: Identity::Role, .. } => ("leaving the role", BACK),
        Become { what: Identity::User, back: true } if strict.login => return None,
        Become { what: Identity::User, .. } => ("leaving the session's user", BACK),
        DiscardAll if strict.login && strict.user => return None,
        DiscardAll => ("DISCARD ALL", BACK),
        Prepare => ("PREPARE", "Use the driver's prepared statements."),
        PrepareTransaction => ("PREPARE TRANSACTION", LIFT),
        Listen => ("LISTEN", LIFT),
        Notify => ("NOTIFY", LIFT),
        Unlisten => ("UNLISTEN", LIFT),
        Explain => ("EXPLAIN", LIFT),
        Lock => ("LOCK", "SELECT ... FOR UPDATE locks rows."),
        HeldCursor => ("DECLARE ... WITH HOLD", "Use a cursor without hold within a transaction."),
        RoleDdl => ("changing roles", LIFT),
        DropOwned => ("DROP OWNED", LIFT),
        ReassignOwned => ("REASSIGN OWNED", LIFT),
        Load => ("LOAD", LIFT),
    };
    Some(Error::Strict { what, hint })
}

const LIFT: &str = "A superuser can lift the guard: tenancy.harden_role(..., 'standard').";
const BACK: &str = "Use SET LOCAL ROLE, which ends with the transaction, to take this role on.";

/// Functions that do what a statement does.
const FUNCTIONS: [(Oid, &str, &str); 2] = [
    (Oid::from_u32(2078), "set_config()", "Use SET LOCAL within a transaction, or tenancy.set_tenant()."),
    (Oid::from_u32(3036), "pg_notify()", LIFT),
];

/// Whether the function may be one that is refused. Asked for every function that a plan calls.
pub fn is_watched(function: Oid) -> bool {
    FUNCTIONS.iter().any(|(watched, _, _)| *watched == function)
}

/// The function's name when it is refused.
pub fn refused_function(function: Oid) -> Option<Error> {
    FUNCTIONS.iter().find(|(watched, _, _)| *watched == function).map(|(_, what, hint)| Error::Strict { what, hint })
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLLY: Strict = Strict { user: true, login: true };
    const BY_SET_ROLE: Strict = Strict { user: false, login: false };

    fn become_(what: Identity, back: bool) -> Statement {
        Statement::Become { what, back }
    }

    #[test]
    fn whoever_stays_watched_may_move() {
        assert_eq!(refused(&become_(Identity::Role, true), WHOLLY), None);
        assert_eq!(refused(&become_(Identity::Role, false), WHOLLY), None);
        assert_eq!(refused(&become_(Identity::User, true), WHOLLY), None);
        assert_eq!(refused(&Statement::DiscardAll, WHOLLY), None);
        assert!(refused(&become_(Identity::User, false), WHOLLY).is_some());
    }

    #[test]
    fn nobody_leaves_the_guard() {
        for strict in [BY_SET_ROLE, Strict { user: false, login: true }] {
            assert!(refused(&become_(Identity::Role, true), strict).is_some());
            assert!(refused(&become_(Identity::Role, false), strict).is_some());
            assert!(refused(&Statement::DiscardAll, strict).is_some());
        }
        let by_authorization = Strict { user: true, login: false };
        assert!(refused(&become_(Identity::User, true), by_authorization).is_some());
        assert!(refused(&Statement::DiscardAll, by_authorization).is_some());
    }

    #[test]
    fn two_functions_are_watched() {
        assert!(is_watched(Oid::from_u32(2078)) && is_watched(Oid::from_u32(3036)));
        assert!(!is_watched(Oid::from_u32(2077)));
    }
}
