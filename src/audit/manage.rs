//! Having tables audited, and keeping them so.

use crate::catalog::audited::{self, Config, State};
use crate::catalog::event::{self, Event};
use crate::catalog::registry::as_owner;
use crate::catalog::{audit_log, protection, relations};
use crate::error::{Error, Result};
use crate::sys::backend::BackendCell;
use crate::sys::{Oid, relation};
use crate::{guc, sql};
use serde_json::json;

/// True while the extension makes and drops its triggers itself.
static OWN_DDL: BackendCell<bool> = BackendCell::new(false);

/// Has what is changed in a table, and in all that inherits from it, recorded.
///
/// # Errors
/// 42501 when the caller doesn't own the table; 42809, 0A000 when it is no table of a user; 55000 when it is neither
/// protected nor global, or audited as a part of another; 42703 unknown column; 22023 when a column can't be redacted.
pub fn audit(table: Oid, config: &Config) -> Result<()> {
    relations::check_owned(table)?;
    relation::lock_definition(table);
    check_no_part(table)?;
    let name = relations::name(table)?;
    let Some(protection) = as_owner(|| protection::find(table))? else { return Err(Error::NotClassified(name)) };
    check_columns(table, &name, config, protection.tenant_column.as_deref())?;
    as_owner(|| {
        let _own = OWN_DDL.raised();
        audit_log::maintain()?;
        let mut changed = false;
        for (part, part_name) in audited::tree(table)? {
            changed |= set_up(part, &part_name, config)?;
        }
        if !changed {
            return Ok(());
        }
        event::write(Event {
            event: "table.audited",
            object: Some(name),
            detail: Some(json!({ "ignore": config.ignore, "redact": config.redact })),
            ..Event::default()
        })
    })
}

/// Ends recording for a table, and for all that inherits from it.
///
/// # Errors
/// As for `audit`; 55000 when it is not audited.
pub fn unaudit(table: Oid) -> Result<()> {
    relations::check_owned(table)?;
    relation::lock_definition(table);
    check_no_part(table)?;
    let name = relations::name(table)?;
    if audited::find(table)?.is_none() {
        return Err(Error::NotAudited(name));
    }
    as_owner(|| {
        let _own = OWN_DDL.raised();
        for (part, part_name) in audited::tree(table)? {
            audited::remove(part)?;
            for (trigger, _) in audited::TRIGGERS {
                relations::execute(&sql::drop_trigger(trigger, &part_name))?;
            }
        }
        event::write(Event { event: "table.unaudited", object: Some(name), ..Event::default() })
    })
}

/// Makes the log's partitions that are missing. Returns how many entries were moved to them.
pub fn maintain() -> Result<usize> {
    audit_log::maintain()
}

/// Whether the log may be changed.
///
/// # Errors
/// 42501 to everybody but the extension.
pub fn check_log() -> Result<()> {
    if audit_log::is_being_maintained() { Ok(()) } else { Err(Error::AppendOnlyLog) }
}

fn check_no_part(table: Oid) -> Result<()> {
    for parent in relations::ancestors(table)? {
        if audited::find(parent)?.is_some() {
            let (relation, parent) = (relations::name(table)?, relations::name(parent)?);
            return Err(Error::AuditedThroughParent { relation, parent });
        }
    }
    Ok(())
}

fn check_columns(table: Oid, name: &str, config: &Config, tenant_column: Option<&str>) -> Result<()> {
    let columns = audited::columns(table)?;
    if let Some(unknown) = config.ignore.iter().chain(&config.redact).find(|column| !columns.contains(column)) {
        return Err(Error::NoSuchKeyColumn { relation: name.to_owned(), column: unknown.clone() });
    }
    let key = audited::key_columns(table)?;
    let cant = |column: &String| {
        if key.contains(column) {
            Some("it is part of the key")
        } else {
            (tenant_column == Some(column)).then_some("it is the tenant column")
        }
    };
    match config.redact.iter().find_map(|column| Some((column, cant(column)?))) {
        Some((column, reason)) => Err(Error::CantRedact { relation: name.to_owned(), column: column.clone(), reason }),
        None => Ok(()),
    }
}

/// Records one table, and makes its triggers. Returns whether anything was to be done.
fn set_up(table: Oid, name: &str, config: &Config) -> Result<bool> {
    let recorded = audited::put(table, config)?;
    let complete = audited::states()?.iter().any(|state| state.relation == table && is_complete(state));
    if !complete {
        for (trigger, when) in audited::TRIGGERS {
            relations::execute(&sql::create_audit_trigger(trigger, &when.replace("{}", name)))?;
            relations::execute(&sql::enable_always(trigger, name))?;
        }
    }
    Ok(recorded || !complete)
}

fn is_complete(state: &State) -> bool {
    usize::try_from(state.triggers).is_ok_and(|count| count == audited::TRIGGERS.len())
}

/// After any DDL: refuses taking triggers from an audited table, has parts audited that came to one, and follows
/// columns to their new names.
///
/// # Errors
/// 42501 for taking a trigger.
pub fn after_command() -> Result<()> {
    if OWN_DDL.get() || !audited::are_any() {
        return Ok(());
    }
    as_owner(|| {
        if guc::guard_ddl()
            && let Some((before, now)) = audited::states_around()?
            && let Some(state) = weakened(&before, &now)
        {
            let losses = "triggers that record its changes".into();
            return Err(Error::Weakened { relation: relations::name(state.relation)?, losses });
        }
        for state in audited::states()? {
            follow_columns(&state)?;
        }
        let _own = OWN_DDL.raised();
        loop {
            let parts = audited::new_parts()?;
            let Some((part, parent)) = parts.first().copied() else { return Ok(()) };
            if let Some(config) = audited::find(parent)? {
                set_up(part, &relations::name(part)?, &config)?;
            }
        }
    })
}

/// A table that had all triggers and has no more.
fn weakened<'a>(before: &[State], now: &'a [State]) -> Option<&'a State> {
    let was_complete = |relation| before.iter().any(|state| state.relation == relation && is_complete(state));
    now.iter().find(|state| !is_complete(state) && was_complete(state.relation))
}

fn follow_columns(state: &State) -> Result<()> {
    if state.config.ignore.is_empty() && state.config.redact.is_empty() {
        return Ok(());
    }
    let renamed = audited::renamed(state.relation)?;
    if renamed.is_empty() {
        return Ok(());
    }
    audited::put(state.relation, &followed(&state.config, &renamed)).map(|_| ())
}

/// The columns by the names that they have now; those that are gone are left out.
fn followed(config: &Config, renamed: &[(String, Option<String>)]) -> Config {
    let follow = |names: &[String]| -> Vec<String> {
        let now = |name: &String| match renamed.iter().find(|(before, _)| before == name) {
            Some((_, now)) => now.clone(),
            None => Some(name.clone()),
        };
        names.iter().filter_map(now).collect()
    };
    Config { ignore: follow(&config.ignore), redact: follow(&config.redact) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(relation: u32, triggers: i32) -> State {
        State { relation: Oid::from(relation), triggers, config: Config::default() }
    }

    #[test]
    fn what_was_complete_must_stay_so() {
        let before = [state(1, 4), state(2, 3), state(3, 4)];
        let now = [state(1, 4), state(2, 3), state(4, 0)];
        assert_eq!(weakened(&before, &now), None);
        assert_eq!(weakened(&before, &[state(3, 3)]), Some(&state(3, 3)));
    }

    #[test]
    fn columns_are_followed_to_their_new_names() {
        let config = Config { ignore: vec!["a".into(), "b".into()], redact: vec!["c".into()] };
        let renamed = [("a".into(), Some("b".into())), ("b".into(), Some("a".into())), ("c".into(), None)];
        let now = followed(&config, &renamed);
        assert_eq!(now, Config { ignore: vec!["b".into(), "a".into()], redact: Vec::new() });
    }
}
