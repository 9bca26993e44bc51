//! Keys that signatures are checked with: read from what OpenSSL and identity providers hand out, kept as plain bytes.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::VerifyingKey;
use jsonwebtoken::DecodingKey;
use pkcs1::RsaPublicKey;
use serde::Deserialize;
use spki::der::{Decode, Encode, pem};
use spki::{ObjectIdentifier, SubjectPublicKeyInfoRef};
use std::collections::HashSet;

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// The shortest HMAC secret, in bytes (RFC 7518, 3.2), and the longest.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 32..=1024;

/// RSA moduli, in bits: shorter ones are not safe (RFC 7518, 3.3), longer ones take long.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

/// RSA exponents: with 1 every signature is its message; longer ones nobody uses.
const RSA_EXPONENTS: std::ops::RangeInclusive<u64> = 3..=0x1_ffff_ffff;

/// How tokens are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    EdDsa,
    Es256,
    Rs256,
    Hs256,
}

impl Algorithm {
    const ALL: [Self; 4] = [Self::EdDsa, Self::Es256, Self::Rs256, Self::Hs256];

    /// By its registered name; `none` and the like are no algorithm.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// The name in a token's header.
    pub fn name(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
            Self::Hs256 => "HS256",
        }
    }

    fn provided(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::EdDsa => jsonwebtoken::Algorithm::EdDSA,
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
            Self::Rs256 => jsonwebtoken::Algorithm::RS256,
            Self::Hs256 => jsonwebtoken::Algorithm::HS256,
        }
    }
}

/// Why a key can't be used. Says nothing of the key itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unusable(pub &'static str);

/// A key, bound to its algorithm.
#[derive(Clone)]
pub struct Key {
    algorithm: Algorithm,
    /// EdDSA: the 32 bytes of the point. ES256: the uncompressed point. RS256: a DER `RSAPublicKey`. HS256: the secret.
    bytes: Vec<u8>,
}

impl Key {
    /// As an administrator has it: a public key as PEM (`-----BEGIN PUBLIC KEY-----`, what OpenSSL writes), or a secret
    /// as the text that it is.
    pub fn parse(algorithm: Algorithm, text: &str) -> Result<Self, Unusable> {
        if algorithm == Algorithm::Hs256 {
            return Self::checked(algorithm, text.as_bytes().to_vec());
        }
        let (label, der) = pem::decode_vec(text.trim().as_bytes()).map_err(|_| Unusable("it is not in PEM format"))?;
        if label != "PUBLIC KEY" {
            return Err(Unusable("it is another thing than a public key (openssl pkey -pubout)"));
        }
        let malformed = Unusable("it is not a well-formed public key");
        let info = SubjectPublicKeyInfoRef::from_der(&der).map_err(|_| malformed)?;
        let bytes = info.subject_public_key.as_bytes().ok_or(malformed)?.to_vec();
        let curve = info.algorithm.parameters.and_then(|parameters| parameters.decode_as::<ObjectIdentifier>().ok());
        let is_for = match info.algorithm.oid {
            RSA => Some(Algorithm::Rs256),
            EC if curve == Some(P256) => Some(Algorithm::Es256),
            ED25519 => Some(Algorithm::EdDsa),
            _ => None,
        };
        if is_for != Some(algorithm) {
            return Err(Unusable("it is for another algorithm"));
        }
        Self::checked(algorithm, bytes)
    }

    /// As it is kept.
    pub fn stored(algorithm: Algorithm, text: &str) -> Result<Self, Unusable> {
        Self::checked(algorithm, base64url(text)?)
    }

    /// The text that `stored` reads.
    pub fn to_stored(&self) -> String {
        URL_SAFE_NO_PAD.encode(&self.bytes)
    }

    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    fn checked(algorithm: Algorithm, bytes: Vec<u8>) -> Result<Self, Unusable> {
        let refused = match algorithm {
            Algorithm::EdDsa => refused_ed25519(&bytes),
            Algorithm::Es256 => (bytes.len() != 65 || bytes[0] != 4).then_some("it is not a point of P-256"),
            Algorithm::Rs256 => refused_rsa(&bytes),
            // Whoever verifies with a public key as a secret takes tokens that anybody can make.
            Algorithm::Hs256 if bytes.windows(11).any(|part| part == b"-----BEGIN ") => {
                Some("HS256 takes a secret, and this is a PEM file")
            }
            Algorithm::Hs256 => (!SECRET_BYTES.contains(&bytes.len())).then_some("a secret has 32 to 1024 bytes"),
        };
        let key = Self { algorithm, bytes };
        match refused {
            Some(reason) => Err(Unusable(reason)),
            // Whether a point is on its curve comes out when it is used.
            None if key.is_accepted() => Ok(key),
            None => Err(Unusable("it is not a point of its curve")),
        }
    }

    fn is_accepted(&self) -> bool {
        match self.algorithm {
            Algorithm::Es256 => {
                let signature = URL_SAFE_NO_PAD.encode([1; 64]);
                jsonwebtoken::crypto::verify(&signature, b"", &self.provided(), self.algorithm.provided()).is_ok()
            }
            Algorithm::EdDsa | Algorithm::Rs256 | Algorithm::Hs256 => true,
        }
    }

    fn provided(&self) -> DecodingKey {
        match self.algorithm {
            Algorithm::EdDsa => DecodingKey::from_ed_der(&self.bytes),
            Algorithm::Es256 => DecodingKey::from_ec_der(&self.bytes),
            Algorithm::Rs256 => DecodingKey::from_rsa_der(&self.bytes),
            Algorithm::Hs256 => DecodingKey::from_secret(&self.bytes),
        }
    }

    /// Whether the signature, in base64url, is that of the message.
    pub(super) fn signed(&self, message: &[u8], signature: &str) -> bool {
        jsonwebtoken::crypto::verify(signature, message, &self.provided(), self.algorithm.provided()).unwrap_or(false)
    }
}

/// With a point of small order as the key, anybody makes signatures that verify.
fn refused_ed25519(bytes: &[u8]) -> Option<&'static str> {
    match bytes.try_into().map(VerifyingKey::from_bytes) {
        Ok(Ok(key)) => key.is_weak().then_some("it is a weak key"),
        _ => Some("it is not a point of Ed25519"),
    }
}

fn refused_rsa(der: &[u8]) -> Option<&'static str> {
    let Ok(key) = RsaPublicKey::from_der(der) else { return Some("it is not a well-formed RSA key") };
    let (modulus, exponent) = (key.modulus.as_bytes(), key.public_exponent.as_bytes());
    let bits = modulus.len() * 8 - modulus.first().map_or(0, |byte| byte.leading_zeros() as usize);
    if !RSA_BITS.contains(&bits) {
        return Some("an RSA key has 2048 to 4096 bits");
    }
    let is_odd = |number: &[u8]| number.last().is_some_and(|byte| byte % 2 == 1);
    let exponent_value = exponent.iter().take(8).fold(0u64, |value, byte| value << 8 | u64::from(*byte));
    let is_sound =
        is_odd(modulus) && is_odd(exponent) && exponent.len() <= 8 && RSA_EXPONENTS.contains(&exponent_value);
    (!is_sound).then_some("it is a weak RSA key")
}

fn base64url(text: &str) -> Result<Vec<u8>, Unusable> {
    URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).map_err(|_| Unusable("it is not in base64url"))
}

/// A key of a set, as providers publish it (RFC 7517).
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
    k: Option<String>,
    d: Option<serde::de::IgnoredAny>,
}

/// An object, which is read into a struct only then: serde would take an array for one, too.
type Object = serde_json::Map<String, serde_json::Value>;

/// The keys of a set that tokens can be signed with by one of our algorithms, each with its id. Others are for something
/// else, and left out.
pub fn jwks(text: &str) -> Result<Vec<(String, Key)>, Unusable> {
    let no_set = Unusable("it is not an object with an array \"keys\"");
    let mut set: Object = serde_json::from_str(text).map_err(|_| no_set)?;
    let Some(serde_json::Value::Array(keys)) = set.remove("keys") else { return Err(no_set) };
    let read = |key| {
        let malformed = Unusable("one of the keys is malformed");
        let serde_json::Value::Object(key) = key else { return Err(malformed) };
        // What a key of another kind has in it is nobody's business here.
        if !KINDS.contains(&key.get("kty").and_then(|kind| kind.as_str()).ok_or(malformed)?) {
            return Ok(None);
        }
        serde_json::from_value::<Jwk>(key.into()).map_err(|_| malformed)?.read()
    };
    let keys: Vec<(String, Key)> =
        keys.into_iter().map(read).filter_map(Result::transpose).collect::<Result<_, _>>()?;
    let ids: HashSet<&str> = keys.iter().map(|(kid, _)| kid.as_str()).collect();
    if ids.len() == keys.len() { Ok(keys) } else { Err(Unusable("two of the keys have the same kid")) }
}

/// The kinds of keys that ours can be.
const KINDS: [&str; 4] = ["OKP", "EC", "RSA", "oct"];

impl Jwk {
    fn read(self) -> Result<Option<(String, Key)>, Unusable> {
        if self.d.is_some() {
            return Err(Unusable("one of the keys is a private key"));
        }
        let for_signatures = self.purpose.as_deref().is_none_or(|purpose| purpose == "sig")
            && self.key_ops.as_ref().is_none_or(|operations| operations.iter().any(|operation| operation == "verify"));
        let Some(algorithm) = self.algorithm().filter(|_| for_signatures) else { return Ok(None) };
        let kid = self.kid.clone().ok_or(Unusable("one of the keys has no kid"))?;
        Ok(Some((kid, Key::checked(algorithm, self.bytes(algorithm)?)?)))
    }

    fn algorithm(&self) -> Option<Algorithm> {
        let by_type = match (self.kty.as_str(), self.crv.as_deref()) {
            ("OKP", Some("Ed25519")) => Algorithm::EdDsa,
            ("EC", Some("P-256")) => Algorithm::Es256,
            ("RSA", _) => Algorithm::Rs256,
            // A secret alone does not tell what it is for.
            ("oct", _) if self.alg.is_some() => Algorithm::Hs256,
            _ => return None,
        };
        self.alg.as_deref().is_none_or(|name| name == by_type.name()).then_some(by_type)
    }

    fn bytes(&self, algorithm: Algorithm) -> Result<Vec<u8>, Unusable> {
        let part = |part: &Option<String>| base64url(part.as_deref().ok_or(Unusable("one of the keys is incomplete"))?);
        match algorithm {
            Algorithm::EdDsa => part(&self.x),
            Algorithm::Es256 => Ok([vec![4], part(&self.x)?, part(&self.y)?].concat()),
            Algorithm::Rs256 => {
                let malformed = |_| Unusable("it is not a well-formed RSA key");
                let (n, e) = (part(&self.n)?, part(&self.e)?);
                let key = RsaPublicKey {
                    modulus: pkcs1::UintRef::new(&n).map_err(malformed)?,
                    public_exponent: pkcs1::UintRef::new(&e).map_err(malformed)?,
                };
                key.to_der().map_err(malformed)
            }
            Algorithm::Hs256 => part(&self.k),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ED25519_PEM: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=
-----END PUBLIC KEY-----
";

    fn reason(outcome: Result<Key, Unusable>) -> &'static str {
        outcome.err().map_or("", |unusable| unusable.0)
    }

    #[test]
    fn only_the_four_algorithms_have_a_name() {
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::parse(algorithm.name()), Some(algorithm));
        }
        for name in ["none", "None", "hs256", "RS512", "PS256", "", "EdDSA "] {
            assert_eq!(Algorithm::parse(name), None, "{name}");
        }
    }

    #[test]
    fn a_public_key_is_for_its_algorithm_alone() {
        let key = Key::parse(Algorithm::EdDsa, ED25519_PEM).ok().unwrap();
        let again = Key::stored(Algorithm::EdDsa, &key.to_stored()).ok().unwrap();
        assert_eq!(again.bytes, key.bytes);
        assert_eq!(reason(Key::parse(Algorithm::Es256, ED25519_PEM)), "it is for another algorithm");
        assert_eq!(reason(Key::parse(Algorithm::Rs256, ED25519_PEM)), "it is for another algorithm");
        assert_eq!(reason(Key::parse(Algorithm::Hs256, ED25519_PEM)), "HS256 takes a secret, and this is a PEM file");
    }

    #[test]
    fn what_is_no_public_key_is_refused() {
        let private = ED25519_PEM.replace("PUBLIC KEY", "PRIVATE KEY");
        assert!(reason(Key::parse(Algorithm::EdDsa, &private)).starts_with("it is another thing"));
        assert_eq!(reason(Key::parse(Algorithm::EdDsa, "secret")), "it is not in PEM format");
        // No point has 2 as its second coordinate.
        let outside = URL_SAFE_NO_PAD.encode([[2].as_slice(), &[0; 31]].concat());
        assert!(Key::stored(Algorithm::EdDsa, &outside).is_err());
        let nowhere = URL_SAFE_NO_PAD.encode([[4].as_slice(), &[1; 64]].concat());
        assert_eq!(reason(Key::stored(Algorithm::Es256, &nowhere)), "it is not a point of its curve");
    }

    /// With these anybody makes tokens, or nobody does.
    #[test]
    fn weak_keys_are_refused() {
        let mut one = [0; 32];
        one[0] = 1;
        for small_order in [[0; 32], one] {
            let text = URL_SAFE_NO_PAD.encode(small_order);
            assert_eq!(reason(Key::stored(Algorithm::EdDsa, &text)), "it is a weak key");
            let set = format!(r#"{{"keys": [{{"kty": "OKP", "crv": "Ed25519", "kid": "a", "x": "{text}"}}]}}"#);
            assert!(jwks(&set).is_err());
        }
        let rsa = |modulus: &[u8], exponent: &[u8]| {
            let [n, e] = [modulus, exponent].map(|number| URL_SAFE_NO_PAD.encode(number));
            jwks(&format!(r#"{{"keys": [{{"kty": "RSA", "kid": "a", "n": "{n}", "e": "{e}"}}]}}"#)).map(|_| ())
        };
        let odd = [0xc5; 256];
        assert_eq!(rsa(&odd, &[1, 0, 1]), Ok(()));
        let even = [[0xc5; 255].as_slice(), &[4]].concat();
        for (modulus, exponent) in [
            (&odd[..], &[1][..]),
            (&odd, &[4]),
            (&odd, &[0]),
            (&odd, &[9; 9]),
            (&odd, &[2, 0, 0, 0, 1]),
            (&even, &[1, 0, 1]),
        ] {
            assert_eq!(rsa(modulus, exponent), Err(Unusable("it is a weak RSA key")), "{exponent:?}");
        }
    }

    #[test]
    fn a_pem_file_is_no_secret_in_a_set_either() {
        let k = URL_SAFE_NO_PAD.encode(ED25519_PEM);
        assert!(jwks(&format!(r#"{{"keys": [{{"kty": "oct", "alg": "HS256", "kid": "a", "k": "{k}"}}]}}"#)).is_err());
    }

    #[test]
    fn a_secret_is_long_enough() {
        assert!(Key::parse(Algorithm::Hs256, &"k".repeat(32)).is_ok());
        assert_eq!(reason(Key::parse(Algorithm::Hs256, &"k".repeat(31))), "a secret has 32 to 1024 bytes");
        assert!(Key::parse(Algorithm::Hs256, &"k".repeat(1025)).is_err());
    }

    #[test]
    fn a_set_gives_the_keys_for_signatures() {
        let set = r#"{"keys": [
            {"kty": "OKP", "crv": "Ed25519", "kid": "a", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
            {"kty": "OKP", "crv": "X25519", "kid": "b", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
            {"kty": "RSA", "use": "enc", "kid": "c", "n": "AQAB", "e": "AQAB"},
            {"kty": "RSA", "alg": "RS512", "kid": "d", "n": "AQAB", "e": "AQAB"},
            {"kty": "AKP", "alg": 5, "kid": 7, "key_ops": "verify"},
            {"kty": "oct", "kid": "e", "k": "AQAB"}]}"#;
        let keys = jwks(set).ok().unwrap();
        assert_eq!(keys.iter().map(|(kid, _)| kid.as_str()).collect::<Vec<_>>(), ["a"]);
        for malformed in [
            "{}",
            r#"{"keys": {}}"#,
            r#"{"keys": ["a"]}"#,
            r#"[[]]"#,
            r#"{"keys": [{"kid": "a"}]}"#,
            r#"{"keys": [["OKP", "a", null, null, null, "Ed25519", "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", null, null, null, null, null]]}"#,
            r#"{"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "a", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
                         {"kty": "OKP", "crv": "Ed25519", "kid": "a", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#,
            r#"{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#,
            r#"{"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "a"}]}"#,
            r#"{"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "a", "x": "AQAB"}]}"#,
            r#"{"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "a", "x": "AQAB", "d": "AQAB"}]}"#,
            r#"{"keys": [{"kty": "RSA", "kid": "a", "n": "AQAB", "e": "AQAB"}]}"#,
        ] {
            assert!(jwks(malformed).is_err(), "{malformed}");
        }
    }

    proptest! {
        #[test]
        fn reading_a_key_never_panics(text in ".*") {
            for algorithm in Algorithm::ALL {
                let _ = Key::parse(algorithm, &text);
                let _ = Key::stored(algorithm, &text);
                let _ = jwks(&text);
            }
        }

        #[test]
        fn damaged_keys_never_panic(at in 27usize..87, byte in b'A'..=b'z') {
            let mut pem = ED25519_PEM.as_bytes().to_vec();
            pem[at] = byte;
            let _ = Key::parse(Algorithm::EdDsa, &String::from_utf8(pem).unwrap());
        }
    }
}
