//! What came of an attack. Pure.

use super::scene::Came;

/// An attack's outcome, with what happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Blocked(String),
    /// It could not be tried, or would have shown nothing.
    Untried(String),
    Open(String),
}

impl Outcome {
    /// As the column `blocked` tells it.
    pub fn blocked(&self) -> Option<bool> {
        match self {
            Self::Blocked(_) => Some(true),
            Self::Untried(_) => None,
            Self::Open(_) => Some(false),
        }
    }

    pub fn detail(&self) -> &str {
        match self {
            Self::Blocked(detail) | Self::Untried(detail) | Self::Open(detail) => detail,
        }
    }

    /// The same, of somebody or something in particular.
    pub fn of(self, whom: &str) -> Self {
        let told = |detail: String| format!("{whom}: {detail}");
        match self {
            Self::Blocked(detail) => Self::Blocked(told(detail)),
            Self::Untried(detail) => Self::Untried(told(detail)),
            Self::Open(detail) => Self::Open(told(detail)),
        }
    }

    fn weight(&self) -> u8 {
        match self {
            Self::Blocked(_) => 0,
            Self::Untried(_) => 1,
            Self::Open(_) => 2,
        }
    }

    /// The worse of two; the first one of equals.
    pub fn or_worse(self, other: Self) -> Self {
        if other.weight() > self.weight() { other } else { self }
    }

    /// Tries one way after another until one succeeds. The worst counts; `None` when there is no way.
    pub fn worst(ways: impl IntoIterator<Item = Self>) -> Option<Self> {
        let mut worst: Option<Self> = None;
        for outcome in ways {
            let open = matches!(outcome, Self::Open(_));
            worst = Some(match worst {
                Some(before) => before.or_worse(outcome),
                None => outcome,
            });
            if open {
                break;
            }
        }
        worst
    }
}

/// Rows of others were read, or written.
pub fn rows(count: usize) -> String {
    match count {
        1 => "1 row".into(),
        _ => format!("{count} rows"),
    }
}

pub fn code(sqlstate: &str) -> String {
    format!("SQLSTATE {sqlstate}")
}

/// Of an attempt to read what isn't one's own: any row is one too many.
pub fn reading(came: Came) -> Outcome {
    beyond(came, 0)
}

/// Of an attempt to read or write more rows than the `own` ones.
pub fn beyond(came: Came, own: usize) -> Outcome {
    match came {
        Came::Rows(count) if count > own => Outcome::Open(rows(count - own)),
        Came::Rows(count) => Outcome::Blocked(rows(count - count.min(own))),
        Came::Refused(sqlstate) if sqlstate == "42501" => Outcome::Blocked(code(&sqlstate)),
        // Row security is checked before constraints are.
        Came::Refused(sqlstate) if sqlstate.starts_with("23") => {
            Outcome::Open(format!("only a constraint refused: {}", code(&sqlstate)))
        }
        Came::Refused(sqlstate) => Outcome::Untried(code(&sqlstate)),
    }
}

/// Of a statement that should be refused whatever rows there are.
pub fn permission(came: Came) -> Outcome {
    match came {
        Came::Rows(_) => Outcome::Open("permitted".into()),
        Came::Refused(sqlstate) if sqlstate == "42501" => Outcome::Blocked(code(&sqlstate)),
        Came::Refused(sqlstate) => Outcome::Untried(code(&sqlstate)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(sqlstate: &str) -> Came {
        Came::Refused(sqlstate.into())
    }

    #[test]
    fn only_a_refusal_of_rights_or_no_row_is_a_success_of_the_defence() {
        assert_eq!(reading(Came::Rows(0)).blocked(), Some(true));
        assert_eq!(reading(refused("42501")).blocked(), Some(true));
        assert_eq!(reading(Came::Rows(1)).blocked(), Some(false));
        for fault in ["55P03", "22P02", "XX000", "42883", "55000"] {
            assert_eq!(reading(refused(fault)).blocked(), None, "{fault}");
            assert_eq!(permission(refused(fault)).blocked(), None, "{fault}");
        }
    }

    #[test]
    fn a_constraint_is_no_isolation() {
        assert_eq!(reading(refused("23505")).blocked(), Some(false));
    }

    #[test]
    fn own_rows_are_nobody_else_s() {
        assert_eq!(beyond(Came::Rows(2), 2), Outcome::Blocked("0 rows".into()));
        assert_eq!(beyond(Came::Rows(3), 2), Outcome::Open("1 row".into()));
    }

    #[test]
    fn the_worst_counts() {
        let (blocked, untried, open) =
            (Outcome::Blocked("b".into()), Outcome::Untried("u".into()), Outcome::Open("o".into()));
        assert_eq!(Outcome::worst([blocked.clone(), open.clone(), untried.clone()]), Some(open));
        assert_eq!(Outcome::worst([blocked.clone(), untried.clone()]), Some(untried));
        assert_eq!(Outcome::worst([]), None);
        assert_eq!(blocked.of("a part").detail(), "a part: b");
    }
}
