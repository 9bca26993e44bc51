//! JSON Web Tokens (RFC 7519), signed (RFC 7515): keys as people have them, and what a token proves. Pure: keys are looked
//! up, and the time is told, by the caller.

mod key;
mod token;

pub use key::{Algorithm, Key, Unusable, jwks};
pub use token::{Claims, Demands, MAX_BYTES, claimed, header, is_in, is_well_formed, verify};
