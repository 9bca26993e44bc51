//! Managed schemas: what happens to tables that come into them.

use super::kind::Kind;
use super::protect::{Options, protect};
use crate::catalog::event::{self, Event};
use crate::catalog::guard::{self, Facts, Managed, Touched};
use crate::catalog::{extension, managed, protection, registry::as_owner, relations};
use crate::error::{Error, Result};
use crate::sys::command::Command;
use crate::sys::report;
use serde_json::json;

/// What happens to a table that comes into a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnNew {
    /// With the tenant column: protected.
    Protect,
    /// As `Protect`; without the column: refused.
    Reject,
    /// A warning, unless it is protected or classified.
    Warn,
    Off,
}

impl OnNew {
    /// Reads it as SQL names it.
    pub fn parse(text: &str) -> Result<Self> {
        Ok(match text {
            "protect" => Self::Protect,
            "reject" => Self::Reject,
            "warn" => Self::Warn,
            "off" => Self::Off,
            _ => {
                return Err(Error::InvalidArgument {
                    what: "on_new",
                    reason: format!("\"{text}\" is none of protect, reject, warn, off"),
                });
            }
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Leave,
    Protect,
    Reject,
    Warn,
}

fn verdict(on_new: OnNew, has_column: bool) -> Verdict {
    match (on_new, has_column) {
        (OnNew::Protect | OnNew::Reject, true) => Verdict::Protect,
        (OnNew::Reject, false) => Verdict::Reject,
        (OnNew::Warn, _) => Verdict::Warn,
        (OnNew::Protect, false) | (OnNew::Off, _) => Verdict::Leave,
    }
}

/// Whether the command brought the table: made it, moved it here, or gave it the tenant column. Other tables of the
/// schema stay as they are, whatever is done to them.
fn is_new(before: Option<&Facts>, now: &Facts) -> bool {
    match before {
        None => true,
        Some(before) => {
            before.get("schema") != now.get("schema") || (!before.contains_key("column") && now.contains_key("column"))
        }
    }
}

/// Records what happens to tables that come into a schema. Called as the extension's owner.
///
/// # Errors
/// 3F000 unknown schema; 22023 for what can't happen; 0A000 for a system schema.
pub fn manage_schema(schema: &str, on_new: &str) -> Result<()> {
    OnNew::parse(on_new)?;
    extension::check_schema()?;
    if managed::put(schema, on_new)? {
        event::write(Event {
            event: "schema.managed",
            object: Some(schema.to_owned()),
            detail: Some(json!({ "on_new": on_new })),
            ..Event::default()
        })?;
    }
    Ok(())
}

/// Keeps the record of a schema that was given another name.
pub fn follow_schema(command: Command) -> Result<()> {
    match command {
        Command::RenameSchema { from, to } => managed::rename(&from, &to),
        _ => Ok(()),
    }
}

/// Does with a table as its schema says. Tables of extensions, and parts of tables classified as global, are left alone.
pub fn after_command(table: &Touched) -> Result<()> {
    let Touched { oid, own: None, above: None, managed: Some(Managed { on_new, tenant_column }), in_extension: false } =
        table
    else {
        return Ok(());
    };
    // A part of a table that came with it is recorded by now.
    if as_owner(|| protection::find(*oid))?.is_some() {
        return Ok(());
    }
    let Some((before, now)) = guard::facts_around(&[*oid], tenant_column)? else { return Ok(()) };
    let Some(now) = now.get(&oid.to_u32()) else { return Ok(()) };
    if !is_new(before.get(&oid.to_u32()), now) {
        return Ok(());
    }
    let has_column = now.contains_key("column");
    match verdict(OnNew::parse(on_new)?, has_column) {
        Verdict::Leave => {}
        Verdict::Protect => {
            let options = Options {
                tenant_column: tenant_column.clone(),
                kind: Kind::Tenant,
                create_index: true,
                reference_tenants: false,
                statistics_target: None,
                dry_run: false,
            };
            protect(*oid, &options)?;
        }
        Verdict::Reject => {
            return Err(Error::Unclassified { relation: relations::name(*oid)?, column: tenant_column.clone() });
        }
        Verdict::Warn => {
            let (relation, column) = (relations::name(*oid)?, tenant_column.clone());
            report::warn(&if has_column {
                Error::Unprotected(relation)
            } else {
                Error::Unclassified { relation, column }
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tenant_column_decides_what_happens() {
        assert_eq!(verdict(OnNew::Protect, true), Verdict::Protect);
        assert_eq!(verdict(OnNew::Protect, false), Verdict::Leave);
        assert_eq!(verdict(OnNew::Reject, true), Verdict::Protect);
        assert_eq!(verdict(OnNew::Reject, false), Verdict::Reject);
        for has_column in [false, true] {
            assert_eq!(verdict(OnNew::Warn, has_column), Verdict::Warn);
            assert_eq!(verdict(OnNew::Off, has_column), Verdict::Leave);
        }
    }

    #[test]
    fn a_table_is_new_when_made_moved_or_given_the_column() {
        let facts = |schema: &str, column: bool| -> Facts {
            let mut facts = Facts::from([("schema".into(), schema.into())]);
            if column {
                facts.insert("column".into(), "1".into());
            }
            facts
        };
        assert!(is_new(None, &facts("1", false)));
        assert!(is_new(Some(&facts("2", true)), &facts("1", true)));
        assert!(is_new(Some(&facts("1", false)), &facts("1", true)));
        assert!(!is_new(Some(&facts("1", true)), &facts("1", true)));
        assert!(!is_new(Some(&facts("1", true)), &facts("1", false)));
    }

    #[test]
    fn what_can_happen_is_one_of_four() {
        assert_eq!(OnNew::parse("warn"), Ok(OnNew::Warn));
        assert!(OnNew::parse("Protect").is_err());
    }
}
