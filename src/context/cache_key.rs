//! Keys for caches that all tenants share.

use super::set;
use crate::error::{Error, Result};
use std::fmt::Write;

/// `tenant:<id>:<part>:…` for the tenant in force. Different parts give different keys.
///
/// # Errors
/// 42501 without a tenant; 22023 when a part is null; otherwise as for `resolve`.
pub fn cache_key(parts: &[Option<String>]) -> Result<String> {
    let tenant = set::require()?;
    let mut key = format!("tenant:{tenant}");
    for part in parts {
        let part = part.as_ref().ok_or(Error::NullArgument("a part of a cache key"))?;
        key.push(':');
        escape(part, &mut key);
    }
    Ok(key)
}

/// Percent-encoding of all but RFC 3986's unreserved characters: no cache trips over what is left.
fn escape(part: &str, key: &mut String) {
    for byte in part.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            key.push(char::from(byte));
        } else {
            // Writing to a text can't fail.
            let _ = write!(key, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::escape;
    use proptest::prelude::*;

    fn escaped(part: &str) -> String {
        let mut key = String::new();
        escape(part, &mut key);
        key
    }

    #[test]
    fn what_separates_or_escapes_is_escaped() {
        assert_eq!(escaped("user-1.a_b~"), "user-1.a_b~");
        assert_eq!(escaped("a:b%c d\n/ä"), "a%3Ab%25c%20d%0A%2F%C3%A4");
        assert_eq!(escaped(""), "");
    }

    proptest! {
        #[test]
        fn different_parts_stay_different(one in ".*", other in ".*") {
            prop_assert_eq!(one == other, escaped(&one) == escaped(&other));
            prop_assert!(escaped(&one).bytes().all(|byte| byte.is_ascii_graphic() && byte != b':'));
        }
    }
}
