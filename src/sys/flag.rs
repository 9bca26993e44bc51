//! Flags that are asked about with each statement, or at the end of each transaction, kept in one word: asking about all that
//! could matter costs one read, and so a session that uses none of it pays next to nothing.

use crate::sys::backend::BackendCell;

static WORD: BackendCell<u32> = BackendCell::new(0);

/// One flag of this backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Flag {
    /// The transaction has something that `xact::on_end` is to hear of, and that has no flag of its own here.
    Unsettled,
    /// A bypass of row security waits to be written down.
    BypassUnwritten,
    /// An entry of the event log waits to be announced.
    EntryUnannounced,
    /// The transaction has a tenant.
    TenantPinned,
    /// The transaction uses a tenant.
    TenantInUse,
    /// The session counts for a tenant.
    TenantPresent,
    /// The context's setting has changed since a statement last ran.
    ContextChanged,
    /// A token is set.
    TokenSet,
    /// The context depends on what the request says.
    ClaimsWatched,
    /// It has to be looked whether the settings of a tenant are to be applied.
    SettingsPending,
    /// The settings of a tenant are applied.
    SettingsApplied,
    /// The settings of a tenant were not applied, since he may not be acted for.
    SettingsRefused,
    /// Something is known of a portal.
    PortalKnown,
    /// A portal's query is running that doesn't know yet for whom it reads.
    PortalUnnoted,
    /// A sealed cursor has been opened for being read.
    CursorUnsealed,
    /// A procedure is running.
    ProcedureRunning,
    /// A transaction may have several tenants.
    SwitchAllowed,
    /// That was so at some time in this transaction.
    SwitchUsed,
    /// Statements are counted.
    StatementsCounted,
    /// A statement that a client has sent is running.
    StatementRunning,
    /// It is known for whom some query has counted.
    StatementKnown,
    /// What is done for tenants is to be counted.
    TallyWanted,
    /// The session has used a tenant, and what its statements do is counted.
    StatementsTallied,
    /// Lines of the log are to tell whom the session acts for.
    SubjectsLogged,
}

impl Flag {
    const fn bit(self) -> u32 {
        1 << self as u32
    }

    #[inline(always)]
    pub fn get(self) -> bool {
        WORD.get() & self.bit() != 0
    }

    #[inline(always)]
    pub fn set(self, value: bool) {
        let others = WORD.get() & !self.bit();
        WORD.set(if value { others | self.bit() } else { others });
    }

    /// Sets the flag and returns what it was before.
    #[inline(always)]
    pub fn replace(self, value: bool) -> bool {
        let before = self.get();
        self.set(value);
        before
    }
}

/// A value that is to be put back when the transaction ends: whoever sets it has `xact::on_end` told of the end.
pub struct Unsettled<T: Copy>(BackendCell<T>);

impl<T: Copy> Unsettled<T> {
    pub const fn new(value: T) -> Self {
        Self(BackendCell::new(value))
    }

    #[inline(always)]
    pub fn get(&self) -> T {
        self.0.get()
    }

    #[inline(always)]
    pub fn set(&self, value: T) {
        Flag::Unsettled.set(true);
        self.0.set(value);
    }

    /// Puts back what it is outside of transactions, and returns what it was.
    #[inline(always)]
    pub fn reset(&self, value: T) -> T {
        self.0.replace(value)
    }
}

/// Several flags.
#[derive(Debug, Clone, Copy)]
pub struct Flags(u32);

impl Flags {
    pub const fn of<const N: usize>(flags: [Flag; N]) -> Self {
        let mut word = 0;
        let mut place = 0;
        while place < N {
            word |= flags[place].bit();
            place += 1;
        }
        Self(word)
    }

    /// Whether one of them is up.
    #[inline(always)]
    pub fn any(self) -> bool {
        WORD.get() & self.0 != 0
    }
}

/// Whatever of a transaction `xact::on_end` is to hear of.
pub const AT_END: Flags = Flags::of([
    Flag::Unsettled,
    Flag::EntryUnannounced,
    Flag::TenantPinned,
    Flag::TenantInUse,
    Flag::TenantPresent,
    Flag::SettingsApplied,
    Flag::SettingsRefused,
    Flag::PortalKnown,
    Flag::PortalUnnoted,
    Flag::CursorUnsealed,
    Flag::ProcedureRunning,
    Flag::SwitchUsed,
    Flag::StatementRunning,
    Flag::StatementKnown,
]);

/// Whatever has something done before a transaction commits.
pub const BEFORE_COMMIT: Flags = Flags::of([Flag::BypassUnwritten, Flag::EntryUnannounced]);

/// Whatever makes a portal matter even when it is run but once.
pub const WATCHES_PORTALS: Flags = Flags::of([Flag::PortalKnown, Flag::SwitchAllowed]);

/// Whatever makes a session hear of changes in the registry before a plan is run.
pub const LISTENS: Flags = Flags::of([
    Flag::TenantPinned,
    Flag::TenantInUse,
    Flag::ContextChanged,
    Flag::TokenSet,
    Flag::ClaimsWatched,
    Flag::SettingsPending,
]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_is_apart_from_the_others() {
        // One test alone, since all flags share a word.
        assert!(!LISTENS.any() && !AT_END.any());
        Flag::TokenSet.set(true);
        assert!(Flag::TokenSet.get() && LISTENS.any() && !AT_END.any());
        assert!(!Flag::StatementKnown.replace(true));
        assert!(Flag::StatementKnown.replace(false) && !Flag::StatementKnown.get());
        assert!(Flag::TokenSet.get() && !AT_END.any());
        Flag::TokenSet.set(false);
        assert!(!LISTENS.any() && !AT_END.any());
    }
}
