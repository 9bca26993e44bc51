//! SHA-256, by PostgreSQL's own functions, and keeping a secret without keeping it.

use pgrx::{IntoDatum, pg_sys};

const SALT_BYTES: usize = 32;

/// What a secret is known by again. It holds no part of the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    salt: [u8; SALT_BYTES],
    hash: Vec<u8>,
}

impl Fingerprint {
    /// Of a secret, with a salt of its own. `None` when the server has no random numbers or no SHA-256.
    pub fn of(secret: &str) -> Option<Self> {
        let mut salt = [0; SALT_BYTES];
        // SAFETY: writes that many bytes, or returns false.
        let random = unsafe { pg_sys::pg_strong_random(salt.as_mut_ptr().cast(), SALT_BYTES) };
        let hash = hash(&salt, secret)?;
        random.then_some(Self { salt, hash })
    }

    /// Whether this is the secret; takes as long for one that is nearly right as for any other.
    pub fn is_of(&self, secret: &str) -> bool {
        hash(&self.salt, secret).is_some_and(|other| equal(&self.hash, &other))
    }
}

/// A secret that nobody guesses, as 64 hexadecimal digits. `None` when the server has no random numbers.
pub fn random_token() -> Option<String> {
    let mut bytes = [0u8; 32];
    // SAFETY: writes that many bytes, or returns false.
    let random = unsafe { pg_sys::pg_strong_random(bytes.as_mut_ptr().cast(), bytes.len()) };
    random.then(|| bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn hash(salt: &[u8], secret: &str) -> Option<Vec<u8>> {
    sha256(&[salt, secret.as_bytes()].concat())
}

/// The SHA-256 of some bytes.
pub fn sha256(bytes: &[u8]) -> Option<Vec<u8>> {
    // SAFETY: the function takes one bytea and returns one; an error is raised as any other.
    unsafe { pgrx::direct_function_call(pg_sys::sha256_bytea, &[bytes.into_datum()]) }
}

/// In constant time. PostgreSQL's own is not in every minor release.
fn equal(one: &[u8], other: &[u8]) -> bool {
    let difference = one.iter().zip(other).fold(0, |sum, (a, b)| std::hint::black_box(sum | (a ^ b)));
    one.len() == other.len() && std::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use super::equal;

    #[test]
    fn every_byte_counts() {
        assert!(equal(&[1, 2, 3], &[1, 2, 3]));
        for other in [&[1, 2, 2][..], &[0, 2, 3], &[1, 2], &[1, 2, 3, 4], &[]] {
            assert!(!equal(&[1, 2, 3], other));
        }
    }
}
