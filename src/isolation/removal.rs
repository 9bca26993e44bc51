//! The end of the extension: which tables it leaves behind, and that it leaves them closed.

use super::guard::with_own_ddl;
use super::policy;
use crate::catalog::extension::{self, Table};
use crate::catalog::registry::as_owner;
use crate::catalog::relations;
use crate::error::{Lifecycle, Result};
use crate::sql::{self, Command as PolicyCommand};
use crate::sys::command::Command;
use crate::sys::{Oid, report, role};

/// What is dropped with the extension, or taken for it.
const NAME: &str = "pg_tenancy";

/// The most tables that a message names.
const NAMED: usize = 50;

/// Before DROP EXTENSION and DROP OWNED: where that takes the extension away, and it protects tables, says so. Without CASCADE
/// it is refused. With it, policies of others that one of the extension's, or one that calls it, has bounded are bounded by
/// one that admits nobody, and protected tables have row security, whatever became of it.
///
/// # Errors
/// 2BP01 without CASCADE.
pub fn before_removal(command: Command) -> Result<()> {
    let owner = extension::owner()?;
    let Some(cascade) = takes_away(&command, owner) else { return Ok(()) };
    // PostgreSQL refuses it to others, who learn nothing here.
    if !role::has_privileges_of(role::current(), owner) {
        return Ok(());
    }
    let find = || extension::tables(policy::CLOSED);
    let mut tables = as_owner(|| {
        extension::lock_protection()?;
        find()
    })?;
    if tables.is_empty() {
        return Ok(());
    }
    if !cascade {
        return Err(Lifecycle::StillProtects(listed(&tables)).into());
    }
    as_owner(|| {
        extension::lock_tables(&tables)?;
        tables = find()?;
        with_own_ddl(|| tables.iter().try_for_each(close))
    })?;
    report::warn(&Lifecycle::LeavesClosed(listed(&tables)).into());
    Ok(())
}

/// Whether the command takes the extension away, and if so, whether with all that depends on it.
fn takes_away(command: &Command, owner: Oid) -> Option<bool> {
    match command {
        Command::DropExtensions { names, cascade } => names.iter().any(|name| name == NAME).then_some(*cascade),
        Command::DropOwned { roles, cascade } => roles.contains(&owner).then_some(*cascade),
        _ => None,
    }
}

fn close(table: &Table) -> Result<()> {
    let nobody = Some("false");
    let steps = [
        (!table.row_security, sql::alter_table(&table.ident, "ENABLE ROW LEVEL SECURITY")),
        (!table.forced, sql::alter_table(&table.ident, "FORCE ROW LEVEL SECURITY")),
        // It may be anything.
        (table.lets_in && table.has_closing, sql::drop_policy(policy::CLOSED, &table.ident)),
        (table.lets_in, sql::create_policy(policy::CLOSED, &table.ident, false, PolicyCommand::All, nobody, nobody)),
    ];
    steps.iter().filter(|(is_needed, _)| *is_needed).try_for_each(|(_, ddl)| relations::execute(ddl))
}

/// Tables that are no part of another, by name; of many the first.
fn listed(tables: &[Table]) -> String {
    let mut names: Vec<String> =
        tables.iter().filter(|table| !table.is_part).map(|table| table.ident.to_string()).collect();
    let more = names.len().saturating_sub(NAMED);
    names.truncate(NAMED);
    let named = names.join(", ");
    if more == 0 { named } else { format!("{named}, and {more} more") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::Ident;

    #[test]
    fn only_what_takes_the_extension_away_counts() {
        let owner = Oid::from(10);
        let extensions = |names: &[&str], cascade| Command::DropExtensions {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            cascade,
        };
        assert_eq!(takes_away(&extensions(&["citext"], true), owner), None);
        assert_eq!(takes_away(&extensions(&["citext", "pg_tenancy"], false), owner), Some(false));
        assert_eq!(takes_away(&extensions(&["pg_tenancy"], true), owner), Some(true));
        assert_eq!(takes_away(&Command::DropOwned { roles: vec![Oid::from(11)], cascade: true }, owner), None);
        assert_eq!(takes_away(&Command::DropOwned { roles: vec![owner], cascade: true }, owner), Some(true));
        assert_eq!(takes_away(&Command::Other, owner), None);
    }

    #[test]
    fn a_message_names_no_parts_and_not_thousands() {
        let table = |number: usize, is_part| Table {
            ident: Ident::quoted(format!("app.t{number}")),
            is_part,
            lets_in: false,
            has_closing: false,
            row_security: true,
            forced: true,
        };
        assert_eq!(listed(&[table(1, false), table(2, true), table(3, false)]), "app.t1, app.t3");
        let many: Vec<Table> = (0..60).map(|number| table(number, false)).collect();
        assert!(listed(&many).ends_with("app.t49, and 10 more"), "{}", listed(&many));
    }
}
