//! The token in force: verified once per session, and looked at again in every transaction. Whether its key still counts
//! comes with the registry's other changes; the time is asked for at first use in each transaction, and holds for it.

use crate::catalog::jwt_keys;
use crate::error::{Error, Result};
use crate::guc;
use crate::jwt::{self, Claims};
use crate::sys::backend::BackendCell;
use crate::sys::flag::Flag;
use crate::sys::{clock, discretion, xact};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// Verified tokens kept; at some 300 bytes each, and 8 kilobytes at most.
const CAPACITY: usize = 1024;

/// A token whose signature is good, and that is what its key asks for. Times are in microseconds.
#[derive(Debug)]
pub struct Proof {
    token: Rc<str>,
    claims: Claims,
    leeway: i64,
    not_before: Option<i64>,
    not_after: Option<i64>,
}

impl Proof {
    /// The name of the tenant.
    pub fn tenant(&self) -> &str {
        &self.claims.tenant
    }

    /// The user, if the token names one.
    pub fn user(&self) -> Option<&str> {
        self.claims.subject.as_deref()
    }

    pub fn token(&self) -> &str {
        &self.token
    }

    fn holds_at(&self, now: i64) -> bool {
        self.claims.hold_at(now, self.leeway) && self.key_holds_at(now)
    }

    fn key_holds_at(&self, now: i64) -> bool {
        self.not_before.is_none_or(|begin| begin <= now) && self.not_after.is_none_or(|end| now < end)
    }

    /// Whether it was found to hold before, and still does: time ends it not, but what was changed of its key.
    fn goes_on(&self, before: &Self) -> bool {
        (self.not_before, self.not_after) == (before.not_before, before.not_after) || self.key_holds_at(clock::now())
    }

    /// As `holds_at`, in a parallel worker: its leader looked at the clock before it was started, maybe long after the
    /// transaction began.
    fn holds_in_worker(&self) -> bool {
        let began = clock::transaction_start();
        self.claims.hold_at(began.max(self.claims.not_before.unwrap_or(began)), self.leeway)
    }
}

#[derive(Default)]
struct State {
    verified: HashMap<Rc<str>, Rc<Proof>>,
    /// The one in force, found to hold in this transaction; forgotten when the setting may have changed.
    current: Option<Rc<Proof>>,
    /// The one that was last found to hold in this transaction. Its time does until the end.
    timely: Option<Rc<Proof>>,
    /// Nothing has changed since that was verified.
    is_fresh: bool,
}

impl State {
    /// Those that have ended go first; where there are none, one of the others does.
    fn make_room(&mut self) {
        if self.verified.len() < CAPACITY {
            return;
        }
        let now = clock::now();
        self.verified.retain(|_, proof| now < proof.claims.expires.saturating_add(proof.leeway));
        if self.verified.len() >= CAPACITY
            && let Some(any) = self.verified.keys().next().cloned()
        {
            self.verified.remove(&any);
        }
    }

    /// The one that was last found to hold in this transaction, if it is this token.
    fn timely(&self, token: &str) -> Option<Rc<Proof>> {
        self.timely.as_ref().filter(|proof| *proof.token == *token).cloned()
    }
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

/// Set by invalidation callbacks, which come in the middle of other work and may do no more.
static STALE: BackendCell<bool> = BackendCell::new(false);

/// Set by the assign hook, which may do no more either.
static CHANGED: BackendCell<bool> = BackendCell::new(false);

/// Keys may have changed. Can't fail.
pub fn discard() {
    STALE.set(true);
}

/// The setting has changed, maybe back to what it was. Can't fail.
pub fn changed() {
    CHANGED.set(true);
}

/// The top-level transaction has ended. Can't fail.
pub fn transaction_ended() {
    STATE.with_borrow_mut(|state| {
        if state.timely.is_some() {
            state.timely = None;
            state.current = None;
        }
    });
}

/// The tenant that the token names, as far as that is known without looking. Can't fail.
pub fn named_by(token: &str) -> Option<String> {
    if STALE.get() {
        return None;
    }
    STATE.with_borrow(|state| state.verified.get(token).map(|proof| proof.tenant().to_owned()))
}

/// The token that was last found to hold in this transaction, whatever is set by now.
pub fn last() -> Option<Rc<Proof>> {
    STATE.with_borrow(|state| state.timely.clone())
}

/// What the token in force proves.
///
/// # Errors
/// 28000 when it proves nothing.
pub fn proven() -> Result<Rc<Proof>> {
    if CHANGED.replace(false) {
        STATE.with_borrow_mut(|state| state.current = None);
    }
    if !STALE.get()
        && let Some(current) = STATE.with_borrow(|state| state.current.clone())
    {
        return Ok(current);
    }
    let token = guc::token();
    let proof = prove(&token)?;
    STATE.with_borrow_mut(|state| state.current = Some(Rc::clone(&proof)));
    Ok(proof)
}

/// What this token proves, in this transaction.
///
/// # Errors
/// 28000 when it proves nothing.
pub fn prove(token: &str) -> Result<Rc<Proof>> {
    if !STALE.get()
        && let Some(proof) = STATE.with_borrow(|state| state.timely(token).filter(|_| state.is_fresh))
    {
        return Ok(proof);
    }
    let proof = loop {
        if STALE.replace(false) {
            STATE.with_borrow_mut(|state| {
                state.verified.clear();
                state.current = None;
                state.is_fresh = false;
            });
        }
        let kept = STATE.with_borrow(|state| state.verified.get(token).cloned());
        let proof = match kept {
            Some(proof) => proof,
            None => {
                // A parallel worker shows what its leader runs.
                discretion::veil_statement_with(token);
                Rc::new(verify(token)?)
            }
        };
        // A change may arrive while the key is being read, and is announced only once.
        if !STALE.get() {
            break proof;
        }
    };
    STATE.with_borrow_mut(|state| {
        let timely = match state.timely(token) {
            Some(before) => proof.goes_on(&before),
            None if xact::in_parallel_worker() => proof.holds_in_worker(),
            None => proof.holds_at(clock::now()),
        };
        if !timely {
            return Err(Error::InvalidToken);
        }
        state.timely = Some(Rc::clone(&proof));
        Flag::Unsettled.set(true);
        state.is_fresh = true;
        if !state.verified.contains_key(token) {
            state.make_room();
            state.verified.insert(Rc::clone(&proof.token), Rc::clone(&proof));
        }
        Ok(proof)
    })
}

fn verify(token: &str) -> Result<Proof> {
    let header = jwt::header(token).ok_or(Error::InvalidToken)?;
    let key = jwt_keys::find(&header.kid)?.ok_or(Error::InvalidToken)?;
    let claims = jwt::verify(token, &header, &key.key, &key.demands).ok_or(Error::InvalidToken)?;
    Ok(Proof { token: token.into(), claims, leeway: key.leeway, not_before: key.not_before, not_after: key.not_after })
}
