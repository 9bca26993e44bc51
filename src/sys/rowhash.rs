//! Numbers for row keys, by which rows are found: equal keys have equal numbers, and keys that follow each other, as
//! those from a sequence or of time do, have numbers that do as well, so that an index over them grows in few places.
//!
//! The numbers are stored: what is computed here can't change any more.

use crate::sys::jsonb::{Element, elements};

/// Integers beyond the first count as if they stood so many bits further left.
const SHIFT: u32 = 20;
/// So many integers keep their order.
const ORDERED: u32 = 3;

/// The number of a key, given by the root container of its `jsonb`.
pub fn row_hash(root: &[u8]) -> i64 {
    let mut hasher = Hasher::default();
    let mut local = 0_i64;
    let mut integers = 0;
    for element in elements(root) {
        match element {
            Element::Numeric(numeric) => match integer(numeric) {
                Some(number) if integers < ORDERED => {
                    local = local.wrapping_add(number.wrapping_shl(integers * SHIFT));
                    integers += 1;
                    hasher.feed(b"i");
                }
                _ => hasher.numeric(numeric),
            },
            Element::String(text) => match uuid_halves(text) {
                Some((high, low)) => {
                    local = local.wrapping_add(high as i64);
                    hasher.feed(&low.to_be_bytes());
                }
                None => hasher.text(text),
            },
            other => hasher.element(other),
        }
    }
    hasher.finish().cast_signed().wrapping_add(local)
}

/// An integer that fits.
fn integer(numeric: &[u8]) -> Option<i64> {
    let (is_negative, weight, digits) = parts(numeric)?;
    let mut sum = 0_i64;
    for place in 0..=usize::try_from(weight).ok()? {
        sum = sum.checked_mul(10_000)?.checked_add(i64::from(digit(digits, place)))?;
    }
    let whole = usize::try_from(weight).ok()? + 1;
    let is_whole = (whole..digits.len() / 2).all(|place| digit(digits, place) == 0);
    is_whole.then_some(if is_negative { -sum } else { sum })
}

fn digit(digits: &[u8], place: usize) -> i16 {
    digits.get(place * 2..place * 2 + 2).map_or(0, |digit| i16::from_ne_bytes([digit[0], digit[1]]))
}

/// Sign, the first digit's power of 10,000, and the digits of a `numeric` with a four-byte header. Zero has none.
fn parts(numeric: &[u8]) -> Option<(bool, i32, &[u8])> {
    let header = numeric.get(4..6).map(|bytes| u16::from_ne_bytes([bytes[0], bytes[1]]))?;
    let (is_negative, weight, digits) = if header & 0x8000 != 0 {
        let weight = i32::from(header & 0x3f) | if header & 0x40 != 0 { !0x3f } else { 0 };
        (header & 0x2000 != 0, weight, numeric.get(6..)?)
    } else {
        let weight = numeric.get(6..8).map(|bytes| i16::from_ne_bytes([bytes[0], bytes[1]]))?;
        (header & 0x4000 != 0, i32::from(weight), numeric.get(8..)?)
    };
    Some(if digits.is_empty() { (false, 0, digits) } else { (is_negative, weight, digits) })
}

/// The two halves of a UUID as PostgreSQL writes it.
fn uuid_halves(text: &[u8]) -> Option<(u64, u64)> {
    if text.len() != uuid::fmt::Hyphenated::LENGTH {
        return None;
    }
    uuid::Uuid::try_parse_ascii(text).ok().map(|id| id.as_u64_pair())
}

/// FNV-1a, whose result is mixed once more.
struct Hasher(u64);

impl Default for Hasher {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher {
    fn feed(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    }

    fn text(&mut self, text: &[u8]) {
        self.feed(b"s");
        self.feed(text);
        self.feed(&[0xff]);
    }

    /// However many zeros it is written with.
    fn numeric(&mut self, numeric: &[u8]) {
        let (is_negative, weight, digits) = parts(numeric).unwrap_or((false, 0, &[]));
        let count = (0..digits.len() / 2).rev().find(|place| digit(digits, *place) != 0).map_or(0, |place| place + 1);
        self.feed(if is_negative { b"-" } else { b"+" });
        self.feed(&weight.to_be_bytes());
        (0..count).for_each(|place| self.feed(&digit(digits, place).to_be_bytes()));
    }

    fn element(&mut self, element: Element<'_>) {
        match element {
            Element::Null => self.feed(b"n"),
            Element::Bool(false) => self.feed(b"f"),
            Element::Bool(true) => self.feed(b"t"),
            Element::Numeric(numeric) => self.numeric(numeric),
            Element::Key(text) | Element::String(text) => self.text(text),
            Element::Container(root) => {
                self.feed(b"(");
                elements(root).for_each(|element| self.element(element));
                self.feed(b")");
            }
        }
    }

    fn finish(self) -> u64 {
        let mixed = (self.0 ^ (self.0 >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^ (mixed >> 29)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::jsonb::{Template, Value};
    use proptest::prelude::*;

    /// A `numeric` with a two-byte header inside, as PostgreSQL makes them of what is not large.
    fn numeric(is_negative: bool, scale: u16, weight: i32, digits: &[i16]) -> Vec<u8> {
        let header = 0x8000 | (u16::from(is_negative) * 0x2000) | (scale << 7) | (weight as u16 & 0x7f);
        let mut bytes = ((6 + digits.len() as u32 * 2) << 2).to_ne_bytes().to_vec();
        bytes.extend(header.to_ne_bytes());
        digits.iter().for_each(|digit| bytes.extend(digit.to_ne_bytes()));
        bytes
    }

    fn of(number: i64) -> Vec<u8> {
        let mut digits = Vec::new();
        let mut rest = number.unsigned_abs();
        while rest > 0 {
            digits.insert(0, (rest % 10_000) as i16);
            rest /= 10_000;
        }
        let weight = digits.len() as i32 - 1;
        while digits.last() == Some(&0) {
            digits.pop();
        }
        numeric(number < 0, 0, weight.max(0), &digits)
    }

    fn key(pairs: &[(&str, Value<'_>)]) -> Vec<u8> {
        let names: Vec<&str> = pairs.iter().map(|(name, _)| *name).collect();
        let template = Template::new(&names);
        let mut out = Vec::new();
        let mut object = template.begin(&mut out);
        pairs.iter().for_each(|(_, value)| object.push(*value));
        out
    }

    const TENANT: &[u8] = b"aaaaaaaa-0000-4000-8000-000000000001";

    fn of_tenant(number: i64) -> i64 {
        row_hash(&key(&[("id", Value::Numeric(&of(number))), ("tenant_id", Value::String(TENANT))]))
    }

    #[test]
    fn numbers_are_what_was_stored() {
        assert_eq!(row_hash(&key(&[("id", Value::Numeric(&of(1)))])), NUMBER_OF_ONE);
        assert_eq!(row_hash(&key(&[("id", Value::String(b"a"))])), NUMBER_OF_A);
    }

    const NUMBER_OF_ONE: i64 = -615_496_630_727_207_324;
    const NUMBER_OF_A: i64 = -7_504_354_284_473_325_182;

    #[test]
    fn zeros_after_the_point_make_no_difference() {
        let hash = |numeric: &[u8]| row_hash(&key(&[("id", Value::Numeric(numeric))]));
        assert_eq!(hash(&numeric(false, 2, 0, &[7, 0])), hash(&of(7)));
        assert_eq!(hash(&numeric(false, 4, 0, &[7, 5000])), hash(&numeric(false, 1, 0, &[7, 5000, 0])));
        assert_ne!(hash(&numeric(false, 1, 0, &[7, 5000])), hash(&numeric(true, 1, 0, &[7, 5000])));
        assert_ne!(hash(&numeric(false, 1, 0, &[7, 5000])), hash(&of(7)));
    }

    #[test]
    fn what_is_no_key_has_a_number_too() {
        assert_ne!(row_hash(&[]), row_hash(&key(&[("id", Value::Null)])));
        assert_ne!(row_hash(&key(&[("id", Value::Bool(true))])), row_hash(&key(&[("id", Value::Null)])));
    }

    proptest! {
        #[test]
        fn integers_are_read_as_they_are(number in any::<i64>()) {
            prop_assume!(number != i64::MIN);
            prop_assert_eq!(integer(&of(number)), Some(number));
        }

        #[test]
        fn keys_that_follow_each_other_have_numbers_that_do(number in -1_000_000..1_000_000_i64) {
            prop_assert_eq!(of_tenant(number).wrapping_add(1), of_tenant(number + 1));
        }

        #[test]
        fn no_bytes_are_too_odd(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            row_hash(&bytes);
        }
    }
}
