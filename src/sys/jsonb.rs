//! Writing `jsonb` objects whose keys are known beforehand, in the form in which PostgreSQL stores them
//! (`src/include/utils/jsonb.h`). What all objects of one kind have in common, their keys, is made once.

/// An entry's type, in the bits that PostgreSQL gives it.
const IS_STRING: u32 = 0;
const IS_NUMERIC: u32 = 0x1000_0000;
const IS_FALSE: u32 = 0x2000_0000;
const IS_TRUE: u32 = 0x3000_0000;
const IS_NULL: u32 = 0x4000_0000;
const IS_CONTAINER: u32 = 0x5000_0000;
/// An entry holds the end of its data instead of the length.
const HAS_OFFSET: u32 = 0x8000_0000;
const LENGTH: u32 = 0x0fff_ffff;
const TYPE: u32 = 0x7000_0000;

const IS_OBJECT: u32 = 0x2000_0000;
const IS_ARRAY: u32 = 0x4000_0000;
const IS_SCALAR: u32 = 0x1000_0000;

/// Every so many entries one has an offset.
const STRIDE: usize = 32;
const WORD: usize = 4;

/// A value of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    Null,
    Bool(bool),
    String(&'a [u8]),
    /// A `numeric` with its four-byte header.
    Numeric(&'a [u8]),
    /// The root container of another `jsonb`.
    Container(&'a [u8]),
}

/// Objects with the same keys.
#[derive(Debug, Clone)]
pub struct Template {
    /// How many keys there are.
    count: usize,
    /// What comes before the values' data: container header, entries with room for the values', the keys.
    head: Vec<u8>,
    keys_length: usize,
}

/// The order in which PostgreSQL keeps keys: the shorter first.
pub fn in_order(one: &str, other: &str) -> std::cmp::Ordering {
    one.len().cmp(&other.len()).then_with(|| one.as_bytes().cmp(other.as_bytes()))
}

impl Template {
    /// For these keys, which are in order.
    pub fn new(keys: &[&str]) -> Self {
        let count = keys.len();
        let mut head = Vec::new();
        head.extend((count as u32 | IS_OBJECT).to_ne_bytes());
        let mut keys_length = 0;
        for (place, key) in keys.iter().enumerate() {
            keys_length += key.len();
            head.extend(entry(place, IS_STRING, key.len(), keys_length).to_ne_bytes());
        }
        head.resize(head.len() + count * WORD, 0);
        keys.iter().for_each(|key| head.extend(key.as_bytes()));
        Self { count, head, keys_length }
    }

    /// Begins an object at the end of `out`, which has a length that is a multiple of four. One value for each key
    /// follows, in order.
    pub fn begin<'a>(&self, out: &'a mut Vec<u8>) -> Writer<'a> {
        let start = out.len();
        out.extend(&self.head);
        let total = self.keys_length;
        Writer { out, start, count: self.count, place: 0, total, was_null: false }
    }
}

/// An object that is being written.
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    count: usize,
    place: usize,
    /// The length of all data so far.
    total: usize,
    was_null: bool,
}

impl Writer<'_> {
    /// Writes the next value.
    pub fn push(&mut self, value: Value<'_>) {
        self.was_null = value == Value::Null;
        let before = self.out.len();
        let kind = match value {
            Value::Null => IS_NULL,
            Value::Bool(false) => IS_FALSE,
            Value::Bool(true) => IS_TRUE,
            Value::String(bytes) => {
                self.out.extend_from_slice(bytes);
                IS_STRING
            }
            Value::Numeric(bytes) => {
                self.pad();
                self.out.extend_from_slice(bytes);
                IS_NUMERIC
            }
            Value::Container(bytes) => {
                self.pad();
                self.out.extend_from_slice(bytes);
                IS_CONTAINER
            }
        };
        let length = self.out.len() - before;
        self.total += length;
        let place = self.count + self.place;
        let at = self.start + (1 + place) * WORD;
        self.out[at..at + WORD].copy_from_slice(&entry(place, kind, length, self.total).to_ne_bytes());
        self.place += 1;
    }

    /// Whether the value that was written last is JSON's null.
    pub fn was_null(&self) -> bool {
        self.was_null
    }

    /// Whether the object is one that PostgreSQL can hold.
    pub fn fits(&self) -> bool {
        self.total <= LENGTH as usize
    }

    fn pad(&mut self) {
        self.out.resize(self.out.len().next_multiple_of(WORD), 0);
    }
}

/// The root container of an array of strings.
pub fn strings(strings: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend((strings.len() as u32 | IS_ARRAY).to_ne_bytes());
    let mut end = 0;
    for (place, string) in strings.iter().enumerate() {
        end += string.len();
        out.extend(entry(place, IS_STRING, string.len(), end).to_ne_bytes());
    }
    strings.iter().for_each(|string| out.extend(string.as_bytes()));
    out
}

fn entry(place: usize, kind: u32, length: usize, end: usize) -> u32 {
    if place.is_multiple_of(STRIDE) {
        kind | (end as u32 & LENGTH) | HAS_OFFSET
    } else {
        kind | (length as u32 & LENGTH)
    }
}

/// What a root container holds, as a value to be put into another: a scalar is wrapped in one.
pub fn value(root: &[u8]) -> Value<'_> {
    let word =
        |at: usize| root.get(at..at + WORD).map(|bytes| u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
    match (word(0), word(WORD)) {
        (Some(header), Some(entry)) if header & IS_SCALAR != 0 => {
            let data = root.get(2 * WORD..2 * WORD + (entry & LENGTH) as usize).unwrap_or_default();
            match entry & TYPE {
                IS_NUMERIC => Value::Numeric(data),
                IS_FALSE => Value::Bool(false),
                IS_TRUE => Value::Bool(true),
                IS_NULL => Value::Null,
                _ => Value::String(data),
            }
        }
        _ => Value::Container(root),
    }
}

/// What is in a container, keys of an object included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element<'a> {
    Key(&'a [u8]),
    Null,
    Bool(bool),
    String(&'a [u8]),
    /// A `numeric` with its four-byte header.
    Numeric(&'a [u8]),
    Container(&'a [u8]),
}

/// What is in a container, in the order in which it is stored: all keys of an object before its values. Ends where
/// the bytes are none of a container.
pub fn elements(root: &[u8]) -> impl Iterator<Item = Element<'_>> {
    let word = move |at: usize| {
        root.get(at..at + WORD).map(|bytes| u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    };
    let header = word(0).unwrap_or(0);
    let count = (header & LENGTH) as usize;
    let keys = if header & IS_OBJECT != 0 { count } else { 0 };
    let data = WORD + (count + keys) * WORD;
    let mut end = 0;
    (0..count + keys).map_while(move |place| {
        let entry = word(WORD + place * WORD)?;
        let start = end;
        end = if entry & HAS_OFFSET != 0 { 0 } else { start } + (entry & LENGTH) as usize;
        let aligned = || root.get(data + start.next_multiple_of(WORD)..data + end);
        Some(match entry & TYPE {
            IS_STRING if place < keys => Element::Key(root.get(data + start..data + end)?),
            IS_STRING => Element::String(root.get(data + start..data + end)?),
            IS_NUMERIC => Element::Numeric(aligned()?),
            IS_FALSE => Element::Bool(false),
            IS_TRUE => Element::Bool(true),
            IS_CONTAINER => Element::Container(aligned()?),
            _ => Element::Null,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(bytes: &[u8]) -> Vec<u32> {
        bytes.chunks_exact(4).map(|word| u32::from_ne_bytes([word[0], word[1], word[2], word[3]])).collect()
    }

    #[test]
    fn entries_lie_where_postgresql_looks_for_them() {
        let template = Template::new(&["a", "bc"]);
        let mut out = Vec::new();
        let mut object = template.begin(&mut out);
        object.push(Value::String(b"xyz"));
        object.push(Value::Numeric(&[1, 2, 3, 4]));
        assert!(object.fits());
        assert_eq!(words(&out)[..5], [IS_OBJECT | 2, HAS_OFFSET | 1, 2, 3, IS_NUMERIC | 6]);
        assert_eq!(out[20..], *b"abcxyz\0\0\x01\x02\x03\x04");
    }

    #[test]
    fn every_thirty_second_entry_has_an_offset() {
        let names: Vec<String> = (10..50).map(|number| format!("c{number}")).collect();
        let keys: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut out = Vec::new();
        let template = Template::new(&keys);
        let mut object = template.begin(&mut out);
        keys.iter().for_each(|_| object.push(Value::Bool(true)));
        let entries = &words(&out)[1..81];
        for (place, entry) in entries.iter().enumerate() {
            assert_eq!(entry & HAS_OFFSET != 0, place % 32 == 0, "{place}");
        }
        assert_eq!(entries[32] & LENGTH, 33 * 3);
        assert_eq!(entries[64], IS_TRUE | HAS_OFFSET | 120);
    }

    #[test]
    fn an_array_of_strings_is_read() {
        let read: Vec<Vec<u8>> = elements(&strings(&["a", "", "bc"]))
            .filter_map(|element| match element {
                Element::String(bytes) => Some(bytes.to_vec()),
                _ => None,
            })
            .collect();
        assert_eq!(read, [b"a".to_vec(), Vec::new(), b"bc".to_vec()]);
    }

    #[test]
    fn a_scalar_is_taken_out_of_its_wrapping() {
        let wrapped = |entry: u32, data: &[u8]| -> Vec<u8> {
            let head = [1 | IS_SCALAR | 0x4000_0000, entry | HAS_OFFSET | data.len() as u32];
            head.iter().flat_map(|word| word.to_ne_bytes()).chain(data.iter().copied()).collect()
        };
        assert_eq!(value(&wrapped(IS_STRING, b"ab")), Value::String(b"ab"));
        assert_eq!(value(&wrapped(IS_TRUE, b"")), Value::Bool(true));
        assert_eq!(value(&wrapped(IS_NULL, b"")), Value::Null);
        let object = Template::new(&[]).head;
        assert_eq!(value(&object), Value::Container(&object));
    }

    #[test]
    fn what_was_written_is_read() {
        let names: Vec<String> = (10..50).map(|number| format!("c{number}")).collect();
        let keys: Vec<&str> = names.iter().map(String::as_str).collect();
        let inner = Template::new(&[]).head;
        let mut out = Vec::new();
        let template = Template::new(&keys);
        let mut object = template.begin(&mut out);
        let values =
            [Value::String(b"abc"), Value::Numeric(&[1, 2, 3, 4, 5, 6]), Value::Container(&inner), Value::Null];
        (0..keys.len()).for_each(|place| object.push(values[place % values.len()]));
        let read: Vec<Element<'_>> = elements(&out).collect();
        assert_eq!(read.len(), 80);
        for (place, key) in keys.iter().enumerate() {
            assert_eq!(read[place], Element::Key(key.as_bytes()));
            let expected = match values[place % values.len()] {
                Value::String(bytes) => Element::String(bytes),
                Value::Numeric(bytes) => Element::Numeric(bytes),
                Value::Container(bytes) => Element::Container(bytes),
                _ => Element::Null,
            };
            assert_eq!(read[keys.len() + place], expected);
        }
    }

    #[test]
    fn shorter_keys_come_first() {
        let mut keys = ["b", "aa", "a", "é"];
        keys.sort_by(|one, other| in_order(one, other));
        assert_eq!(keys, ["a", "b", "aa", "é"]);
    }
}
