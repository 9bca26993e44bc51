//! Row filters of publications, as `pg_get_expr()` writes them: what they compare a column with.

use super::Ident;

/// The value, when being equal to it is all that a filter asks of the column; rows where it is null may pass too, as those of
/// nobody do.
pub fn only_value(filter: &str, column: &Ident) -> Option<String> {
    let mut rest = Rest(filter);
    let or_null = rest.eat(&format!("(({column} IS NULL) OR "));
    let mut values = rest.comparison(column)?;
    let is_all = (!or_null || rest.eat(")")) && rest.0.is_empty() && values.len() == 1;
    if is_all { values.pop() } else { None }
}

/// Every value that a filter names for the column, by `=` or `IN`, whatever else it asks.
pub fn values(filter: &str, column: &Ident) -> Vec<String> {
    read(filter, column).0
}

/// The values that a filter compares the column with, and what is left of it without these comparisons.
fn read(filter: &str, column: &Ident) -> (Vec<String>, String) {
    let (mut found, mut left) = (Vec::new(), String::new());
    let mut rest = Rest(filter);
    while !rest.0.is_empty() {
        let mut ahead = rest;
        if let Some(values) = ahead.comparison(column) {
            found.extend(values);
            rest = ahead;
        } else {
            // What looks like a comparison within a constant or a name is none.
            left.push_str(rest.step());
        }
    }
    (found, left)
}

/// Whether a filter may ask for a value of the column: it names it, or asks something of the column that is not understood here,
/// and the value occurs in it.
pub fn may_name(filter: &str, column: &Ident, value: &str) -> bool {
    let (named, left) = read(filter, column);
    if named.iter().any(|named| named == value) {
        return true;
    }
    // Within constants quotes are doubled, and in those of arrays they may be escaped besides.
    let occurs = |value: &str| words(&left, value) || words(&left, &value.replace('\'', "''"));
    words(&left, &column.to_string()) && (occurs(value) || occurs(&value.replace('\\', "\\\\").replace('"', "\\\"")))
}

/// Whether what a filter compares is what passes: nothing is turned round.
pub fn is_plain(filter: &str) -> bool {
    let mut rest = Rest(filter);
    let mut outside = String::new();
    // Of a constant or a name no more than its quote.
    while let Some(c) = rest.step().chars().next() {
        outside.push(c);
    }
    !["NOT", "CASE"].iter().any(|turning| words(&outside, turning))
}

/// Whether a text has this in it, as no part of a longer word or number.
fn words(text: &str, wanted: &str) -> bool {
    let is_part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    text.match_indices(wanted).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + wanted.len()..]);
        !(is_part(before.chars().next_back()) && is_part(wanted.chars().next())
            || is_part(after.chars().next()) && is_part(wanted.chars().next_back()))
    })
}

/// What is not read yet.
#[derive(Clone, Copy)]
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    /// The next letter, or a whole constant or quoted name; empty at the end.
    fn step(&mut self) -> &'a str {
        let before = self.0;
        let Some(c) = before.chars().next() else { return "" };
        self.0 = &before[c.len_utf8()..];
        if c == '\'' || c == '"' {
            self.quoted(c);
        }
        &before[..before.len() - self.0.len()]
    }

    fn eat(&mut self, text: &str) -> bool {
        let after = self.0.strip_prefix(text);
        self.0 = after.unwrap_or(self.0);
        after.is_some()
    }

    /// `(column = constant)` or `(column = ANY (ARRAY[constant, …]))`; `varchar` is compared as `text`. After anything else
    /// the rest is of no use.
    fn comparison(&mut self, column: &Ident) -> Option<Vec<String>> {
        if !self.eat(&format!("({column} = ")) && !self.eat(&format!("(({column})::text = ")) {
            return None;
        }
        let values = if self.eat("ANY (") {
            let mut values = Vec::new();
            let mut mark = "ARRAY[";
            while self.eat(mark) {
                values.push(self.constant()?);
                mark = ", ";
            }
            (self.eat("]") && self.eat(")")).then_some(values)?
        } else {
            vec![self.constant()?]
        };
        self.eat(")").then_some(values)
    }

    /// A constant of any type, perhaps cast.
    fn constant(&mut self) -> Option<String> {
        let mut open = 0;
        while self.eat("(") {
            open += 1;
        }
        let value = if self.eat("'") {
            self.quoted('\'')
        } else {
            let end = self.0.find(|c: char| !c.is_ascii_digit()).filter(|end| *end > 0)?;
            let (number, rest) = self.0.split_at(end);
            self.0 = rest;
            number.to_owned()
        };
        loop {
            if self.eat("::") {
                self.0 = self.0.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == ' ');
            } else if open > 0 && self.eat(")") {
                open -= 1;
            } else {
                return (open == 0).then_some(value);
            }
        }
    }

    /// What stands up to the closing quote, which is doubled within.
    fn quoted(&mut self, quote: char) -> String {
        let mut text = String::new();
        while let Some((before, after)) = self.0.split_once(quote) {
            text.push_str(before);
            self.0 = after;
            if !after.starts_with(quote) {
                return text;
            }
            text.push(quote);
            self.0 = &after[quote.len_utf8()..];
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn column(name: &str) -> Ident {
        Ident::quoted(name.into())
    }

    fn only(filter: &str) -> Option<String> {
        only_value(filter, &column("tenant_id"))
    }

    fn all(filter: &str) -> Vec<String> {
        values(filter, &column("tenant_id"))
    }

    #[test]
    fn a_filter_by_one_value_is_read_in_every_type_of_a_tenant_column() {
        for (filter, value) in [
            ("(tenant_id = 'acme'::text)", "acme"),
            ("((tenant_id)::text = 'acme'::text)", "acme"),
            ("(tenant_id = 'aaaaaaaa-0000-4000-8000-000000000001'::uuid)", "aaaaaaaa-0000-4000-8000-000000000001"),
            ("(tenant_id = '101'::bigint)", "101"),
            ("(tenant_id = 42)", "42"),
            ("(tenant_id = ('-5'::integer)::bigint)", "-5"),
            ("(tenant_id = 'o''neil''s'::text)", "o'neil's"),
            ("((tenant_id IS NULL) OR (tenant_id = 'acme'::text))", "acme"),
            ("((tenant_id IS NULL) OR ((tenant_id)::text = 'acme'::text))", "acme"),
        ] {
            assert_eq!(only(filter).as_deref(), Some(value), "{filter}");
            assert_eq!(all(filter), [value], "{filter}");
        }
        let quoted = column("\"tenant's id\"");
        assert_eq!(only_value("(\"tenant's id\" = 'a'::text)", &quoted).as_deref(), Some("a"));
        assert_eq!(values("((id > 1) AND (\"tenant's id\" = 'a'::text))", &quoted), ["a"]);
    }

    #[test]
    fn what_asks_more_or_less_is_not_by_one_value_alone_and_still_names_it() {
        for (filter, named) in [
            ("((tenant_id = 'acme'::text) AND (id > 7))", &["acme"][..]),
            ("((tenant_id = 'acme'::text) OR (tenant_id = 'globex'::text))", &["acme", "globex"]),
            ("(tenant_id = ANY (ARRAY['acme'::text, 'globex'::text]))", &["acme", "globex"]),
            ("((tenant_id)::text = ANY (ARRAY['a'::text, 'b'::text]))", &["a", "b"]),
            ("(tenant_id = ANY (ARRAY[(1)::bigint, (2)::bigint]))", &["1", "2"]),
            ("(tenant_id = ANY (ARRAY[1, 2]))", &["1", "2"]),
        ] {
            assert_eq!(only(filter), None, "{filter}");
            assert_eq!(all(filter), named, "{filter}");
        }
    }

    #[test]
    fn other_columns_and_other_comparisons_name_nobody() {
        for filter in [
            "",
            "(tenant_id <> 'acme'::text)",
            "(tenant_id > 'acme'::text)",
            "(tenant_id = other)",
            "(tenant_id = ANY (ARRAY[other]))",
            "(tenant_id = ",
            "(tenant_id = 'acme",
            "(tenant_id = ('acme'::text",
            "(my_tenant_id = 'acme'::text)",
            "(tenant_id IS NULL)",
            "(note = '(tenant_id = ''acme''::text)'::text)",
            "(\"(tenant_id = 'acme'::text)\" = 'x'::text)",
        ] {
            assert_eq!(only(filter), None, "{filter}");
            assert_eq!(all(filter), Vec::<String>::new(), "{filter}");
        }
    }

    #[test]
    fn what_is_not_understood_may_name_who_occurs_in_it() {
        let may = |filter: &str, value: &str| may_name(filter, &column("tenant_id"), value);
        for filter in [
            "(tenant_id = 'acme'::text)",
            "(tenant_id = ANY ('{acme,globex}'::text[]))",
            "('acme'::text = tenant_id)",
            "(NOT (tenant_id IS DISTINCT FROM 'acme'::text))",
            "((tenant_id)::text = 'acme'::character varying(50))",
            "(((tenant_id COLLATE \"C\")) = 'acme'::text)",
            "((tenant_id = 'globex'::text) OR (tenant_id >= 'acme'::text))",
        ] {
            assert!(may(filter, "acme"), "{filter}");
            assert!(!may(filter, "acm") && !may(filter, "initech"), "{filter}");
        }
        assert!(may("((tenant_id)::numeric = 42.0)", "42") && !may("((tenant_id)::numeric = 142.0)", "42"));
        assert!(may("(tenant_id = ANY ('{\"o''neil\",x}'::text[]))", "o'neil"));
        assert!(may(r#"(tenant_id = ANY ('{"a \"b\" c"}'::text[]))"#, r#"a "b" c"#));
        assert!(!may("(note = 'acme'::text)", "acme"));
        assert!(!may("((tenant_id = 'globex'::text) AND (note = 'acme'::text))", "acme"));
    }

    #[test]
    fn what_turns_a_comparison_round_is_seen() {
        for (filter, plain) in [
            ("((tenant_id = 'NOT'::text) AND (\"CASE\" = 1) AND (notes = 2))", true),
            ("(NOT (tenant_id = 'acme'::text))", false),
            ("CASE WHEN (tenant_id = 'acme'::text) THEN false ELSE true END", false),
            ("(tenant_id IS NOT NULL)", false),
        ] {
            assert_eq!(is_plain(filter), plain, "{filter}");
        }
    }

    proptest! {
        #[test]
        fn any_key_is_read_as_it_was(key in "\\PC{1,40}") {
            let filter = format!("(tenant_id = '{}'::text)", key.replace('\'', "''"));
            prop_assert_eq!(only(&filter), Some(key));
        }

        #[test]
        fn any_text_is_read_to_its_end(text in "([(]tenant_id = |'|\"|[(]|[)]|ANY [(]|ARRAY\\[|::text|\\PC){0,12}") {
            all(&text);
            only(&text);
            is_plain(&text);
            may_name(&text, &column("tenant_id"), "x");
        }
    }
}
