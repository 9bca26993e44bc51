//! What a command took from a table's protection. Pure: facts before and after, and what the plan now misses.

use super::plan::Part;
use crate::catalog::guard::Facts;
use crate::sys::Oid;

/// What the table misses now because the command changed it, as words for people. `missing` is `None` when the
/// tenant column is gone, or unsuitable. What was not there before can't have been taken.
pub fn weakened(before: &Facts, now: &Facts, missing: Option<&[Part]>) -> Vec<String> {
    let taken = |fact: &str| before.contains_key(fact) && before.get(fact) != now.get(fact);
    let Some(missing) = missing else {
        return if taken("column") { vec!["the tenant column".into()] } else { Vec::new() };
    };
    let mut losses: Vec<String> = missing
        .iter()
        .filter_map(|part| {
            let (fact, words) = match part {
                Part::Default => ("default".into(), "the tenant column's default".into()),
                Part::NotNull => ("not null".into(), "the tenant column's NOT NULL".into()),
                Part::Policy(name) => (format!("policy {name}"), format!("policy {name}")),
                Part::RowSecurity => ("row security".into(), "row level security".into()),
                Part::Forced => ("forced".into(), "forced row level security".into()),
                Part::TruncateGuard => ("truncate guard".to_owned(), "the guard against TRUNCATE".to_owned()),
                // Privileges are compared by themselves; indexes and references are no matter of isolation.
                Part::Nullable | Part::Grants | Part::Index | Part::Reference | Part::Statistics => return None,
            };
            taken(&fact).then_some(words)
        })
        .collect();
    losses.dedup();
    losses
}

/// What leads round row security and the command added: privileges and rules.
pub fn granted(before: &Facts, now: &Facts) -> Vec<String> {
    let added = now.iter().filter(|(fact, _)| !before.contains_key(*fact));
    added
        .filter_map(|(fact, words)| match fact.split_once(' ') {
            Some(("grant", _)) => Some(words.clone()),
            Some(("rule", name)) => Some(format!("rule {name}")),
            _ => None,
        })
        .collect()
}

/// The tables that the command made parents of this one.
pub fn new_parents(before: &Facts, now: &Facts) -> Vec<Oid> {
    let added = now.keys().filter(|fact| !before.contains_key(*fact));
    added.filter_map(|fact| Some(Oid::from(fact.strip_prefix("parent ")?.parse::<u32>().ok()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(facts: &[(&str, &str)]) -> Facts {
        facts.iter().map(|(part, state)| ((*part).to_owned(), (*state).to_owned())).collect()
    }

    #[test]
    fn what_a_command_takes_is_lost() {
        let before = facts(&[("forced", ""), ("policy a", "1"), ("default", "x"), ("column", "2 uuid")]);
        let now = facts(&[("policy a", "2"), ("default", "x"), ("column", "2 uuid")]);
        let missing = [Part::Policy("a".into()), Part::Policy("a".into()), Part::Forced];
        assert_eq!(weakened(&before, &now, Some(&missing)), ["policy a", "forced row level security"]);
        assert_eq!(weakened(&before, &facts(&[]), None), ["the tenant column"]);
    }

    #[test]
    fn what_was_missing_or_wrong_before_is_not_lost() {
        let before = facts(&[("policy b", "wrong")]);
        let now = facts(&[("policy a", "wrong"), ("policy b", "wrong")]);
        let missing = [Part::Policy("a".into()), Part::Policy("b".into()), Part::Forced, Part::Default];
        assert!(weakened(&before, &now, Some(&missing)).is_empty());
        assert!(weakened(&before, &now, None).is_empty());
    }

    #[test]
    fn what_the_plan_does_not_miss_may_change() {
        let before = facts(&[("policy a", "1"), ("truncate guard", "O")]);
        let now = facts(&[("policy a", "2"), ("truncate guard", "A")]);
        assert!(weakened(&before, &now, Some(&[Part::Index, Part::Nullable])).is_empty());
    }

    #[test]
    fn privileges_and_rules_count_when_they_are_new() {
        let before = facts(&[("grant 1 TRUNCATE", "TRUNCATE granted to a")]);
        let now = facts(&[
            ("grant 1 TRUNCATE", "TRUNCATE granted to a"),
            ("grant 0 TRIGGER", "TRIGGER granted to PUBLIC"),
            ("rule r", ""),
            ("schema", "1"),
        ]);
        assert_eq!(granted(&before, &now), ["TRIGGER granted to PUBLIC", "rule r"]);
        assert!(granted(&now, &before).is_empty());
    }

    #[test]
    fn parents_count_when_they_are_new() {
        let before = facts(&[("parent 11", ""), ("owner", "10")]);
        let now = facts(&[("parent 11", ""), ("parent 12", ""), ("owner", "10")]);
        assert_eq!(new_parents(&before, &now), [Oid::from(12)]);
        assert!(new_parents(&now, &before).is_empty());
    }
}
