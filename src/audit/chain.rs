//! What a seal is made of, and where a log differs from it. Pure, but for SHA-256.

use crate::catalog::audit_chain::{Content, Entry};
use crate::error::{Error, Result};
use crate::sys::{Oid, digest};

/// So many entries at most are under one link.
pub const CHUNK: usize = 50_000;

/// An id, and the first bytes of a hash.
const MARK: usize = 12;

fn sha256(bytes: &[u8]) -> Result<Vec<u8>> {
    digest::sha256(bytes).ok_or(Error::NotInstalled)
}

/// What seals these entries, which are of one month and in order.
pub fn seal(month: Option<&str>, entries: &[Entry]) -> Result<Content> {
    Ok(Content {
        month: month.map(str::to_owned),
        entries: entries.len() as i64,
        digest: sha256(&entries.iter().flat_map(|entry| entry.hash.iter().copied()).collect::<Vec<u8>>())?,
        marks: entries.iter().flat_map(mark).collect(),
        tables: sha256(&groups(entries))?,
    })
}

fn mark(entry: &Entry) -> [u8; MARK] {
    let mut mark = [0; MARK];
    mark[..8].copy_from_slice(&entry.id.to_be_bytes());
    let length = entry.hash.len().min(4);
    mark[8..8 + length].copy_from_slice(&entry.hash[..length]);
    mark
}

/// For each entry, which of the tables it is of, in the order in which they come up: the same after a restore, which
/// gives tables other numbers. A table that was dropped keeps its number there, which may be another table's by then: so
/// the name counts as well.
fn groups(entries: &[Entry]) -> Vec<u8> {
    let mut tables: Vec<(Oid, &str)> = Vec::new();
    let mut groups = Vec::with_capacity(entries.len() * 4);
    for entry in entries {
        let of = (entry.table, entry.table_name.as_str());
        let place = tables.iter().position(|table| *table == of).unwrap_or_else(|| {
            tables.push(of);
            tables.len() - 1
        });
        groups.extend((place as u32).to_be_bytes());
    }
    groups
}

/// What is wrong with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Changed(i64),
    Missing(i64),
    Added(i64),
    /// All entries are there, but what is said of them together is not so.
    Sealed(i64),
}

impl Fault {
    /// The id of the entry.
    pub fn id(self) -> i64 {
        match self {
            Self::Changed(id) | Self::Missing(id) | Self::Added(id) | Self::Sealed(id) => id,
        }
    }

    /// As a sentence.
    pub fn describe(self, month: &str) -> String {
        match self {
            Self::Changed(id) => format!("Entry {id} of {month} was changed after it was sealed."),
            Self::Missing(id) => format!("Entry {id} of {month} was removed after it was sealed."),
            Self::Added(id) => format!("Entry {id} of {month} was added after its transaction was sealed."),
            Self::Sealed(id) => format!("The seal over entries of {month} from {id} on does not match them."),
        }
    }
}

/// The first entry that differs from what was sealed.
pub fn first_fault(sealed: &Content, entries: &[Entry]) -> Result<Option<Fault>> {
    let found = seal(sealed.month.as_deref(), entries)?;
    if found == *sealed {
        return Ok(None);
    }
    let first = entries.first().map_or(0, |entry| entry.id);
    Ok(Some(compare(&sealed.marks, &found.marks).unwrap_or(Fault::Sealed(first))))
}

fn id_of(mark: &[u8]) -> i64 {
    mark.first_chunk().map_or(0, |bytes| i64::from_be_bytes(*bytes))
}

/// Where one sequence of marks first differs from another.
fn compare(sealed: &[u8], found: &[u8]) -> Option<Fault> {
    let count = |marks: &[u8], id: i64| marks.chunks_exact(MARK).filter(|mark| id_of(mark) == id).count();
    let is_fewer = |id: i64| count(found, id) < count(sealed, id);
    let is_more = |id: i64| count(found, id) > count(sealed, id);
    let (mut left, mut right) = (sealed.chunks_exact(MARK), found.chunks_exact(MARK));
    loop {
        return match (left.next(), right.next()) {
            (None, None) => None,
            (Some(one), Some(other)) if one == other => continue,
            (Some(one), Some(other)) if id_of(one) == id_of(other) => Some(Fault::Changed(id_of(one))),
            (Some(one), _) if is_fewer(id_of(one)) => Some(Fault::Missing(id_of(one))),
            (_, Some(other)) if is_more(id_of(other)) => Some(Fault::Added(id_of(other))),
            // In another place: its transaction was changed.
            (Some(one), _) => Some(Fault::Changed(id_of(one))),
            (None, Some(other)) => Some(Fault::Added(id_of(other))),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn marks(entries: &[(i64, u8)]) -> Vec<u8> {
        entries
            .iter()
            .flat_map(|(id, hash)| {
                let (month, table_name) = (String::new(), String::new());
                mark(&Entry { id: *id, month, table: Oid::from(1), table_name, hash: vec![*hash; 32] })
            })
            .collect()
    }

    #[test]
    fn the_first_difference_is_found() {
        let sealed = marks(&[(1, 1), (2, 2), (3, 3)]);
        for (found, fault) in [
            (vec![(1, 1), (2, 2), (3, 3)], None),
            (vec![(1, 1), (2, 9), (3, 3)], Some(Fault::Changed(2))),
            (vec![(1, 1), (3, 3)], Some(Fault::Missing(2))),
            (vec![(1, 1), (2, 2)], Some(Fault::Missing(3))),
            (vec![(1, 1), (7, 7), (2, 2), (3, 3)], Some(Fault::Added(7))),
            (vec![(1, 1), (2, 2), (3, 3), (4, 4)], Some(Fault::Added(4))),
            (vec![(1, 1), (1, 1), (2, 2), (3, 3)], Some(Fault::Added(1))),
            (vec![(2, 2), (1, 1), (3, 3)], Some(Fault::Changed(1))),
            (vec![], Some(Fault::Missing(1))),
        ] {
            assert_eq!(compare(&sealed, &marks(&found)), fault, "{found:?}");
        }
    }

    #[test]
    fn tables_are_told_apart_whatever_their_numbers() {
        let entries = |tables: &[(u32, &str)]| -> Vec<Entry> {
            let entry = |(table, name): &(u32, &str)| Entry {
                id: 1,
                month: String::new(),
                table: Oid::from(*table),
                table_name: (*name).to_owned(),
                hash: Vec::new(),
            };
            tables.iter().map(entry).collect()
        };
        let sealed = groups(&entries(&[(5, "a"), (7, "b"), (5, "a")]));
        assert_eq!(sealed, groups(&entries(&[(70, "a"), (50, "b"), (70, "a")])));
        assert_ne!(sealed, groups(&entries(&[(5, "a"), (7, "b"), (7, "a")])));
        // One of them was dropped, and its number given to the other one.
        assert_eq!(sealed, groups(&entries(&[(7, "a"), (7, "b"), (7, "a")])));
        // Dropped, and made again by the same name.
        assert_ne!(groups(&entries(&[(5, "a"), (7, "a")])), groups(&entries(&[(5, "a"), (5, "a")])));
    }

    proptest! {
        #[test]
        fn no_single_change_passes(
            entries in prop::collection::btree_map(1..1000i64, 1..255u8, 1..30), place in any::<prop::sample::Index>(), what in 0..3u8,
        ) {
            let entries: Vec<(i64, u8)> = entries.into_iter().collect();
            let mut found = entries.clone();
            let place = place.index(found.len());
            let expected = match what {
                0 => { found[place].1 = 0; Fault::Changed(found[place].0) }
                1 => Fault::Missing(found.remove(place).0),
                _ => { found.insert(place, (5000, 1)); Fault::Added(5000) }
            };
            prop_assert_eq!(compare(&marks(&entries), &marks(&found)), Some(expected));
            prop_assert_eq!(compare(&marks(&entries), &marks(&entries)), None);
        }
    }
}
