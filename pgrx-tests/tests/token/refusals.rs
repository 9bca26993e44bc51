//! Tokens that prove nothing: one answer for all of them, and nothing of the token in it.

use postgres::error::DbError;
use serde_json::{Value, json};
use tenancy_harness::{Session, postgres};

use crate::issuer::{Pair, by_hand, claims, now, of_bytes};
use crate::{READ, Signed, with};

fn said(error: &DbError) -> String {
    format!("{:?}", (error.code().code(), error.message(), error.detail(), error.hint(), error.where_()))
}

/// Tokens with the looks of one, each with what is wrong with it.
fn bad_tokens(signed: &Signed<'_>) -> Vec<(&'static str, String)> {
    let good = claims("acme", "alice");
    let pair = &signed.pair;
    let rsa = Pair::new("RS256", "rsa");
    let strict = Pair::new("HS256", "strict");
    signed.add(&rsa, "");
    signed.add(&strict, ", issuer => 'us', audience => 'db'");
    let stranger = Pair { kid: pair.kid.clone(), ..Pair::new("EdDSA", "") };
    let kid = |kid: &str| json!({"alg": "HS256", "kid": kid});
    let us = |others: Value| with(with(good.clone(), json!({"iss": "us", "aud": "db"})), others);
    let flipped = |at: usize| {
        let token = pair.token(&good);
        let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
        let flip = if parts[at][10..].starts_with('A') { "B" } else { "A" };
        parts[at].replace_range(10..11, flip);
        parts.join(".")
    };
    let swapped = {
        let (mine, other) = (pair.token(&good), pair.token(&claims("globex", "alice")));
        let part = |token: &str, at: usize| token.split('.').nth(at).unwrap().to_owned();
        format!("{}.{}.{}", part(&mine, 0), part(&other, 1), part(&mine, 2))
    };
    let without = |claim: &str| {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().remove(claim);
        claims
    };
    vec![
        ("alg none", by_hand(&json!({"alg": "none", "kid": pair.kid}), &good, None)),
        ("alg none with a signature", by_hand(&json!({"alg": "none", "kid": pair.kid}), &good, Some("x"))),
        ("alg None", by_hand(&json!({"alg": "None", "kid": pair.kid}), &good, None)),
        ("no alg", by_hand(&json!({"kid": pair.kid}), &good, None)),
        ("no signature", by_hand(&json!({"alg": "EdDSA", "kid": pair.kid}), &good, None)),
        ("the public key as a secret", by_hand(&kid("rsa"), &good, Some(&rsa.public))),
        (
            "the public key as a secret, without its last line break",
            by_hand(&kid("rsa"), &good, Some(rsa.public.trim())),
        ),
        ("a public Ed25519 key as a secret", by_hand(&kid(&pair.kid), &good, Some(&pair.public))),
        ("another algorithm's key", rsa.token_with(&json!({"kid": pair.kid}), &good)),
        ("an unknown kid", pair.token_with(&json!({"kid": "nobody"}), &good)),
        ("no kid", pair.token_with(&json!({}), &good)),
        ("a kid that is SQL", pair.token_with(&json!({"kid": "' OR true --"}), &good)),
        ("a kid that is a file", pair.token_with(&json!({"kid": "../../dev/null"}), &good)),
        ("a stranger's key", stranger.token(&good)),
        ("expired", pair.token(&with(good.clone(), json!({"exp": now() - 1})))),
        ("expired long ago", pair.token(&with(good.clone(), json!({"exp": -1})))),
        ("not yet valid", pair.token(&with(good.clone(), json!({"nbf": now() + 60})))),
        ("no exp", pair.token(&without("exp"))),
        ("no tenant", pair.token(&without("tenant_id"))),
        ("another audience", strict.token(&us(json!({"aud": ["web", "mail"]})))),
        ("no audience", strict.token(&with(good.clone(), json!({"iss": "us"})))),
        ("another issuer", strict.token(&us(json!({"iss": "them"})))),
        ("no issuer", strict.token(&with(good.clone(), json!({"aud": "db"})))),
        ("a tampered header", flipped(0)),
        ("a tampered payload", flipped(1)),
        ("a tampered signature", flipped(2)),
        ("the claims of another token", swapped),
        ("a payload that is not UTF-8", of_bytes(&kid("strict"), b"{\"tenant_id\": \"\xff\xfe\"}", &strict.private)),
        ("a payload that is no JSON", of_bytes(&kid("strict"), b"acme", &strict.private)),
        ("a header that is no JSON", format!("AAAA.{}", pair.token(&good).split_once('.').unwrap().1)),
        ("critical extensions", pair.token_with(&json!({"kid": pair.kid, "crit": ["exp"]}), &good)),
    ]
}

#[test]
fn the_same_answer_whatever_is_wrong_and_nothing_of_the_token_in_it() {
    let signed = Signed::new();
    let mut client = signed.connect();
    let mut answers = Vec::new();
    for (what, token) in bad_tokens(&signed) {
        let error = client.query("select tenancy.authenticate($1, false)", &[&token]).expect_err(what);
        let error = error.as_db_error().unwrap_or_else(|| panic!("{what}: {error:?}")).clone();
        assert!(token.split('.').all(|part| part.len() < 4 || !said(&error).contains(part)), "{what}: {error:?}");
        answers.push((what, said(&error)));
        // Set as it is, it comes out at the next use.
        client.run(&format!("set tenancy.token = '{token}'"));
        answers.push((what, said(&client.refuses(READ, "28000"))));
        answers.push((what, said(&client.refuses("select tenancy.require_tenant()", "28000"))));
        client.run("reset tenancy.token");
        assert_eq!(client.texts(READ).len(), 0, "{what}");
    }
    for text in ["", "acme", "a.b", "a.b.c.d", "a b.c.d", "..", "ä.ö.ü"] {
        let error = client.query("select tenancy.authenticate($1, false)", &[&text]).expect_err(text);
        answers.push(("no token", said(error.as_db_error().unwrap())));
    }
    // The HS256 key with an issuer takes tokens that are as it wants them, so the refusals are not of another reason.
    assert!(answers[0].1.contains("28000"), "{answers:#?}");
    for (what, answer) in &answers {
        assert_eq!(*answer, answers[0].1, "{what}");
    }
}

#[test]
fn what_is_right_with_the_strict_key_is_taken() {
    let signed = Signed::new();
    let strict = Pair::new("HS256", "strict");
    signed.add(&strict, ", issuer => 'us', audience => 'db'");
    let mut client = signed.connect();
    for audience in [json!("db"), json!(["web", "db"])] {
        let token = strict.token(&with(claims("acme", "alice"), json!({"iss": "us", "aud": audience})));
        client.query("select tenancy.authenticate($1, false)", &[&token]).expect("a good token");
    }
}

#[test]
fn a_token_of_a_megabyte_is_refused_unread() {
    let signed = Signed::new();
    let long = signed.pair.token(&with(claims("acme", "alice"), json!({"padding": "x".repeat(1 << 20)})));
    let mut client = signed.connect();
    let error = client.query("select tenancy.authenticate($1, false)", &[&long]).expect_err("too long");
    let by_call = said(error.as_db_error().unwrap());
    assert!(by_call.contains("28000") && by_call.len() < 1000);
    let error = client.query("select set_config('tenancy.token', $1, false)", &[&long]).expect_err("too long");
    assert!(error.as_db_error().unwrap().code().code() == "28000");
    let medium = signed.pair.token(&with(claims("acme", "alice"), json!({"padding": "x".repeat(5000)})));
    client.query("select tenancy.authenticate($1, false)", &[&medium]).expect("not so long");
}

#[test]
fn what_does_not_look_like_a_token_is_refused_where_it_is_set() {
    let signed = Signed::new();
    let mut client = signed.connect();
    for text in ["acme", "a.b", "a.b.c.d", "a b.c.d", "a.b=.c", "..", "ä.ö.ü"] {
        let error = client.refuses(&format!("set tenancy.token = '{text}'"), "22023");
        assert!(!format!("{:?}", (error.message(), error.detail(), error.hint())).contains(text), "{error:?}");
        client.refuses(&format!("select set_config('tenancy.token', '{text}', false)"), "22023");
    }
    let options = "-c tenancy.token=acme";
    assert!(signed.world.fixture.try_connect(&signed.role, options).is_err());
}
