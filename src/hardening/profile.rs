//! How far a role is hardened.

use crate::error::{Error, Result};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Not, or no longer. What was taken is not given back.
    None,
    /// No privileges that lead beyond the tenant.
    Standard,
    /// No statements, either, that work beyond the transaction or tell of others.
    Strict,
}

impl Profile {
    /// Reads it as SQL names it.
    pub fn parse(text: &str) -> Result<Self> {
        Ok(match text {
            "none" => Self::None,
            "standard" => Self::Standard,
            "strict" => Self::Strict,
            _ => {
                return Err(Error::InvalidArgument {
                    what: "profile",
                    reason: format!("\"{text}\" is none of standard, strict, none"),
                });
            }
        })
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Standard => "standard",
            Self::Strict => "strict",
        }
    }
}
