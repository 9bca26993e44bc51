//! Every algorithm, with keys as OpenSSL and identity providers hand them out.

use serde_json::json;
use tenancy_harness::{ACME, Session, World};

use crate::issuer::{ALGORITHMS, Pair, claims, openssl, public_half, signed_text};
use crate::{Signed, visible, with};

#[test]
fn every_algorithm_proves_its_tenant() {
    let signed = Signed::new();
    for algorithm in ALGORITHMS {
        let pair = Pair::new(algorithm, algorithm);
        signed.add(&pair, "");
        let token = pair.token(&claims("acme", "alice"));
        let mut client = signed.connect();
        let id: String = client
            .query_one("select tenancy.authenticate($1, false)::text", &[&token])
            .unwrap_or_else(|error| panic!("{algorithm}: {error:?}"))
            .get(0);
        assert_eq!(id, ACME.id, "{algorithm}");
        assert_eq!(visible(&mut client), ["acme"], "{algorithm}");
        let mut other = signed.connect();
        other.run(&format!("set tenancy.token = '{}'", pair.token(&claims("globex", "bob"))));
        assert_eq!(visible(&mut other), ["globex"], "{algorithm}");
    }
}

#[test]
fn a_tenant_is_named_by_id_key_or_number_in_the_claim_that_the_key_says() {
    let signed = Signed::new();
    let pair = Pair::new("HS256", "deep");
    signed.add(&pair, ", tenant_claim => '/app/tenant'");
    for (name, key) in [(json!(ACME.id), "acme"), (json!("globex"), "globex"), (json!(101), "101")] {
        let mut claims = claims("202", "alice");
        claims["app"] = json!({"tenant": name});
        let mut client = signed.connect();
        client.run(&format!("set tenancy.token = '{}'", pair.token(&claims)));
        assert_eq!(client.value("select tenancy.current_key()").as_deref(), Some(key));
    }
}

#[test]
fn a_key_without_an_id_is_for_tokens_that_name_none() {
    let signed = Signed::new();
    let pair = Pair::new("HS256", "");
    signed.add(&pair, "");
    let mut client = signed.connect();
    client.run(&format!("set tenancy.token = '{}'", pair.token_with(&json!({}), &claims("acme", "alice"))));
    assert_eq!(visible(&mut client), ["acme"]);
}

#[test]
fn a_key_set_is_imported_and_replaces_keys_of_the_same_id() {
    let signed = Signed::new();
    let pairs = ["EdDSA", "ES256", "RS256"].map(|algorithm| Pair::new(algorithm, algorithm));
    let import = |keys: &[serde_json::Value]| format!("select tenancy.import_jwks('{}')", json!({"keys": keys}));
    let mut superuser = signed.world.fixture.superuser();
    let mut keys: Vec<_> = pairs.iter().map(Pair::jwk).collect();
    keys.push(json!({"kty": "RSA", "kid": "for encryption", "use": "enc", "n": "AQAB", "e": "AQAB"}));
    assert_eq!(superuser.value(&import(&keys)).as_deref(), Some("3"));
    let acts = |pair: &Pair| {
        let mut client = signed.connect();
        let token = pair.token(&claims("acme", "alice"));
        client.query("select tenancy.authenticate($1, false)", &[&token]).is_ok() && visible(&mut client) == ["acme"]
    };
    assert!(pairs.iter().all(acts));

    let renewed = Pair::new("ES256", "ES256");
    superuser.run(&import(&[renewed.jwk()]));
    assert!(acts(&renewed) && !acts(&pairs[1]) && acts(&pairs[0]));

    superuser.refuses("select tenancy.import_jwks('{\"keys\": 1}')", "22023");
    superuser.refuses("select tenancy.import_jwks('[]')", "22023");
    superuser.refuses("select tenancy.import_jwks('[[]]')", "22023");
    let mut private = pairs[0].jwk();
    private["d"] = json!("AQAB");
    superuser.refuses(&import(&[private]), "22023");
}

#[test]
fn a_key_set_takes_no_key_of_another_issuers_away() {
    let signed = Signed::new();
    let (ours, theirs) = (Pair::new("ES256", "1"), Pair::new("ES256", "1"));
    let import = |pair: &Pair, issuer: &str| {
        format!("select tenancy.import_jwks('{}', issuer => {issuer})", json!({"keys": [pair.jwk()]}))
    };
    let mut superuser = signed.world.fixture.superuser();
    superuser.run(&import(&ours, "'us'"));
    superuser.refuses(&import(&theirs, "'them'"), "42710");
    superuser.refuses(&import(&theirs, "null"), "42710");
    let token = ours.token(&with(claims("acme", "alice"), json!({"iss": "us"})));
    signed.connect().query("select tenancy.authenticate($1, false)", &[&token]).expect("the key is still there");
    superuser.run(&import(&theirs, "'us'"));

    let twice = json!({"keys": [ours.jwk(), theirs.jwk()]});
    superuser.refuses(&format!("select tenancy.import_jwks('{twice}', issuer => 'us')"), "22023");
    // What a key of another kind looks like is nobody's business.
    let odd = json!({"keys": [{"kty": "AKP", "kid": 5, "alg": ["ML-DSA-44"]}]});
    assert_eq!(superuser.value(&format!("select tenancy.import_jwks('{odd}')")).as_deref(), Some("0"));
}

/// Points of small order, as which anybody signs: R is the neutral point, S is zero, and the message does not matter.
#[test]
fn a_key_that_anybody_signs_for_is_refused_and_counts_nowhere() {
    let signed = Signed::new();
    let mut superuser = signed.world.fixture.superuser();
    let (zero, one) = ("A".repeat(43), format!("AQ{}", "A".repeat(41)));
    for point in [&zero, &one] {
        let set = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "weak", "x": point}]});
        superuser.refuses(&format!("select tenancy.import_jwks('{set}')"), "22023");
    }
    superuser.refuses(
        "select tenancy.add_jwt_key('weak', 'EdDSA', '-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAAQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
-----END PUBLIC KEY-----')",
        "22023",
    );
    // Put in by hand, it is no key either.
    superuser.run(&format!("insert into tenancy.jwt_keys (kid, algorithm, key) values ('weak', 'EdDSA', '{one}')"));
    let payload = claims("acme", "mallory").to_string();
    let forged = signed_text(r#"{"alg":"EdDSA","kid":"weak"}"#, &payload, &format!("AQ{}", "A".repeat(84)));
    let mut client = signed.connect();
    client.refuses(&format!("select tenancy.authenticate('{forged}', false)"), "28000");
}

#[test]
fn keys_that_are_weak_or_of_another_kind_are_refused_without_being_shown() {
    let world = World::new();
    let mut superuser = world.fixture.superuser();
    let short = openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"], "");
    let p384 = openssl(&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"], "");
    let good = Pair::new("EdDSA", "k");
    let cases = [
        ("RS256", public_half(&short)),
        ("ES256", public_half(&p384)),
        ("ES256", good.public.clone()),
        ("HS256", good.public.clone()),
        ("EdDSA", good.private.clone()),
        ("EdDSA", "no key at all".into()),
        ("HS256", "too short a secret".into()),
        ("none", "a secret of thirty-two bytes or more".into()),
        ("HS512", "a secret of thirty-two bytes or more".into()),
    ];
    for (algorithm, key) in cases {
        let call = format!("select tenancy.add_jwt_key('k', '{algorithm}', '{key}')");
        let error = format!("{:?}", superuser.refuses(&call, "22023"));
        assert!(key.lines().all(|line| line.contains("-----") || line.is_empty() || !error.contains(line)), "{error}");
    }
    superuser.refuses("select tenancy.add_jwt_key(null, 'EdDSA', 'x')", "22023");
    superuser.refuses(&good.add(", leeway => '2 hours'"), "22023");
    superuser.refuses(&good.add(", leeway => '-1 s'"), "22023");
    superuser.refuses(&good.add(", tenant_claim => ''"), "22023");
    superuser.run(&good.add(""));
    superuser.refuses(&good.add(""), "42710");
    superuser.refuses("select tenancy.remove_jwt_key('nobody')", "42704");
}
