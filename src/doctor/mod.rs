//! The doctor: what weakens isolation or speed, how bad it is, and the SQL that mends it. The catalog
//! finds, this room judges and words it (`codes`, `versions`: pure). May import `catalog` and below.

mod codes;
mod versions;

use crate::catalog::{doctor, extension, relations};
use crate::error::Result;
pub use codes::Severity;
use doctor::Found;

/// One thing to mend, or to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub code: &'static str,
    pub severity: Severity,
    /// Quoted and schema-qualified, as SQL needs it.
    pub object: String,
    /// What is at stake.
    pub detail: String,
    /// SQL; `None` where no SQL can mend it.
    pub fix: Option<String>,
}

/// Examines the database: the objects of one schema, or all of them and what stands above schemas.
/// `drifted` are protected tables whose policies are not as they should be, each with its remedy, `softened`
/// roles that are no longer hardened as they were, each with its own if there is one, and `stale` publications with a table whose
/// filter names nobody, and a remedy if there is one. The worst comes first; run in
/// this order, no fix gets into another one's way.
///
/// # Errors
/// 3F000 unknown schema.
pub fn examine(
    schema: Option<&str>,
    drifted: impl Iterator<Item = (String, String)>,
    softened: impl Iterator<Item = (String, Option<String>)>,
    stale: impl Iterator<Item = (String, String, Option<String>)>,
) -> Result<Vec<Finding>> {
    let oid = schema.map(relations::schema).transpose()?;
    let mut found = doctor::find(oid)?;
    let plain = |code: &str, object, fix| Found { code: code.into(), object, note: None, fix, severity: None };
    found.extend(drifted.map(|(object, fix)| plain("POLICY_DRIFT", object, Some(fix))));
    found.extend(softened.map(|(object, fix)| plain("HARDENING_DRIFT", object, fix)));
    found.extend(
        stale.map(|(object, table, fix)| Found { note: Some(table), ..plain("PUBLICATION_STALE", object, fix) }),
    );
    if oid.is_none() {
        found.extend(doctor::server_version()?.and_then(versions::too_old));
        found.extend(versions::not_updated(&extension::schema_version()?, extension::LIBRARY));
    }
    Ok(judge(found))
}

/// The known ways round row security that this server has, and what to do about them.
pub fn weaknesses_of_server() -> Result<Option<String>> {
    let found = doctor::server_version()?.and_then(versions::too_old);
    Ok(found.map(|found| format!("{}: {}", found.object, found.note.unwrap_or_default())))
}

/// Gives each finding its weight and words, and puts them in order.
fn judge(found: Vec<Found>) -> Vec<Finding> {
    let mut placed: Vec<(usize, Finding)> = found
        .into_iter()
        .filter_map(|found| {
            let (place, code) = codes::find(&found.code)?;
            let severity = found.severity.as_deref().and_then(Severity::parse).unwrap_or(code.severity);
            let detail = code.detail(found.note.as_deref(), found.fix.is_some());
            Some((place, Finding { code: code.name, severity, object: found.object, detail, fix: found.fix }))
        })
        .collect();
    placed.sort_by(|(a_place, a), (b_place, b)| {
        (a.severity, a_place, &a.object, &a.fix).cmp(&(b.severity, b_place, &b.object, &b.fix))
    });
    placed.dedup();
    placed.into_iter().map(|(_, finding)| finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(code: &str, object: &str, severity: Option<&str>) -> Found {
        Found { code: code.into(), object: object.into(), note: None, fix: None, severity: severity.map(Into::into) }
    }

    #[test]
    fn the_worst_comes_first_and_nothing_twice() {
        let findings = judge(vec![
            found("TEMP_FOR_TENANTS", "db", None),
            found("RLS_DISABLED", "b", None),
            found("RLS_DISABLED", "a", None),
            found("RLS_DISABLED", "a", None),
            found("UNIQUE_GLOBAL", "k", Some("low")),
        ]);
        let order: Vec<_> = findings.iter().map(|f| (f.code, f.object.as_str(), f.severity)).collect();
        assert_eq!(
            order,
            [
                ("RLS_DISABLED", "a", Severity::Critical),
                ("RLS_DISABLED", "b", Severity::Critical),
                ("TEMP_FOR_TENANTS", "db", Severity::Medium),
                ("UNIQUE_GLOBAL", "k", Severity::Low),
            ]
        );
    }

    #[test]
    fn the_note_fills_the_blank() {
        let with_note = Found { note: Some("owner".into()), ..found("VIEW_BYPASS", "app.v", None) };
        let detail = &judge(vec![with_note])[0].detail;
        assert!(detail.contains("owner") && !detail.contains("{}"), "{detail}");
    }
}
