//! Values for made-up rows, as SQL expressions. Pure: what is tried for a column, the likeliest first.

use crate::catalog::planting::{Column, Source};
use crate::sql;

const RANDOM: &str = "pg_catalog.md5(pg_catalog.random()::pg_catalog.text)";

/// The next ways to make a row differ from the one before.
pub const VARIANTS: usize = 4;

/// Values that a column of this type takes, those first that its conditions name.
pub fn stock(column: &Column, hints: &[String]) -> Vec<String> {
    let mut values: Vec<String> = column.labels.iter().map(|label| sql::literal(label)).collect();
    for hint in column.hints.iter().chain(hints) {
        for value in named(hint, column.category == 'S') {
            if column.category == 'D' {
                let day = |sign| {
                    format!("{value}::pg_catalog.timestamptz OPERATOR(pg_catalog.{sign}) '1 day'::pg_catalog.interval")
                };
                values.extend([value.clone(), day("-"), day("+")]);
            } else {
                values.push(value);
            }
        }
    }
    values.extend(usual(column).iter().map(|value| (*value).to_owned()));
    let mut seen = std::collections::HashSet::new();
    values.retain(|value| seen.insert(value.clone()));
    values
}

/// A value that is likely not there yet; `None` for types of which there are too few values.
pub fn fresh(column: &Column, variant: usize) -> Option<String> {
    let number = |top: &str, base: &str| {
        format!(
            "pg_catalog.floor(pg_catalog.random() OPERATOR(pg_catalog.*) {top}::pg_catalog.float8) \
             OPERATOR(pg_catalog.+) {base}::pg_catalog.float8"
        )
    };
    let top = if column.base == "int2" { "30000" } else { "2000000000" };
    let later = "(pg_catalog.random() OPERATOR(pg_catalog.*) '30000 days'::pg_catalog.interval)".to_owned();
    Some(match (column.category, column.base.as_str()) {
        ('N', _) => match variant % 3 {
            0 => number(top, "1"),
            1 => number("90", "10"),
            _ => number(top, &format!("-{top}")),
        },
        ('S', _) => match variant {
            0 => RANDOM.to_owned(),
            1 => format!("{RANDOM} OPERATOR(pg_catalog.||) '@example.com'"),
            2 => format!("({})::pg_catalog.int8::pg_catalog.text", number("1000000000", "1")),
            _ => format!("pg_catalog.upper(pg_catalog.substr({RANDOM}, 1, 6))"),
        },
        ('D', _) => {
            let sign = if variant.is_multiple_of(2) { "+" } else { "-" };
            format!("pg_catalog.now() OPERATOR(pg_catalog.{sign}) {later}")
        }
        ('T', _) => later,
        (_, "uuid") => "pg_catalog.gen_random_uuid()".into(),
        (_, "bytea") => format!("pg_catalog.decode({RANDOM}, 'hex')"),
        (_, "json" | "jsonb") => format!("pg_catalog.to_jsonb({RANDOM})"),
        ('I', "inet") => {
            format!("'10.0.0.0'::pg_catalog.inet OPERATOR(pg_catalog.+) ({})::pg_catalog.int8", number("16000000", "1"))
        }
        ('R', "int4range" | "int8range" | "numrange") => format!(
            "(SELECT pg_catalog.format('[%s,%s)', n, n OPERATOR(pg_catalog.+) 1) \
             FROM (SELECT ({})::pg_catalog.int8 AS n) AS drawn)",
            number("2000000000", "1")
        ),
        ('R', "daterange" | "tsrange" | "tstzrange") => format!(
            "(SELECT pg_catalog.format('[%s,%s)', d, d OPERATOR(pg_catalog.+) 1) \
             FROM (SELECT (pg_catalog.now() OPERATOR(pg_catalog.+) {later})::pg_catalog.date AS d) AS drawn)"
        ),
        _ => return None,
    })
}

/// Whether a row can do without a value of its own in the column.
pub fn is_optional(column: &Column) -> bool {
    match column.source {
        Source::Sequence => false,
        Source::Default => true,
        Source::None => !column.required && !column.in_global_key,
    }
}

fn usual(column: &Column) -> &'static [&'static str] {
    match (column.category, column.base.as_str()) {
        ('N', _) => &["1", "0", "100", "-1", "0.5", "10", "1000000"],
        ('S', _) => &["'a'", "'A'", "'1'", "'a@example.com'", "'https://example.com/'", "'en'", "'12345678'", "''"],
        ('D', _) => &[
            "pg_catalog.now()",
            "pg_catalog.now() OPERATOR(pg_catalog.-) '1 day'::pg_catalog.interval",
            "pg_catalog.now() OPERATOR(pg_catalog.+) '1 day'::pg_catalog.interval",
        ],
        ('T', _) => &["'1 day'", "'0'"],
        ('B', _) => &["true", "false"],
        ('A', _) => &["'{}'", "'{1}'", "'{a}'"],
        ('I', _) => &["'127.0.0.1'"],
        ('R', _) => &["'[1,2)'", "'[2026-01-01,2026-01-02)'", "'empty'", "'{}'"],
        ('G', _) => &["'(0,0)'", "'(0,0),(1,1)'", "'((0,0),(1,1),(1,0))'", "'<(0,0),1>'", "'{1,1,1}'"],
        ('V', _) => &["'0'", "'1'"],
        ('C', _) => &["'()'", "'(,)'", "'(,,)'", "'(,,,)'", "'(,,,,)'"],
        (_, "uuid") => &["pg_catalog.gen_random_uuid()"],
        (_, "json" | "jsonb") => &["'{}'", "'[]'", "'1'"],
        (_, "xml") => &["'<a/>'"],
        (_, "macaddr" | "macaddr8") => &["'08:00:2b:01:02:03'"],
        (_, "pg_lsn") => &["'0/0'"],
        _ => &["'a'", "'1'", "''"],
    }
}

/// Constants that stand in a condition, with their neighbours; for texts also some as long as its numbers say.
fn named(condition: &str, of_text: bool) -> Vec<String> {
    let mut values = Vec::new();
    let mut rest = condition;
    while let Some(start) = rest.find('\'') {
        let (before, quoted) = rest.split_at(start);
        values.extend(numbers(before, of_text));
        let mut end = 1;
        loop {
            let Some(next) = quoted[end..].find('\'') else { return values };
            end += next + 1;
            if !quoted[end..].starts_with('\'') {
                break;
            }
            end += 1;
        }
        let constant = &quoted[..end];
        values.push(if before.ends_with(['E', 'e']) { format!("E{constant}") } else { constant.to_owned() });
        if of_text {
            // Within a pattern.
            values.extend(numbers(constant, of_text));
        }
        rest = &quoted[end..];
    }
    values.extend(numbers(rest, of_text));
    values
}

fn numbers(text: &str, of_text: bool) -> Vec<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '.');
    let found = words.filter(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    found
        .flat_map(|word| match word.parse::<i64>() {
            Ok(length @ 1..=64) if of_text => {
                ["a", "A", "1"].map(|letter| sql::literal(&letter.repeat(length as usize))).to_vec()
            }
            Ok(number) => [Some(number), number.checked_add(1), number.checked_sub(1)]
                .into_iter()
                .flatten()
                .map(|number| number.to_string())
                .collect(),
            Err(_) => word.parse::<f64>().map(|_| vec![word.to_owned()]).unwrap_or_default(),
        })
        .collect()
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::sql::Ident;

    pub fn column(name: &str, base: &str, category: char) -> Column {
        Column {
            ident: Ident::quoted(name.into()),
            type_name: base.into(),
            base: base.into(),
            category,
            is_tenant: false,
            required: true,
            generated: false,
            source: Source::None,
            in_global_key: false,
            checks: vec![],
            hints: vec![],
            labels: vec![],
            is_domain: false,
        }
    }

    #[test]
    fn what_a_condition_names_is_tried_first() {
        let mut status = column("status", "text", 'S');
        status.hints = vec!["(status = ANY (ARRAY['open'::text, 'it''s'::text]))".into()];
        assert_eq!(stock(&status, &[])[..2], ["'open'", "'it''s'"]);
        let mut quantity = column("quantity", "int4", 'N');
        quantity.hints = vec!["(quantity > 5)".into()];
        assert_eq!(stock(&quantity, &[])[..3], ["5", "6", "4"]);
        let at = column("at", "date", 'D');
        let bounds = "((at IS NOT NULL) AND (at >= '2026-01-01'::date))".to_owned();
        assert_eq!(stock(&at, &[bounds])[0], "'2026-01-01'");
    }

    #[test]
    fn a_pattern_s_length_makes_a_text() {
        let mut currency = column("currency", "text", 'S');
        currency.hints = vec!["(currency ~ '^[A-Z]{3}$'::text)".into()];
        assert!(stock(&currency, &[]).contains(&"'AAA'".to_owned()));
    }

    #[test]
    fn an_enum_s_labels_are_its_values() {
        let mut mood = column("mood", "mood", 'E');
        mood.labels = vec!["so\\so".into()];
        assert_eq!(stock(&mood, &[])[0], "E'so\\\\so'");
    }

    #[test]
    fn constants_with_escapes_and_open_quotes_are_read_to_their_end() {
        assert_eq!(named("a = E'x\\\\y'::text", false), ["E'x\\\\y'"]);
        assert!(named("a = 'open", false).is_empty());
        assert!(named("", false).is_empty());
    }

    #[test]
    fn a_row_can_do_without_what_has_a_default_or_may_be_null() {
        let mut a = column("a", "text", 'S');
        assert!(!is_optional(&a));
        a.source = Source::Default;
        assert!(is_optional(&a));
        a.source = Source::Sequence;
        assert!(!is_optional(&a));
        a = Column { required: false, source: Source::None, ..a };
        assert!(is_optional(&a));
        a.in_global_key = true;
        assert!(!is_optional(&a));
    }

    #[test]
    fn there_are_fresh_values_where_there_are_many() {
        for (base, category) in [("int2", 'N'), ("text", 'S'), ("date", 'D'), ("uuid", 'U'), ("tstzrange", 'R')] {
            for variant in 0..VARIANTS {
                assert!(fresh(&column("c", base, category), variant).is_some(), "{base} {variant}");
            }
        }
        assert_eq!(fresh(&column("c", "bool", 'B'), 0), None);
    }
}
