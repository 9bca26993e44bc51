//! Settings as a tree: reading, merging, changing. Pure. Values are kept as they are written: no number loses a digit.

use crate::error::{Error, Result};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The longest path, in characters, and the most names in it.
const MAX_PATH_CHARS: usize = 255;
const MAX_NAMES: usize = 16;

/// Objects further down are values like others: they replace each other as a whole. No path leads there.
const MAX_DEPTH: usize = 32;

/// Where a setting stands: the names of the objects that it is in, and its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path(Vec<String>);

impl Path {
    /// Reads a dotted path.
    ///
    /// # Errors
    /// 22023 when it is malformed.
    pub fn parse(text: &str) -> Result<Self> {
        let reason = if text.chars().count() > MAX_PATH_CHARS {
            "it has at most 255 characters"
        } else if text.chars().any(char::is_control) {
            "it must not contain control characters"
        } else if text.split('.').any(str::is_empty) {
            "it is made of names with dots between them"
        } else if text.split('.').count() > MAX_NAMES {
            "it has at most 16 names"
        } else {
            return Ok(Self(text.split('.').map(str::to_owned).collect()));
        };
        Err(Error::InvalidArgument { what: "path", reason: reason.into() })
    }

    /// Whether this is, or leads into, what has that name.
    pub fn is_in(&self, name: &str) -> bool {
        self.split().0 == name
    }

    /// The first name, and the rest.
    fn split(&self) -> (&str, &[String]) {
        self.0.split_first().map_or(("", &[]), |(first, rest)| (first.as_str(), rest))
    }
}

/// An object by its names, or any other value as JSON text.
#[derive(Debug, Clone)]
pub enum Tree {
    Object(BTreeMap<String, Tree>),
    Value(Box<RawValue>),
}

impl Default for Tree {
    fn default() -> Self {
        Self::Object(BTreeMap::new())
    }
}

impl Tree {
    /// Reads JSON text, as PostgreSQL writes it.
    pub fn parse(json: &str) -> Result<Self> {
        Self::parse_within(json, MAX_DEPTH)
    }

    fn parse_within(json: &str, depth: usize) -> Result<Self> {
        let malformed = |error: serde_json::Error| Error::Spi(format!("settings can't be read: {error}"));
        if depth > 0 && json.starts_with('{') {
            let names: BTreeMap<String, Box<RawValue>> = serde_json::from_str(json).map_err(malformed)?;
            let names = names.into_iter().map(|(name, value)| Ok((name, Self::parse_within(value.get(), depth - 1)?)));
            return names.collect::<Result<_>>().map(Self::Object);
        }
        serde_json::from_str(json).map(Self::Value).map_err(malformed)
    }

    /// Puts what is in `over` in place of what is here, object by object.
    pub fn merge(&mut self, over: Self) {
        match (self, over) {
            (Self::Object(names), Self::Object(others)) => {
                for (name, other) in others {
                    match names.get_mut(&name) {
                        Some(value) => value.merge(other),
                        None => {
                            names.insert(name, other);
                        }
                    }
                }
            }
            (here, over) => *here = over,
        }
    }

    /// What stands there.
    #[cfg(test)]
    pub fn get(&self, path: &Path) -> Option<&Self> {
        path.0.iter().try_fold(self, |tree, name| match tree {
            Self::Object(names) => names.get(name),
            Self::Value(_) => None,
        })
    }

    /// What stands under a name of this object.
    pub fn name(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(names) => names.get(name),
            Self::Value(_) => None,
        }
    }

    /// The text of a string, or a number as it is written.
    pub fn scalar(&self) -> Option<String> {
        let Self::Value(value) = self else { return None };
        let begins = value.get().bytes().next()?;
        (begins == b'"' || begins == b'-' || begins.is_ascii_digit()).then(|| self.text())
    }

    /// Puts a value there, and makes the objects that lead to it. Returns whether that changed anything.
    ///
    /// # Errors
    /// 22023 when something on the way is no object.
    pub fn set(&mut self, path: &Path, value: Self) -> Result<bool> {
        let mut tree = self;
        for name in &path.0 {
            let Self::Object(names) = tree else {
                return Err(Error::InvalidArgument {
                    what: "path",
                    reason: format!("\"{name}\" would be within a setting that is no object"),
                });
            };
            tree = names.entry(name.clone()).or_default();
        }
        let changed = tree.to_json() != value.to_json() || matches!(tree, Self::Object(names) if names.is_empty());
        *tree = value;
        Ok(changed)
    }

    /// Takes away what stands there, and the objects that have become empty by that. Returns false when there is nothing.
    pub fn remove(&mut self, path: &Path) -> bool {
        let (first, rest) = path.split();
        self.remove_at(first, rest)
    }

    fn remove_at(&mut self, name: &str, rest: &[String]) -> bool {
        let Self::Object(names) = self else { return false };
        let Some((next, rest)) = rest.split_first() else { return names.remove(name).is_some() };
        let Some(tree) = names.get_mut(name) else { return false };
        let removed = tree.remove_at(next, rest);
        if removed && matches!(tree, Self::Object(names) if names.is_empty()) {
            names.remove(name);
        }
        removed
    }

    /// As JSON text.
    pub fn to_json(&self) -> String {
        let mut json = String::new();
        self.write(&mut json);
        json
    }

    fn write(&self, json: &mut String) {
        match self {
            Self::Value(value) => json.push_str(value.get()),
            Self::Object(names) => {
                for (place, (name, value)) in names.iter().enumerate() {
                    json.push(if place == 0 { '{' } else { ',' });
                    json.push_str(&serde_json::Value::from(name.as_str()).to_string());
                    json.push(':');
                    value.write(json);
                }
                json.push_str(if names.is_empty() { "{}" } else { "}" });
            }
        }
    }

    /// Whether it is null.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Value(value) if value.get() == "null")
    }

    /// The text of a string; of anything else, how JSON writes it.
    pub fn text(&self) -> String {
        match self {
            Self::Value(value) => serde_json::from_str(value.get()).unwrap_or_else(|_| value.get().to_owned()),
            Self::Object(_) => self.to_json(),
        }
    }

    /// The number, when it is a whole one that fits.
    pub fn integer(&self) -> Option<i64> {
        let Self::Value(value) = self else { return None };
        let (whole, fraction) = value.get().split_once('.').unwrap_or((value.get(), ""));
        fraction.bytes().all(|digit| digit == b'0').then(|| whole.parse().ok()).flatten()
    }

    /// The truth value, when it is one.
    pub fn boolean(&self) -> Option<bool> {
        match self {
            Self::Value(value) => value.get().parse().ok(),
            Self::Object(_) => None,
        }
    }
}

/// A tree over another one, as if it were merged into it.
#[derive(Debug, Clone, Copy)]
pub struct Stacked<'a> {
    pub under: &'a Tree,
    pub over: &'a Tree,
}

impl<'a> Stacked<'a> {
    /// What stands there.
    pub fn get(&self, path: &Path) -> Option<Cow<'a, Tree>> {
        self.walk(path.0.iter().map(String::as_str))
    }

    /// What stands under a name.
    pub fn name(&self, name: &str) -> Option<Cow<'a, Tree>> {
        self.walk(std::iter::once(name))
    }

    /// All of it.
    pub fn merged(&self) -> Tree {
        let mut all = self.under.clone();
        all.merge(self.over.clone());
        all
    }

    fn walk<'n>(&self, names: impl Iterator<Item = &'n str>) -> Option<Cow<'a, Tree>> {
        let (mut under, mut over) = (Some(self.under), Some(self.over));
        for name in names {
            // What is no object hides all that is below it.
            if matches!(over, Some(Tree::Value(_))) {
                return None;
            }
            (under, over) = (under.and_then(|tree| tree.name(name)), over.and_then(|tree| tree.name(name)));
        }
        match (under, over) {
            (Some(under @ Tree::Object(_)), Some(over @ Tree::Object(_))) => {
                Some(Cow::Owned(Stacked { under, over }.merged()))
            }
            (under, over) => over.or(under).map(Cow::Borrowed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tree(json: &str) -> Tree {
        Tree::parse(json).unwrap()
    }

    fn path(text: &str) -> Path {
        Path::parse(text).unwrap()
    }

    fn merged(levels: &[&str]) -> String {
        let mut all = Tree::default();
        levels.iter().for_each(|level| all.merge(tree(level)));
        all.to_json()
    }

    #[test]
    fn objects_are_merged_and_everything_else_replaced() {
        assert_eq!(
            merged(&[r#"{"a":{"x":1,"y":2},"b":[1]}"#, r#"{"a":{"y":3},"b":[2]}"#]),
            r#"{"a":{"x":1,"y":3},"b":[2]}"#
        );
        assert_eq!(merged(&[r#"{"a":{"x":1}}"#, r#"{"a":null}"#]), r#"{"a":null}"#);
        assert_eq!(merged(&[r#"{"a":1}"#, r#"{"a":{"x":1}}"#, "{}"]), r#"{"a":{"x":1}}"#);
        assert_eq!(merged(&[]), "{}");
    }

    #[test]
    fn what_is_set_is_found_and_what_is_removed_is_not() {
        let mut all = Tree::default();
        assert_eq!(all.set(&path("a.b.c"), tree("1")), Ok(true));
        assert_eq!(all.set(&path("a.b.c"), tree("1")), Ok(false));
        assert_eq!(all.set(&path("a.d"), tree("{}")), Ok(true));
        assert_eq!(all.to_json(), r#"{"a":{"b":{"c":1},"d":{}}}"#);
        assert_eq!(all.get(&path("a.b")).unwrap().to_json(), r#"{"c":1}"#);
        assert!(all.set(&path("a.b.c.x"), tree("1")).is_err());
        assert!(!all.remove(&path("a.x")) && !all.remove(&path("a.b.c.x")));
        assert!(all.remove(&path("a.b.c")));
        assert_eq!(all.to_json(), r#"{"a":{"d":{}}}"#);
        assert!(all.remove(&path("a")));
        assert_eq!(all.to_json(), "{}");
    }

    #[test]
    fn values_are_read_by_their_type() {
        assert_eq!(tree(r#""a\"b\u00e4""#).text(), "a\"bä");
        assert_eq!((tree("1.50").text().as_str(), tree("[1, 2]").text().as_str()), ("1.50", "[1, 2]"));
        let integer = |json| tree(json).integer();
        assert_eq!(
            [integer("42"), integer("-7.00"), integer("9223372036854775807")],
            [Some(42), Some(-7), Some(i64::MAX)]
        );
        for json in ["1.5", "\"42\"", "9223372036854775808", "true", "null", "{}", "[1]"] {
            assert_eq!(integer(json), None, "{json}");
        }
        assert_eq!(
            [tree("true").boolean(), tree("false").boolean(), tree("\"true\"").boolean()],
            [Some(true), Some(false), None]
        );
        assert!(tree("null").is_null() && !tree("0").is_null());
    }

    #[test]
    fn numbers_keep_their_digits() {
        let json = r#"{"a":0.10000000000000000000000000000000000000001,"b":123456789012345678901234567890}"#;
        assert_eq!(merged(&[json]), json);
    }

    #[test]
    fn depth_is_limited_and_nothing_is_lost() {
        let deep = format!("{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000));
        assert_eq!(merged(&[&deep]), deep);
        assert!(Path::parse(&vec!["a"; 17].join(".")).is_err());
    }

    #[test]
    fn paths_are_dotted_names() {
        for text in ["a", "a.b", "größe.in cm", "a-b.c_d"] {
            assert!(Path::parse(text).is_ok(), "{text}");
        }
        for text in ["", ".", "a.", ".a", "a..b", "a\nb", &"a".repeat(256)] {
            assert!(Path::parse(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn merging_takes_all_that_is_over_and_keeps_the_rest(under in object(), over in object()) {
            let (mut all, over) = (tree(&under), tree(&over));
            all.merge(over.clone());
            assert_over(&all, &over);
            let once = all.to_json();
            all.merge(over);
            prop_assert_eq!(all.to_json(), once);
            let mut same = tree(&under);
            same.merge(Tree::default());
            same.merge(tree(&under));
            prop_assert_eq!(same.to_json(), under);
        }

        #[test]
        fn a_stack_shows_what_merging_makes(under in object(), over in object(), names in prop::collection::vec("[abc]", 1..4)) {
            let (under, over, path) = (tree(&under), tree(&over), path(&names.join(".")));
            let stacked = Stacked { under: &under, over: &over };
            let merged = stacked.merged();
            let json = |tree: &Tree| tree.to_json();
            prop_assert_eq!(stacked.get(&path).as_deref().map(json), merged.get(&path).map(json));
            prop_assert_eq!(stacked.name(&names[0]).as_deref().map(json), merged.name(&names[0]).map(json));
        }
    }

    fn assert_over(all: &Tree, over: &Tree) {
        match (all, over) {
            (Tree::Object(names), Tree::Object(others)) => {
                others.iter().for_each(|(name, other)| assert_over(&names[name], other));
            }
            (one, other) => assert_eq!(one.to_json(), other.to_json()),
        }
    }

    fn object() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("1".to_owned()),
            Just("null".to_owned()),
            Just("\"x\"".to_owned()),
            Just("[1]".to_owned())
        ];
        let value = leaf.prop_recursive(3, 12, 3, |inner| {
            prop::collection::btree_map("[abc]", inner, 0..3).prop_map(|names| {
                let pairs: Vec<String> = names.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
                format!("{{{}}}", pairs.join(","))
            })
        });
        value.prop_filter("an object", |json| json.starts_with('{'))
    }
}
