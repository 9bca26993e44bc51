//! The form in which `tenancy.tenant_id` is reported to the client, for poolers that track settings.
//!
//! A pooler keeps what was reported while a client acted, and sets the connection to it when the client comes again. PgBouncer
//! (`apply_var` in its varcache.c, as of 1.26) does so only if the two values differ in more than the case of ASCII letters, and if
//! what it sets has at most 127 bytes with its quotes; else the client would act for the one before it. So a key with capital letters is
//! reported with these written in another way, which no key can be taken for, and a long one as something that names
//! nobody: where another client came between, it is refused, and told to use the id. What a client itself set, SHOW gives as it was set.

use crate::tenant::{UNREPORTED, parse_uuid};
use sha2::{Digest, Sha256};
use std::fmt::{self, Write};

/// No key begins with a space.
const KEY: &str = " ~";

/// The longest form, in bytes: with quotes and the end of the text it still fits a buffer of 128.
const MAX_BYTES: usize = 120;

/// A form, with the end that C wants.
pub type Form = [u8; MAX_BYTES + 1];

pub const NOTHING: Form = [0; MAX_BYTES + 1];

/// The form of a tenant's name; that of a key which is too long is a digest. Can't fail.
pub fn form(name: &str) -> Form {
    let mut writer = Writer { form: NOTHING, length: 0 };
    if write(&mut writer, name).is_err() {
        writer = Writer { form: NOTHING, length: 0 };
        // A digest is shorter than a form may be.
        let _ = write!(writer, "{UNREPORTED}{:x}", Sha256::digest(name));
    }
    writer.form
}

fn write(writer: &mut Writer, name: &str) -> fmt::Result {
    if name.is_empty() || is_unnamed(name) {
        return writer.write_str(name);
    }
    // Each spelling of an id names the same tenant.
    if let Some(id) = parse_uuid(name) {
        return write!(writer, "{id}");
    }
    if name.bytes().all(is_plain) {
        return writer.write_str(name);
    }
    writer.write_str(KEY)?;
    name.bytes().try_for_each(|byte| {
        if is_plain(byte) { writer.write_char(byte.into()) } else { write!(writer, "^{byte:02x}") }
    })
}

/// Neither a capital letter, nor quoted in a way of its own, nor what others are written with.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii() && !byte.is_ascii_uppercase() && !byte.is_ascii_control() && !b"'\\^".contains(&byte)
}

/// The name of which this is the form, letter by letter; `None` for what is none.
pub fn name(text: &str) -> Option<String> {
    let mut bytes = text.strip_prefix(KEY)?.bytes();
    let mut name = Vec::new();
    while let Some(byte) = bytes.next() {
        name.push(match byte {
            b'^' => digit(bytes.next()?)? << 4 | digit(bytes.next()?)?,
            _ => byte,
        });
    }
    let name = String::from_utf8(name).ok().filter(|name| !name.contains('\0'))?;
    form(&name).strip_prefix(text.as_bytes()).is_some_and(|rest| rest.first() == Some(&0)).then_some(name)
}

/// Whether this stands for a key that was too long to be reported.
pub fn is_unnamed(form: &str) -> bool {
    form.starts_with(UNREPORTED)
}

fn digit(letter: u8) -> Option<u8> {
    char::from(letter).to_digit(16).and_then(|digit| digit.try_into().ok())
}

/// Writes into a form, and fails where that is full.
struct Writer {
    form: Form,
    length: usize,
}

impl Write for Writer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        // The last byte is the end of the text.
        let place = self.form[..MAX_BYTES].get_mut(self.length..end).ok_or(fmt::Error)?;
        place.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(name: &str) -> String {
        let form = form(name);
        let end = form.iter().position(|&byte| byte == 0).expect("an end");
        String::from_utf8(form[..end].to_vec()).expect("text")
    }

    #[test]
    fn a_short_key_can_be_read() {
        assert_eq!(text(""), "");
        assert_eq!(text("acme"), "acme");
        assert_eq!(text("ACME's"), " ~^41^43^4d^45^27s");
        assert_eq!(text("A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"), "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11");
        assert!(is_unnamed(&text(&"a".repeat(121))) && !is_unnamed(&text(&"a".repeat(120))));
        assert_eq!(text(&text(&"a".repeat(255))), text(&"a".repeat(255)));
        assert_ne!(text(&"a".repeat(255)), text(&"a".repeat(254)));
    }

    #[test]
    fn what_is_no_form_has_no_name() {
        for text in [
            "", "acme", " acme", "~acme", " #1.2.3", " ~", " ~acme", " ~ACME", " ~^4A", " ~^61", " ~^", " ~^4",
            " ~^4g", " ~^ff", " ~^00",
        ] {
            assert_eq!(name(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_form_fits_names_the_same_and_differs_in_more_than_case(key in "[ -~éÉ]{1,60}", other in "[ -~éÉ]{1,60}", bits in any::<u64>()) {
            let twin: String = key.chars().enumerate().map(|(place, c)| {
                if bits >> (place % 64) & 1 == 1 { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() }
            }).collect();
            for pair in [(&key, &twin), (&key, &other)] {
                let forms = (text(pair.0), text(pair.1));
                if pair.0 != pair.1 {
                    prop_assert!(!forms.0.eq_ignore_ascii_case(&forms.1), "{:?} {:?}", pair, forms);
                }
            }
            let form = text(&key);
            prop_assert!(form.len() <= MAX_BYTES && !form.contains(['\'', '\\']));
            prop_assert!(is_unnamed(&form) || form == key || name(&form).as_ref() == Some(&key));
        }
    }
}
