//! How each of the clients behaves, and where it connects.

use tenancy_harness::Pooler;

use crate::site::Site;

/// How a client behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Names its tenants, and leaves in the middle of things.
    Wild,
    /// The same, but it has to show a token for each.
    Signed,
    /// Names its tenants, and stays.
    Calm,
    /// Shows tokens, and stays.
    CalmSigned,
    /// As calm, but leaves what is of the session behind, which the pooler then resets.
    Tidy,
}

/// How a transaction takes its tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Call,
    Setting,
    Host,
    Token,
    TokenSetting,
}

impl Manner {
    /// Of one of the sixteen.
    pub fn of(number: usize) -> Self {
        match number {
            0..7 => Self::Wild,
            7..11 => Self::Signed,
            11..13 => Self::Calm,
            13 => Self::CalmSigned,
            _ => Self::Tidy,
        }
    }

    /// Nobody terminates its session.
    pub fn is_calm(self) -> bool {
        matches!(self, Self::Calm | Self::CalmSigned | Self::Tidy)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Wild => "wild",
            Self::Signed => "signed",
            Self::Calm => "calm",
            Self::CalmSigned => "calm signed",
            Self::Tidy => "tidy",
        }
    }

    /// The pooler, and the role there.
    pub fn door<'s>(self, site: &'s Site<'_>) -> (&'s Pooler, &'s str) {
        match self {
            Self::Wild => (&site.pooler, &site.app),
            Self::Signed => (&site.pooler, &site.api),
            Self::Calm => (&site.calm_pooler, &site.calm),
            Self::CalmSigned => (&site.calm_pooler, &site.calm_api),
            Self::Tidy => (&site.tidy_pooler, &site.tidy),
        }
    }

    pub fn ways(self) -> &'static [Way] {
        match self {
            Self::Signed | Self::CalmSigned => &[Way::Token, Way::TokenSetting],
            Self::Wild => &[Way::Call, Way::Setting, Way::Host, Way::Token],
            Self::Calm | Self::Tidy => &[Way::Call, Way::Setting, Way::Host, Way::Token, Way::TokenSetting],
        }
    }
}
