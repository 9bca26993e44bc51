//! Who issues tokens: keys from OpenSSL, signatures from PyJWT, which `.ci/pyjwt` provides.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

pub const ALGORITHMS: [&str; 4] = ["EdDSA", "ES256", "RS256", "HS256"];

/// A key pair, or a secret that stands for both of its halves.
#[derive(Clone, Debug)]
pub struct Pair {
    pub algorithm: &'static str,
    pub kid: String,
    pub private: String,
    pub public: String,
}

impl Pair {
    pub fn new(algorithm: &'static str, kid: &str) -> Self {
        let private = match algorithm {
            "EdDSA" => openssl(&["genpkey", "-algorithm", "ED25519"], ""),
            "ES256" => openssl(&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"], ""),
            "RS256" => openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"], ""),
            _ => openssl(&["rand", "-hex", "32"], "").trim().to_owned(),
        };
        let public = if algorithm == "HS256" { private.clone() } else { public_half(&private) };
        Self { algorithm, kid: kid.to_owned(), private, public }
    }

    /// The call that registers it, with more arguments.
    pub fn add(&self, more: &str) -> String {
        format!("select tenancy.add_jwt_key('{}', '{}', '{}' {more})", self.kid, self.algorithm, self.public)
    }

    /// A token with these claims.
    pub fn token(&self, payload: &Value) -> String {
        self.token_with(&json!({"kid": self.kid}), payload)
    }

    pub fn token_with(&self, header: &Value, payload: &Value) -> String {
        ask(
            &json!({"make": "signed", "algorithm": self.algorithm, "key": self.private, "header": header, "payload": payload}),
        )
    }

    /// The public half as a JSON Web Key.
    pub fn jwk(&self) -> Value {
        let text = ask(&json!({"make": "jwk", "algorithm": self.algorithm, "key": self.public, "kid": self.kid}));
        serde_json::from_str(&text).expect("a JSON Web Key")
    }
}

/// A token that no library makes: any header, any payload, an HMAC with any key or no signature at all.
pub fn by_hand(header: &Value, payload: &Value, key: Option<&str>) -> String {
    ask(&json!({"make": "by hand", "header": header, "payload": payload, "key": key}))
}

/// The same with a payload that need not be JSON.
pub fn of_bytes(header: &Value, bytes: &[u8], key: &str) -> String {
    let bytes: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    ask(&json!({"make": "by hand", "header": header, "bytes": bytes, "key": key}))
}

/// A token of these very texts, signed or not.
pub fn signed_text(header: &str, payload: &str, signature: &str) -> String {
    ask(&json!({"make": "text", "header": header, "payload": payload, "signature": signature}))
}

/// Claims that hold for an hour.
pub fn claims(tenant: &str, user: &str) -> Value {
    json!({"tenant_id": tenant, "sub": user, "exp": now() + 3600})
}

/// Seconds since 1970.
pub fn now() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock");
    i64::try_from(elapsed.as_secs()).expect("a time")
}

pub fn public_half(private: &str) -> String {
    openssl(&["pkey", "-pubout"], private)
}

/// What OpenSSL prints.
pub fn openssl(arguments: &[&str], input: &str) -> String {
    let mut child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program openssl");
    child.stdin.take().expect("its input").write_all(input.as_bytes()).expect("its input is written");
    let output = child.wait_with_output().expect("openssl ends");
    assert!(output.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

struct Library {
    _process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

fn ask(request: &Value) -> String {
    static LIBRARY: OnceLock<Mutex<Library>> = OnceLock::new();
    let mut library = LIBRARY.get_or_init(|| Mutex::new(start())).lock().expect("the library answers");
    writeln!(library.input, "{request}").expect("a request is sent");
    let mut answer = String::new();
    library.output.read_line(&mut answer).expect("an answer");
    assert!(answer.ends_with('\n'), "no answer to {request}");
    answer.trim_end().to_owned()
}

/// It ends with this process, whose end of the pipe it reads.
fn start() -> Library {
    let mut process = Command::new(python())
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/token/tokens.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python");
    let input = process.stdin.take().expect("its input");
    let output = BufReader::new(process.stdout.take().expect("its output"));
    Library { _process: process, input, output }
}

/// The Python that has PyJWT.
fn python() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.ci/pyjwt");
    let output = Command::new(&script).output().expect(".ci/pyjwt runs");
    assert!(output.status.success(), ".ci/pyjwt: {}", String::from_utf8_lossy(&output.stderr));
    PathBuf::from(String::from_utf8(output.stdout).expect("a path").trim())
}
