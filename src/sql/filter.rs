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
    let mut found = Vec::new();
    let mut rest = Rest(filter);
    while let Some(c) = rest.0.chars().next() {
        let mut ahead = rest;
        if let Some(values) = ahead.comparison(column) {
            found.extend(values);
            rest = ahead;
            continue;
        }
        rest.0 = &rest.0[c.len_utf8()..];
        // What looks like a comparison within a constant or a name is none.
        if c == '\'' || c == '"' {
            rest.quoted(c);
        }
    }
    found
}

/// What is not read yet.
#[derive(Clone, Copy)]
struct Rest<'a>(&'a str);

impl Rest<'_> {
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
        }
    }
}
