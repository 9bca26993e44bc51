//! The page of errors.

use std::collections::BTreeMap;

use crate::read;
use crate::source::{Token, tokens};

/// PostgreSQL's name of a condition, and its SQLSTATE.
const STATES: [(&str, &str); 23] = [
    ("FEATURE_NOT_SUPPORTED", "0A000"),
    ("NUMERIC_VALUE_OUT_OF_RANGE", "22003"),
    ("INVALID_PARAMETER_VALUE", "22023"),
    ("NOT_NULL_VIOLATION", "23502"),
    ("FOREIGN_KEY_VIOLATION", "23503"),
    ("READ_ONLY_SQL_TRANSACTION", "25006"),
    ("NO_ACTIVE_SQL_TRANSACTION", "25P01"),
    ("INVALID_AUTHORIZATION_SPECIFICATION", "28000"),
    ("DEPENDENT_OBJECTS_STILL_EXIST", "2BP01"),
    ("INVALID_SCHEMA_NAME", "3F000"),
    ("INSUFFICIENT_PRIVILEGE", "42501"),
    ("DUPLICATE_COLUMN", "42701"),
    ("UNDEFINED_COLUMN", "42703"),
    ("UNDEFINED_OBJECT", "42704"),
    ("DUPLICATE_OBJECT", "42710"),
    ("DATATYPE_MISMATCH", "42804"),
    ("WRONG_OBJECT_TYPE", "42809"),
    ("UNDEFINED_TABLE", "42P01"),
    ("CONFIGURATION_LIMIT_EXCEEDED", "53400"),
    ("PROGRAM_LIMIT_EXCEEDED", "54000"),
    ("OBJECT_NOT_IN_PREREQUISITE_STATE", "55000"),
    ("CANT_CHANGE_RUNTIME_PARAM", "55P02"),
    ("INTERNAL_ERROR", "XX000"),
];

pub fn page() -> String {
    let mut by_state: BTreeMap<&str, Vec<(String, String)>> = BTreeMap::new();
    for source in ["src/error.rs", "src/error/lifecycle.rs"] {
        for (state, message, hint) in errors(&read(source)) {
            by_state.entry(state).or_default().push((message, hint));
        }
    }
    let mut page = String::from(
        "<!-- Written by `make reference` from src/error.rs, not by hand. -->\n\n\
         # Errors\n\n\
         Every error that the extension raises itself, by SQLSTATE, with its HINT where it is always the same. `…` stands for what the error is about. Programs go by\n\
         the SQLSTATE: messages may change. What is unknown and what is forbidden have one message, and so have all the ways in which a\n\
         token or an invitation is worth nothing. PostgreSQL's own errors pass on as they are, among them 40001 where a gapless number\n\
         was drawn meanwhile, under REPEATABLE READ or SERIALIZABLE, and 23514 for rows of the registry that no function would have written.\n",
    );
    for (name, state) in STATES {
        let Some(errors) = by_state.get(state) else { continue };
        page.push_str(&format!("\n## {state}\n\n`{}`\n\n| message | hint |\n|---|---|\n", name.to_lowercase()));
        for (message, hint) in errors {
            page.push_str(&format!("| {} | {} |\n", crate::cell(message), crate::cell(hint)));
        }
    }
    page
}

/// SQLSTATE, message and hint of each.
fn errors(source: &str) -> Vec<(&'static str, String, String)> {
    let tokens = tokens(source);
    let messages = messages(&tokens);
    let known = |token: &Token| match token {
        Token::Name(name) => messages.iter().any(|(variant, _)| variant == name).then(|| name.clone()),
        _ => None,
    };
    let states = states(body(&tokens, "sqlstate"), &known);
    let hints = hints(body(&tokens, "hint"), &known);
    let described = messages.iter().map(|(variant, message)| {
        let state = states.get(variant).unwrap_or_else(|| panic!("{variant} has no SQLSTATE"));
        (*state, message.clone(), hints.get(variant).cloned().unwrap_or_default())
    });
    described.collect()
}

/// Variants with their messages, in order.
fn messages(tokens: &[Token]) -> Vec<(String, String)> {
    let mut messages = Vec::new();
    for (at, window) in tokens.windows(3).enumerate() {
        let [Token::Name(error), Token::Mark('('), Token::Literal(message)] = window else { continue };
        if error != "error" {
            continue;
        }
        // The next name after the attribute's end.
        let end = tokens[at..].iter().position(|token| *token == Token::Mark(']')).unwrap_or_default();
        if let Some(Token::Name(variant)) = tokens.get(at + end + 1) {
            messages.push((variant.clone(), without_values(message)));
        }
    }
    messages
}

/// From the function's name to the end of its body.
fn body<'t>(tokens: &'t [Token], name: &str) -> &'t [Token] {
    let function = [Token::Name("fn".into()), Token::Name(name.into())];
    let start = tokens.windows(2).position(|window| window == function).unwrap_or_else(|| panic!("no fn {name}"));
    let mut depth = 0;
    let end = tokens[start..].iter().position(|token| {
        match token {
            Token::Mark('{') => depth += 1,
            Token::Mark('}') => depth -= 1,
            _ => return false,
        }
        depth == 0
    });
    &tokens[start..start + end.unwrap_or_default()]
}

fn states(body: &[Token], known: &impl Fn(&Token) -> Option<String>) -> BTreeMap<String, &'static str> {
    let mut states = BTreeMap::new();
    let mut variants = Vec::new();
    for token in body {
        if let Some(variant) = known(token) {
            variants.push(variant);
        } else if let Token::Name(name) = token
            && let Some(condition) = name.strip_prefix("ERRCODE_")
        {
            let state = STATES.iter().find(|(name, _)| *name == condition);
            let (_, state) = state.unwrap_or_else(|| panic!("{name} is missing from the list"));
            states.extend(variants.drain(..).map(|variant| (variant, *state)));
        }
    }
    states
}

/// What arms of the shape `A | B => "…"` say; others depend on what the error is about.
fn hints(body: &[Token], known: &impl Fn(&Token) -> Option<String>) -> BTreeMap<String, String> {
    let mut hints: BTreeMap<String, String> = BTreeMap::new();
    let mut variants = Vec::new();
    let mut rest = body;
    while let Some((token, others)) = rest.split_first() {
        if let Some(variant) = known(token) {
            variants.push(variant);
        } else if matches!(token, Token::Literal(_)) {
            // A pattern for some of its values only, or an expression that names one.
            variants.clear();
        } else if let [Token::Mark('='), Token::Mark('>'), ..] = rest {
            let expression = &rest[2..];
            let skipped = usize::from(expression.first() == Some(&Token::Mark('{')));
            if let Some(Token::Literal(hint)) = expression.get(skipped) {
                for variant in variants.drain(..) {
                    hints.entry(variant).or_insert_with(|| hint.clone());
                }
            }
            variants.clear();
        }
        rest = others;
    }
    hints
}

/// A message with `…` for its values.
fn without_values(message: &str) -> String {
    let mut text = String::new();
    let mut rest = message;
    while let Some((before, after)) = rest.split_once('{') {
        text.push_str(before);
        text.push('…');
        rest = after.split_once('}').map_or("", |(_, after)| after);
    }
    text + rest
}

#[test]
fn errors_are_read() {
    let source = "enum E {
        #[error(\"tenant \\\"{tenant}\\\" is {status}\")] NotActive { tenant: String },
        #[error(\"no {0}\")] No(u8),
    }
    fn sqlstate(&self) { match self { NotActive { .. } => P::ERRCODE_UNDEFINED_OBJECT, No(_) => { P::ERRCODE_DUPLICATE_OBJECT } } }
    fn hint(&self) { match self { NotActive { .. } => { \"Wait.\".into() } No(n) => format!(\"{n}\") } }";
    let expected =
        [("42704", "tenant \"…\" is …".to_owned(), "Wait.".to_owned()), ("42710", "no …".to_owned(), String::new())];
    assert_eq!(errors(source), expected);
}
