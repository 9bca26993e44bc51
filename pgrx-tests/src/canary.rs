//! Marks that tell whose something is, wherever it turns up: in a row, in an error, in what a COPY sends.

/// Comes before the digits.
const MARK: &str = "canary:";
const DIGITS: usize = 16;

/// What all that belongs to one tenant bears.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Canary(String);

/// What was found in some bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sighting {
    /// How often the own canary was there.
    pub own: u64,
    /// Canaries of others.
    pub strangers: Vec<String>,
}

impl Canary {
    #[must_use]
    pub fn new(number: u64) -> Self {
        Self(format!("{MARK}{number:0DIGITS$x}"))
    }

    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }
}

/// Looks through bytes for canaries; all of them are strangers to who acts for nobody.
#[must_use]
pub fn sight(own: Option<&Canary>, bytes: &[u8]) -> Sighting {
    let mut sighting = Sighting::default();
    let own = own.map(|canary| canary.text().as_bytes());
    let mut rest = bytes;
    while let Some(place) = find(rest, MARK.as_bytes()) {
        let end = rest.len().min(place + MARK.len() + DIGITS);
        let found = &rest[place..end];
        if Some(found) == own {
            sighting.own += 1;
        } else {
            sighting.strangers.push(String::from_utf8_lossy(found).into_owned());
        }
        rest = &rest[place + MARK.len()..];
    }
    sighting
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    let first = wanted[0];
    let mut start = 0;
    while let Some(next) = bytes[start..].iter().position(|byte| *byte == first) {
        start += next;
        if bytes[start..].starts_with(wanted) {
            return Some(start);
        }
        start += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_canary_is_seen_and_told_from_the_own() {
        let (mine, other) = (Canary::new(7), Canary::new(u64::MAX));
        let bytes = format!("x{}\0{}ca{}{}", mine.text(), other.text(), mine.text(), other.text());
        let sighting = sight(Some(&mine), bytes.as_bytes());
        assert_eq!(sighting, Sighting { own: 2, strangers: vec![other.text().into(), other.text().into()] });
        assert_eq!(sight(None, bytes.as_bytes()).strangers.len(), 4);
        assert_eq!(sight(Some(&mine), b"nothing"), Sighting::default());
    }

    #[test]
    fn a_part_of_one_is_a_stranger() {
        let mine = Canary::new(7);
        assert_eq!(sight(Some(&mine), b"canary:000000").strangers, ["canary:000000"]);
    }
}
