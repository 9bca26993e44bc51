//! What a tenant can be called: its id, or its key. Pure; parsed once at the border.

use crate::jwt;
use uuid::Uuid;

/// The longest key, in characters.
pub const MAX_KEY_CHARS: usize = 255;

/// How what stands for a key that is too long to be reported to a pooler begins; no key does.
pub const UNREPORTED: &str = " #";

/// Why a text names no tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

/// The name by which other systems know a tenant: 1 to 255 characters, no control characters,
/// no space at either end.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TenantKey(String);

impl TenantKey {
    /// Checks the rules of a key; a key that reads as a UUID is left to the caller.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        if text.is_empty() {
            return Err(Malformed("a key must not be empty"));
        }
        if text.chars().count() > MAX_KEY_CHARS {
            return Err(Malformed("a key has at most 255 characters"));
        }
        if text.chars().any(char::is_control) {
            return Err(Malformed("a key must not contain control characters"));
        }
        if text.trim().len() != text.len() {
            return Err(Malformed("a key must not begin or end with a space"));
        }
        Ok(Self(text.to_owned()))
    }

    /// A key that the registry holds already.
    pub fn stored(text: String) -> Self {
        Self(text)
    }

    /// The key's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key as a number, when it is written in canonical decimal form (`42`, `-7`; not `042`, `+1`).
    pub fn number(&self) -> Option<i64> {
        let number: i64 = self.0.parse().ok()?;
        (number.to_string() == self.0).then_some(number)
    }
}

/// A tenant as somebody names it. A text that reads as a UUID is always an id, never a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TenantRef {
    Id(Uuid),
    Key(TenantKey),
}

impl TenantRef {
    /// Reads an id or a key. A token is neither: who gives one here has mistaken the function, and would have it repeated to
    /// him, and to the log, as the name of a tenant.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        match parse_uuid(text) {
            Some(id) => Ok(Self::Id(id)),
            None if jwt::is_in(text.as_bytes()) => Err(Malformed("a token is none; tenancy.authenticate() takes it")),
            None if text.starts_with(UNREPORTED) => {
                Err(Malformed("the key is too long for the pooler that tracks it; name the tenant by its id"))
            }
            None => TenantKey::parse(text).map(Self::Key),
        }
    }

    /// Whether a tenant with this id can be registered under that key.
    pub fn is_key(text: &str, id: Option<Uuid>) -> bool {
        match Self::parse(text) {
            Ok(Self::Key(_)) => true,
            Ok(Self::Id(own)) => id == Some(own) && text == own.to_string(),
            Err(_) => false,
        }
    }

    /// Whether this names the tenant that has the given id and key.
    pub fn names(&self, id: Uuid, key: &TenantKey) -> bool {
        match self {
            Self::Id(own) => *own == id,
            Self::Key(own) => own == key,
        }
    }
}

/// Reads a UUID in every form that PostgreSQL's `uuid_in` takes: any case, optional braces,
/// and a hyphen after any group of four digits.
pub fn parse_uuid(text: &str) -> Option<Uuid> {
    let inner = match text.strip_prefix('{') {
        Some(rest) => rest.strip_suffix('}')?,
        None => text,
    };
    let mut digits = String::with_capacity(32);
    let mut after_hyphen = true;
    for c in inner.chars() {
        match c {
            '-' if !after_hyphen && digits.len().is_multiple_of(4) && digits.len() < 32 => {
                after_hyphen = true;
            }
            c if c.is_ascii_hexdigit() && digits.len() < 32 => {
                digits.push(c);
                after_hyphen = false;
            }
            _ => return None,
        }
    }
    if after_hyphen || digits.len() != 32 {
        return None;
    }
    Uuid::try_parse(&digits).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: &str = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";

    #[test]
    fn every_spelling_of_a_uuid_is_the_same_id() {
        for spelling in [
            ID,
            "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
            "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}",
            "a0eebc999c0b4ef8bb6d6bb9bd380a11",
            "a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11",
        ] {
            assert_eq!(parse_uuid(spelling), Uuid::try_parse(ID).ok(), "{spelling}");
        }
    }

    #[test]
    fn what_uuid_in_refuses_is_not_an_id() {
        for text in [
            "",
            "acme",
            "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}",
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11-",
            "a0eebc99--9c0b-4ef8-bb6d-6bb9bd380a11",
            "-a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
            "a0e-ebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1",
            "urn:uuid:a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        ] {
            assert_eq!(parse_uuid(text), None, "{text}");
        }
    }

    #[test]
    fn keys_obey_their_rules() {
        assert!(TenantKey::parse("acme").is_ok());
        assert!(TenantKey::parse("Zoë & Söhne").is_ok());
        assert!(TenantKey::parse(&"ä".repeat(255)).is_ok());
        assert!(TenantKey::parse(&"a".repeat(256)).is_err());
        for text in ["", " acme", "acme ", "a\tb", "a\u{85}b", "\u{a0}acme"] {
            assert!(TenantKey::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn only_canonical_decimals_are_numbers() {
        let number = |text| TenantKey::parse(text).ok().and_then(|key| key.number());
        assert_eq!(number("42"), Some(42));
        assert_eq!(number("0"), Some(0));
        assert_eq!(number("-7"), Some(-7));
        assert_eq!(number("9223372036854775807"), Some(i64::MAX));
        for text in ["042", "+1", "-0", "1.0", "9223372036854775808", "acme", "1 2"] {
            assert_eq!(number(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in ".*") {
            let _ = TenantRef::parse(&text);
        }

        #[test]
        fn a_canonical_uuid_is_always_an_id(bytes: [u8; 16]) {
            let id = Uuid::from_bytes(bytes);
            prop_assert_eq!(TenantRef::parse(&id.to_string()), Ok(TenantRef::Id(id)));
        }
    }
}
