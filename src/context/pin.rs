//! One tenant per transaction. The pin is kept outside of the setting, so that neither RESET nor a
//! rolled-back savepoint loosens it; only the end of the top-level transaction does.

use super::cache::Tenant;
use super::token;
use crate::catalog::tenants::TenantRow;
use crate::error::{Error, Result};
use crate::guc;
use crate::sys::backend::BackendCell;
use crate::sys::flag::Flag;
use crate::tenant::TenantRef;
use std::cell::RefCell;
use std::rc::Rc;

#[derive(Default)]
enum Pin {
    #[default]
    None,
    /// Set, but not used yet: known by the name alone.
    Named(TenantRef),
    /// A token was set, and not used yet: whom it names is not known.
    Token(Box<str>),
    /// Used, and so known by id and key.
    Known(Rc<Tenant>),
}

impl Pin {
    fn admits(&self, tenant: &TenantRef) -> bool {
        match self {
            Self::None | Self::Token(_) => true,
            Self::Named(pinned) => pinned == tenant,
            Self::Known(pinned) => tenant.names(pinned.id, &pinned.key),
        }
    }
}

thread_local! {
    static PIN: RefCell<Pin> = const { RefCell::new(Pin::None) };
}

/// Whether the pin is other than none; apart, because it is asked before each statement.
const HELD: Flag = Flag::TenantPinned;

/// True while `set_tenant` puts in a value that it has checked and pinned already.
static CHECKED: BackendCell<bool> = BackendCell::new(false);

/// Runs `set`, whose value the check hook need not look at again.
pub fn with_checked<T>(set: impl FnOnce() -> T) -> T {
    let _checked = CHECKED.raised();
    set()
}

/// The session sets a tenant: refused when the transaction has another one.
pub fn set(tenant: &TenantRef) -> Result<()> {
    if CHECKED.get() || guc::allow_switch() {
        return Ok(());
    }
    PIN.with_borrow_mut(|pin| {
        if !pin.admits(tenant) {
            return Err(Error::SecondTenant);
        }
        if matches!(pin, Pin::None) {
            *pin = Pin::Named(tenant.clone());
            HELD.set(true);
        }
        Ok(())
    })
}

/// The session sets a token: refused when the transaction has another one that it has not used yet. Whether it is of the
/// tenant that the transaction has comes out when it is used.
pub fn set_token(token: &str) -> Result<()> {
    if CHECKED.get() || guc::allow_switch() {
        return Ok(());
    }
    PIN.with_borrow_mut(|pin| {
        match pin {
            Pin::Token(pinned) if **pinned != *token => return Err(Error::SecondTenant),
            Pin::None => *pin = Pin::Token(token.into()),
            _ => {}
        }
        HELD.set(true);
        Ok(())
    })
}

/// The name is about to be resolved: refused when it is certain already that the transaction has
/// another tenant.
pub fn check(tenant: &TenantRef) -> Result<()> {
    if guc::allow_switch() {
        return Ok(());
    }
    PIN.with_borrow(|pin| match pin {
        Pin::Known(_) if !pin.admits(tenant) => Err(Error::SecondTenant),
        _ => Ok(()),
    })
}

/// Whether the session may be told of this tenant, or, with `None`, that there is none such: not when the transaction has
/// another one, be it used or merely set.
pub fn admits(tenant: Option<&TenantRow>) -> bool {
    if guc::allow_switch() {
        return true;
    }
    let names =
        |name: &str, tenant: &TenantRow| TenantRef::parse(name).is_ok_and(|name| name.names(tenant.id, &tenant.key));
    let token = PIN.with_borrow(|pin| match pin {
        Pin::Token(token) => Some(token.clone()),
        _ => None,
    });
    if let Some(token) = token {
        return tenant.is_some_and(|tenant| token::prove(&token).is_ok_and(|proof| names(proof.tenant(), tenant)));
    }
    PIN.with_borrow(|pin| match (pin, tenant) {
        (Pin::None, _) => true,
        (Pin::Named(pinned), Some(tenant)) => pinned.names(tenant.id, &tenant.key),
        (Pin::Known(pinned), Some(tenant)) => pinned.id == tenant.id,
        (Pin::Token(_), _) | (_, None) => false,
    })
}

/// The transaction uses a tenant, by that token or by none: it becomes the pin, or is refused when another one is.
pub fn hold(tenant: &Rc<Tenant>, by: Option<&str>) -> Result<()> {
    if guc::allow_switch() {
        return Ok(());
    }
    PIN.with_borrow_mut(|pin| {
        let same = match pin {
            Pin::None => true,
            Pin::Named(named) => named.names(tenant.id, &tenant.key),
            Pin::Token(pinned) => by == Some(pinned),
            Pin::Known(known) => known.id == tenant.id,
        };
        if !same {
            return Err(Error::SecondTenant);
        }
        *pin = Pin::Known(Rc::clone(tenant));
        HELD.set(true);
        Ok(())
    })
}

/// A parallel worker starts with the leader's settings but without its pin, so a setting that has
/// left the pin (RESET to a default of the role, a rolled-back savepoint) must not reach one.
pub fn check_before_parallel() -> Result<()> {
    PIN.with_borrow(|pin| {
        if matches!(pin, Pin::None) || guc::allow_switch() {
            return Ok(());
        }
        let name = super::resolve::effective_name();
        match name {
            // The token has been reset, and something else is in force.
            Some(_) if matches!(pin, Pin::Token(_)) => Err(Error::SecondTenant),
            Some((name, _)) if !pin.admits(&TenantRef::parse(&name)?) => Err(Error::SecondTenant),
            _ => Ok(()),
        }
    })
}

/// A pin that was taken off; it is put back on drop, in place of any that came meanwhile.
pub struct Aside {
    pin: Pin,
    held: bool,
}

/// Takes the transaction's pin off, for statements that count as a transaction of their own.
pub fn set_aside() -> Aside {
    Aside { pin: PIN.take(), held: HELD.replace(false) }
}

impl Drop for Aside {
    fn drop(&mut self) {
        PIN.set(std::mem::take(&mut self.pin));
        HELD.set(self.held);
    }
}

/// The tenant that the transaction has used.
pub fn known() -> Option<Rc<Tenant>> {
    PIN.with_borrow(|pin| match pin {
        Pin::Known(tenant) => Some(Rc::clone(tenant)),
        _ => None,
    })
}

/// The transaction has ended.
pub fn release() {
    if HELD.replace(false) {
        PIN.set(Pin::None);
    }
}
