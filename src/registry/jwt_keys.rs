//! The keys that tokens are verified with. Neither a key nor a secret is in what is said or recorded of them.

use crate::catalog::event::{self, Event};
use crate::catalog::json;
use crate::catalog::jwt_keys::{self, Terms};
use crate::error::{Error, Result};
use crate::jwt::{self, Algorithm, Key, Unusable};
use crate::sys::discretion;
use crate::sys::json::Jsonb;
use serde_json::json;

/// The longest key id, issuer, audience or claim, in characters.
const MAX_CHARS: usize = 255;

/// A key as an administrator gives it.
pub struct NewKey<'a> {
    pub kid: &'a str,
    pub algorithm: &'a str,
    pub key: &'a str,
    pub terms: Terms,
}

/// Registers a key. Every session takes tokens signed with it from its next transaction after commit on.
///
/// # Errors
/// 22023 for an algorithm, a key, an id or terms that can't be used; 42710 when there is a key of that id.
pub fn add_jwt_key(new: &NewKey<'_>) -> Result<()> {
    discretion::veil();
    let Some(algorithm) = Algorithm::parse(new.algorithm) else {
        let reason = format!("\"{}\" is none of EdDSA, ES256, RS256, HS256", new.algorithm);
        return Err(Error::InvalidArgument { what: "algorithm", reason });
    };
    let leeway = check(new.kid, &new.terms)?;
    let key = Key::parse(algorithm, new.key).map_err(|unusable| refused("key", unusable))?;
    if !jwt_keys::put(new.kid, &key, &new.terms, leeway, false)? {
        return Err(Error::AlreadyExists(format!("key \"{}\"", new.kid)));
    }
    log("jwt_key.added", new.kid, json!({ "algorithm": algorithm.name() }))
}

/// Removes a key. Tokens signed with it are refused in every session from its next statement after commit on.
///
/// # Errors
/// 42704 when there is no key of that id.
pub fn remove_jwt_key(kid: &str) -> Result<()> {
    if !jwt_keys::delete(kid)? {
        return Err(Error::UnknownJwtKey(kid.to_owned()));
    }
    log("jwt_key.removed", kid, json!({}))
}

/// Registers the keys of a set (RFC 7517) on the same terms; those that are there already are replaced. Returns how many.
///
/// # Errors
/// 22023 for a set that is malformed, or one of whose keys is; 42710 when an id is that of another issuer's key.
pub fn import_jwks(jwks: &Jsonb, terms: &Terms) -> Result<i32> {
    discretion::veil();
    let keys = jwt::jwks(&json::text(jwks)?).map_err(|unusable| refused("key set", unusable))?;
    for (kid, key) in &keys {
        let leeway = check(kid, terms)?;
        // Providers choose their ids by themselves: the set of one takes no key of another's away.
        if !jwt_keys::put(kid, key, terms, leeway, true)? {
            return Err(Error::AlreadyExists(format!("key \"{kid}\" of another issuer")));
        }
        log("jwt_key.imported", kid, json!({ "algorithm": key.algorithm().name() }))?;
    }
    i32::try_from(keys.len()).map_err(|_| refused("key set", Unusable("it has too many keys")))
}

/// The leeway in seconds.
fn check(kid: &str, terms: &Terms) -> Result<i32> {
    let texts = [
        ("key id", Some(kid)),
        ("tenant claim", Some(terms.tenant_claim.as_str())),
        ("issuer", terms.issuer.as_deref()),
        ("audience", terms.audience.as_deref()),
    ];
    for (what, text) in texts {
        let is_wrong = |text: &str| text.chars().count() > MAX_CHARS || text.chars().any(char::is_control);
        if text.is_some_and(is_wrong) {
            let reason = "it has at most 255 characters, and no control characters".to_owned();
            return Err(Error::InvalidArgument { what, reason });
        }
    }
    if terms.tenant_claim.is_empty() {
        return Err(Error::InvalidArgument { what: "tenant claim", reason: "it is empty".into() });
    }
    let out_of_range = || Error::InvalidArgument { what: "leeway", reason: "it is between 0 and 1 hour".into() };
    jwt_keys::leeway_seconds(terms.leeway)?.ok_or_else(out_of_range)
}

fn refused(what: &'static str, unusable: Unusable) -> Error {
    Error::InvalidArgument { what, reason: unusable.0.into() }
}

fn log(event: &'static str, kid: &str, detail: serde_json::Value) -> Result<()> {
    event::write(Event { event, object: Some(kid.to_owned()), detail: Some(detail), ..Event::default() })
}
