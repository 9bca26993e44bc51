//! Tokens in compact form: `header.payload.signature`, each in base64url.

use super::key::{Algorithm, Key};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::Value;

/// The longest token, in bytes. HTTP servers take no longer headers, and nobody is to have us look at more.
pub const MAX_BYTES: usize = 8192;

/// The longest subject, in characters: that of a user's id.
const MAX_SUBJECT_CHARS: usize = 255;

const MICROSECONDS: i64 = 1_000_000;

/// What a token says of its signature, before anything is proved.
#[derive(Debug, PartialEq, Eq)]
pub struct Header {
    pub algorithm: Algorithm,
    /// The key that it names; empty where it names none.
    pub kid: String,
}

#[derive(Deserialize)]
struct RawHeader {
    alg: String,
    #[serde(default)]
    kid: String,
    /// What must be understood for the token to be valid: we understand none of it.
    crit: Option<serde::de::IgnoredAny>,
}

/// What a key asks of the tokens that are signed with it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Demands {
    /// The claim that names the tenant; a JSON pointer (RFC 6901) where it begins with a slash.
    pub tenant_claim: String,
    pub issuer: Option<String>,
    pub audience: Option<String>,
}

/// What a token with a good signature says. Times are in microseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    pub tenant: String,
    pub subject: Option<String>,
    pub expires: i64,
    pub not_before: Option<i64>,
}

impl Claims {
    /// Whether they hold at that time, give or take the leeway.
    pub fn hold_at(&self, now: i64, leeway: i64) -> bool {
        now < self.expires.saturating_add(leeway)
            && self.not_before.is_none_or(|begin| begin <= now.saturating_add(leeway))
    }
}

/// Whether the text has the looks of a token.
pub fn is_well_formed(text: &str) -> bool {
    let mut parts = text.split('.');
    let (header, payload, signature) = (parts.next(), parts.next(), parts.next());
    let is_base64url =
        |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    parts.next().is_none()
        && [header, payload].iter().all(|part| part.is_some_and(|part| !part.is_empty() && is_base64url(part)))
        && signature.is_some_and(is_base64url)
}

/// Whether there is a token somewhere in the text: a word that begins with an object in base64url, and goes on after a dot.
pub fn is_in(text: &[u8]) -> bool {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_object = |part: &[u8]| {
        URL_SAFE_NO_PAD.decode(part).is_ok_and(|json| {
            let json = json.trim_ascii();
            json.starts_with(b"{") && json.ends_with(b"}")
        })
    };
    text.split(|byte| !is_part(byte) && *byte != b'.').any(|word| {
        let mut parts = word.split(|byte| *byte == b'.').peekable();
        while let Some(part) = parts.next() {
            if part.len() > 2 && parts.peek().is_some() && is_object(part) {
                return true;
            }
        }
        false
    })
}

/// The header of a token that has the looks of one and whose algorithm is one of ours.
pub fn header(text: &str) -> Option<Header> {
    if text.len() > MAX_BYTES || !is_well_formed(text) {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(text.split('.').next()?).ok()?;
    // serde would take an array for a struct, too.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return None;
    }
    let raw: RawHeader = serde_json::from_slice(&bytes).ok()?;
    let algorithm = Algorithm::parse(&raw.alg)?;
    raw.crit.is_none().then_some(Header { algorithm, kid: raw.kid })
}

/// The claims of a token that is signed with the key and is what the key asks for; the time is not looked at.
pub fn verify(text: &str, header: &Header, key: &Key, demands: &Demands) -> Option<Claims> {
    // The token has no say in how it is verified.
    if header.algorithm != key.algorithm() {
        return None;
    }
    let (message, signature) = text.rsplit_once('.')?;
    if !key.signed(message.as_bytes(), signature) {
        return None;
    }
    let (_, payload) = message.split_once('.')?;
    let payload: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    claims(&payload, demands)
}

fn claims(payload: &Value, demands: &Demands) -> Option<Claims> {
    payload.as_object()?;
    let is_from = demands.issuer.as_ref().is_none_or(|issuer| payload["iss"].as_str() == Some(issuer));
    let is_for = demands.audience.as_ref().is_none_or(|audience| names(&payload["aud"], audience));
    if !is_from || !is_for {
        return None;
    }
    let path = demands.tenant_claim.as_str();
    let tenant = tenant(if path.starts_with('/') { payload.pointer(path) } else { payload.get(path) })?;
    let subject = subject(payload)?;
    let not_before = match payload.get("nbf") {
        None => None,
        Some(time) => Some(microseconds(time)?),
    };
    Some(Claims { tenant, subject, expires: microseconds(payload.get("exp")?)?, not_before })
}

fn tenant(claim: Option<&Value>) -> Option<String> {
    match claim? {
        Value::String(name) if !name.is_empty() => Some(name.clone()),
        // Keys that are numbers.
        Value::Number(number) => Some(number.as_i64()?.to_string()),
        _ => None,
    }
}

/// There may be none; one that can't be a user's id is an error.
fn subject(payload: &Value) -> Option<Option<String>> {
    match payload.get("sub") {
        None | Some(Value::Null) => Some(None),
        Some(Value::String(subject)) if is_identifier(subject) => Some(Some(subject.clone())),
        Some(_) => None,
    }
}

/// Tenant and user in claims that somebody else has verified.
pub fn claimed(payload: &str) -> Option<(String, Option<String>)> {
    let payload: Value = serde_json::from_str(payload).ok()?;
    Some((tenant(payload.get("tenant_id"))?, subject(&payload)?))
}

/// `aud` is one audience or several.
fn names(claim: &Value, audience: &str) -> bool {
    match claim {
        Value::String(one) => one == audience,
        Value::Array(several) => several.iter().any(|one| one.as_str() == Some(audience)),
        _ => false,
    }
}

fn is_identifier(text: &str) -> bool {
    !text.is_empty() && text.chars().count() <= MAX_SUBJECT_CHARS && !text.chars().any(char::is_control)
}

/// A NumericDate: seconds since 1970, with or without a fraction.
fn microseconds(time: &Value) -> Option<i64> {
    let number = time.as_number()?;
    match number.as_i64() {
        Some(seconds) => Some(seconds.saturating_mul(MICROSECONDS)),
        // What is too large for it is far away.
        None => Some((number.as_f64()? * MICROSECONDS as f64) as i64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const SECRET: &str = "a secret of more than thirty-two bytes";

    fn key() -> Key {
        Key::parse(Algorithm::Hs256, SECRET).ok().unwrap()
    }

    fn demands() -> Demands {
        Demands { tenant_claim: "tenant_id".into(), ..Demands::default() }
    }

    fn signed(header: &Value, payload: &[u8]) -> String {
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(payload));
        let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
        let algorithm = jsonwebtoken::Algorithm::HS256;
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, algorithm).unwrap();
        format!("{message}.{signature}")
    }

    fn token(payload: &Value) -> String {
        signed(&json!({"alg": "HS256", "kid": "k"}), payload.to_string().as_bytes())
    }

    fn proved(text: &str) -> Option<Claims> {
        verify(text, &header(text)?, &key(), &demands())
    }

    #[test]
    fn a_good_token_proves_its_claims() {
        let text = token(&json!({"tenant_id": "acme", "sub": "alice", "exp": 100, "nbf": 50.5}));
        assert_eq!(header(&text), Some(Header { algorithm: Algorithm::Hs256, kid: "k".into() }));
        let claims = proved(&text).unwrap();
        assert_eq!((claims.tenant.as_str(), claims.subject.as_deref()), ("acme", Some("alice")));
        assert_eq!((claims.expires, claims.not_before), (100_000_000, Some(50_500_000)));
        assert_eq!(proved(&token(&json!({"tenant_id": 42, "exp": 1}))).unwrap().tenant, "42");
    }

    #[test]
    fn time_counts_on_both_sides_and_so_does_the_leeway() {
        let claims = Claims { tenant: "a".into(), subject: None, expires: 100, not_before: Some(50) };
        let holds = |now, leeway| claims.hold_at(now, leeway);
        assert!(holds(50, 0) && holds(99, 0) && holds(40, 10) && holds(109, 10));
        assert!(!holds(49, 0) && !holds(100, 0) && !holds(39, 10) && !holds(110, 10));
        let forever = Claims { expires: i64::MAX, not_before: None, ..claims };
        assert!(forever.hold_at(i64::MAX - 1, 60));
    }

    #[test]
    fn claims_of_the_wrong_kind_prove_nothing() {
        for payload in [
            json!({"exp": 1}),
            json!({"tenant_id": "", "exp": 1}),
            json!({"tenant_id": null, "exp": 1}),
            json!({"tenant_id": ["acme"], "exp": 1}),
            json!({"tenant_id": 1.5, "exp": 1}),
            json!({"tenant_id": "acme"}),
            json!({"tenant_id": "acme", "exp": null}),
            json!({"tenant_id": "acme", "exp": "1"}),
            json!({"tenant_id": "acme", "exp": 1, "nbf": "0"}),
            json!({"tenant_id": "acme", "exp": 1, "nbf": null}),
            json!({"tenant_id": "acme", "exp": 1, "sub": 7}),
            json!({"tenant_id": "acme", "exp": 1, "sub": ""}),
            json!({"tenant_id": "acme", "exp": 1, "sub": "a\nb"}),
            json!({"tenant_id": "acme", "exp": 1, "sub": "a".repeat(256)}),
            json!(["acme"]),
            json!("acme"),
        ] {
            assert_eq!(proved(&token(&payload)), None, "{payload}");
        }
        assert_eq!(proved(&signed(&json!({"alg": "HS256"}), b"\xff\xfe")), None);
    }

    #[test]
    fn issuer_and_audience_are_asked_for_where_the_key_names_them() {
        let demands = Demands { issuer: Some("us".into()), audience: Some("db".into()), ..demands() };
        let proves = |issuer: Value, audience: Value| {
            let payload = json!({"tenant_id": "acme", "exp": 1, "iss": issuer, "aud": audience});
            claims(&payload, &demands).is_some()
        };
        assert!(proves(json!("us"), json!("db")) && proves(json!("us"), json!(["web", "db"])));
        assert!(!proves(json!("them"), json!("db")) && !proves(json!(null), json!("db")));
        for audience in [json!("web"), json!([]), json!(["web"]), json!(null), json!({"db": 1})] {
            assert!(!proves(json!("us"), audience.clone()), "{audience}");
        }
    }

    #[test]
    fn the_tenant_may_lie_deeper() {
        let payload = json!({"exp": 1, "app": {"tenant": "acme"}, "https://x.example/tenant": "globex"});
        let tenant = |path: &str| {
            claims(&payload, &Demands { tenant_claim: path.into(), ..Demands::default() }).map(|claims| claims.tenant)
        };
        assert_eq!(tenant("/app/tenant").as_deref(), Some("acme"));
        assert_eq!(tenant("https://x.example/tenant").as_deref(), Some("globex"));
        assert_eq!(tenant("/app"), None);
    }

    #[test]
    fn claims_that_others_verified_name_tenant_and_user() {
        let user = Some("alice".to_owned());
        assert_eq!(claimed(r#"{"tenant_id": "acme", "sub": "alice"}"#), Some(("acme".into(), user)));
        assert_eq!(claimed(r#"{"tenant_id": 42}"#), Some(("42".into(), None)));
        for text in ["", "acme", "[]", "{}", r#"{"tenant_id": ""}"#, r#"{"tenant_id": "acme", "sub": 1}"#] {
            assert_eq!(claimed(text), None, "{text}");
        }
    }

    #[test]
    fn headers_that_ask_for_more_or_for_less_are_refused() {
        for bad in [
            json!({"alg": "none"}),
            json!({"alg": "HS512"}),
            json!({"kid": "k"}),
            json!({"alg": ["HS256"]}),
            json!({"alg": "HS256", "crit": ["b64"], "b64": false}),
            json!({"alg": "HS256", "kid": 1}),
            json!([]),
            json!(["HS256", "k", null]),
        ] {
            assert_eq!(header(&signed(&bad, b"{}")), None, "{bad}");
        }
        // Of another algorithm than the key's.
        let text = signed(&json!({"alg": "EdDSA"}), br#"{"tenant_id": "acme", "exp": 1}"#);
        assert_eq!(proved(&text), None);
    }

    #[test]
    fn every_byte_is_signed() {
        let text = token(&json!({"tenant_id": "acme", "exp": 100}));
        assert!(proved(&text).is_some());
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(proved(std::str::from_utf8(&bytes).unwrap()), None, "byte {at}");
        }
    }

    #[test]
    fn only_what_looks_like_a_token_is_one() {
        for text in ["a.b.c", "a.b.", "a-_.9.Z"] {
            assert!(is_well_formed(text), "{text}");
        }
        for text in ["", "a", "a.b", ".b.c", "a..c", "a.b.c.d", "a.b.c ", "a.b=.c", "ä.b.c", "a.b.c\n"] {
            assert!(!is_well_formed(text), "{text}");
        }
        assert_eq!(header(&format!("{}.b.c", "a".repeat(MAX_BYTES))), None);
    }

    #[test]
    fn a_signature_counts_whole() {
        let text = token(&json!({"tenant_id": "acme", "exp": 100}));
        let (message, signature) = text.rsplit_once('.').unwrap();
        for length in 0..signature.len() {
            assert_eq!(proved(&format!("{message}.{}", &signature[..length])), None, "{length}");
        }
        assert_eq!(proved(&format!("{text}AAAA")), None);
    }

    #[test]
    fn tokens_are_found_in_statements() {
        let text = token(&json!({"tenant_id": "acme", "exp": 100}));
        let spaced = format!("{}.e30.", URL_SAFE_NO_PAD.encode("{ \"alg\": \"none\"\n}"));
        for text in [&text, &format!("set x = '{text}'"), &format!("(\"{spaced}\")"), &spaced, &format!("a.{spaced}")] {
            assert!(is_in(text.as_bytes()), "{text}");
        }
        for text in [
            "",
            "select 1",
            "eyJ.x",
            "example_schema_of_some_length.extremely_long_table_name_here.id",
            "e30",
            "www.e30",
        ] {
            assert!(!is_in(text.as_bytes()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[A-Za-z0-9._-]{0,80}", other in ".*") {
            let _ = proved(&text);
            prop_assert_eq!(proved(&other), None);
        }

        #[test]
        fn no_payload_makes_it_panic(payload in "[\\[{\"}\\]:,a-z0-9.e-]{0,40}") {
            let _ = proved(&signed(&json!({"alg": "HS256"}), payload.as_bytes()));
        }
    }
}
