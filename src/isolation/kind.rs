//! How a table is shared among tenants.

use crate::error::{Error, Result};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Every row has one owner.
    Tenant,
    /// A row without owner is visible to every tenant and written by none of them.
    Shared,
    /// A tenant may insert and read its rows, never change them.
    AppendOnly,
    /// As `Tenant`, and the tenants above its owner read a row as well.
    Tree,
    /// Deliberately without tenants.
    Global,
}

impl Kind {
    /// Reads a kind as SQL names it.
    pub fn parse(text: &str) -> Result<Self> {
        Ok(match text {
            "tenant" => Self::Tenant,
            "shared" => Self::Shared,
            "append_only" => Self::AppendOnly,
            "tree" => Self::Tree,
            "global" => Self::Global,
            _ => {
                return Err(Error::InvalidArgument {
                    what: "kind",
                    reason: format!("\"{text}\" is none of tenant, shared, append_only, tree, global"),
                });
            }
        })
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Shared => "shared",
            Self::AppendOnly => "append_only",
            Self::Tree => "tree",
            Self::Global => "global",
        }
    }

    /// Whether a row may be without a tenant.
    pub fn allows_null(self) -> bool {
        self == Self::Shared
    }
}
