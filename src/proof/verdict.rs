//! From policies and privileges to what the role can do with the row, by PostgreSQL's rules. Pure.

use crate::sql::Command;

/// What a policy's expression says of the row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    Yes,
    No,
    /// It raised this SQLSTATE.
    Failed(String),
}

/// A policy that binds the role, evaluated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub name: String,
    pub permissive: bool,
    pub command: Command,
    pub using: Option<Said>,
    /// On the row as it is.
    pub check: Option<Said>,
}

/// Whether a command reaches the row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Yes,
    No(String),
}

/// What row security does with the command; SELECT, UPDATE or DELETE. UPDATE and DELETE are meant with a WHERE,
/// which makes them read as well.
pub fn by_policies(rules: &[Rule], command: Command) -> Verdict {
    let using = |of: Command| passes(rules, of, |rule| rule.using.as_ref());
    let checks = |of: Command| passes(rules, of, |rule| rule.check.as_ref().or(rule.using.as_ref()));
    let mut verdicts = vec![using(Command::Select)];
    if command != Command::Select {
        verdicts.push(using(command));
    }
    if command == Command::Update {
        verdicts.push(checks(command));
    }
    verdicts.into_iter().find(|verdict| *verdict != Verdict::Yes).unwrap_or(Verdict::Yes)
}

/// All restrictive policies must say yes, and at least one permissive one.
fn passes<'r>(rules: &'r [Rule], command: Command, said: impl Fn(&'r Rule) -> Option<&'r Said>) -> Verdict {
    let applying = rules.iter().filter(|rule| rule.command == Command::All || rule.command == command);
    let said: Vec<(&Rule, &Said)> = applying.filter_map(|rule| Some((rule, said(rule)?))).collect();
    for (rule, said) in said.iter().filter(|(rule, _)| !rule.permissive) {
        match said {
            Said::Yes => {}
            Said::No => return Verdict::No(format!("policy {} does not let it pass", rule.name)),
            Said::Failed(sqlstate) => return Verdict::No(failed(rule, sqlstate)),
        }
    }
    if said.iter().any(|(rule, said)| rule.permissive && **said == Said::Yes) {
        return Verdict::Yes;
    }
    let failure = said.iter().find_map(|(rule, said)| match said {
        Said::Failed(sqlstate) if rule.permissive => Some(failed(rule, sqlstate)),
        _ => None,
    });
    Verdict::No(failure.unwrap_or_else(|| format!("no permissive policy lets {} pass", command.keyword())))
}

fn failed(rule: &Rule, sqlstate: &str) -> String {
    format!("policy {} fails with SQLSTATE {sqlstate}", rule.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(permissive: bool, command: Command, using: Option<Said>, check: Option<Said>) -> Rule {
        Rule { name: "p".into(), permissive, command, using, check }
    }

    fn is_yes(rules: &[Rule], command: Command) -> bool {
        by_policies(rules, command) == Verdict::Yes
    }

    #[test]
    fn without_a_permissive_policy_nothing_passes() {
        assert!(!is_yes(&[], Command::Select));
        assert!(!is_yes(&[rule(false, Command::All, Some(Said::Yes), None)], Command::Select));
        assert!(is_yes(&[rule(true, Command::All, Some(Said::Yes), None)], Command::Select));
    }

    #[test]
    fn one_restrictive_policy_suffices_to_refuse() {
        let open = rule(true, Command::All, Some(Said::Yes), None);
        for said in [Said::No, Said::Failed("22P02".into())] {
            assert!(!is_yes(&[open.clone(), rule(false, Command::Select, Some(said), None)], Command::Select));
        }
        assert!(is_yes(&[open, rule(false, Command::Insert, None, Some(Said::No))], Command::Select));
    }

    #[test]
    fn to_change_a_row_one_must_see_it() {
        let rules = [rule(true, Command::Delete, Some(Said::Yes), None)];
        assert!(!is_yes(&rules, Command::Delete));
        let rules = [rules[0].clone(), rule(true, Command::Select, Some(Said::Yes), None)];
        assert!(is_yes(&rules, Command::Delete));
        assert!(!is_yes(&rules, Command::Update));
    }

    #[test]
    fn an_update_must_leave_the_row_as_its_policies_want_it() {
        let select = rule(true, Command::Select, Some(Said::Yes), None);
        let update = |check| rule(true, Command::Update, Some(Said::Yes), check);
        assert!(is_yes(&[select.clone(), update(None)], Command::Update));
        assert!(!is_yes(&[select, update(Some(Said::No))], Command::Update));
    }

    #[test]
    fn a_policy_that_fails_hinders_only_where_no_other_helps() {
        let failing = rule(true, Command::Select, Some(Said::Failed("22P02".into())), None);
        let Verdict::No(reason) = by_policies(std::slice::from_ref(&failing), Command::Select) else { panic!() };
        assert!(reason.contains("22P02"), "{reason}");
        assert!(is_yes(&[failing, rule(true, Command::Select, Some(Said::Yes), None)], Command::Select));
    }
}
