//! Reads what is declared in the sources: literals and names, nothing more of the language than that.

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    Name(String),
    Literal(String),
    Mark(char),
}

/// Names, string literals as they are meant, and marks; without comments.
pub fn tokens(source: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = source.chars().peekable();
    while let Some(next) = rest.next() {
        match next {
            '/' if rest.peek() == Some(&'/') => while rest.next().is_some_and(|c| c != '\n') {},
            '"' => {
                let mut literal = String::new();
                while let Some(c) = rest.next().filter(|c| *c != '"') {
                    match c {
                        '\\' => match rest.next() {
                            Some('\n') => while rest.next_if(|c| c.is_whitespace()).is_some() {},
                            Some(escaped) => literal.push(escaped),
                            None => {}
                        },
                        _ => literal.push(c),
                    }
                }
                tokens.push(Token::Literal(literal));
            }
            c if c.is_alphabetic() || c == '_' => {
                let mut name = String::from(c);
                while let Some(c) = rest.next_if(|c| c.is_alphanumeric() || *c == '_') {
                    name.push(c);
                }
                tokens.push(Token::Name(name));
            }
            c if c.is_whitespace() => {}
            c => tokens.push(Token::Mark(c)),
        }
    }
    tokens
}

/// The doctor's codes, each with its severity in lower case.
pub fn doctor_codes(source: &str) -> Vec<(String, String)> {
    let tokens = tokens(source);
    let calls = tokens.windows(5).filter_map(|window| match window {
        [Token::Name(function), Token::Mark('('), Token::Literal(code), Token::Mark(','), Token::Name(severity)]
            if function == "code" =>
        {
            Some((code.clone(), severity.to_lowercase()))
        }
        _ => None,
    });
    calls.collect()
}

#[test]
fn what_is_declared_is_read() {
    let source = "// \"no\"\nconst A: B = [code(\"X_Y\", High, \"It's \\\"so\\\", \\\n   or not.\")];";
    assert_eq!(doctor_codes(source), [("X_Y".to_owned(), "high".to_owned())]);
    assert!(tokens(source).contains(&Token::Literal("It's \"so\", or not.".into())));
}
