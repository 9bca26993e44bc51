//! Views that tenants may read: whether another tenant's rows make a difference to what they show.

use super::outcome::{Outcome, code, reading};
use super::scene::{Came, Scene};
use crate::catalog::attack::{self, View};
use crate::error::Result;

pub fn view(scene: &Scene<'_>) -> Option<Outcome> {
    Outcome::worst(scene.target.views.iter().map(|view| {
        let name = view.ident.to_string();
        match shown_by(scene, view) {
            Outcome::Blocked(detail) => Outcome::Blocked(detail),
            outcome => outcome.of(&name),
        }
    }))
}

fn shown_by(scene: &Scene<'_>, view: &View) -> Outcome {
    let ident = &view.ident;
    if !view.owner_reads {
        return Outcome::Untried("the table's owner may not read it, and what his policies call would".into());
    }
    if view.shows_tenant {
        let column = scene.target.tenant_column.to_string();
        let foreign = scene.run(&format!("SELECT 1 FROM {ident} WHERE {} LIMIT 1", scene.foreign(&column)), 0);
        if let Outcome::Open(detail) = reading(foreign) {
            return Outcome::Open(detail);
        }
    }
    match differences(scene, &print_of(&ident.to_string())) {
        Err(Came::Refused(sqlstate)) if sqlstate == "42501" => Outcome::Blocked(code(&sqlstate)),
        Err(Came::Refused(sqlstate)) => Outcome::Untried(code(&sqlstate)),
        Err(Came::Rows(_)) => Outcome::Untried("nothing could be read".into()),
        Ok(Differences { by_itself: true, .. }) => Outcome::Untried("it shows something else each time".into()),
        Ok(Differences { other: true, .. }) => Outcome::Open("another tenant's row changes what it shows".into()),
        Ok(Differences { mine: false, .. }) => Outcome::Untried("it does not show the tenant's own row either".into()),
        Ok(_) => Outcome::Blocked("0 rows".into()),
    }
}

/// What makes a difference to a view.
struct Differences {
    by_itself: bool,
    other: bool,
    mine: bool,
}

fn differences(scene: &Scene<'_>, print: &str) -> std::result::Result<Differences, Came> {
    let printed = |without: Option<&str>| -> std::result::Result<Option<String>, Came> {
        let work = || -> Result<Option<String>> {
            if let Some(tenant) = without {
                scene.remove(tenant)?;
            }
            attack::text(print)
        };
        scene.lab.transaction(scene.attacker, &scene.lab.mine.key, work).map_err(Came::Refused)
    };
    let whole = printed(None)?;
    Ok(Differences {
        by_itself: printed(None)? != whole,
        other: printed(Some(&scene.target.other))? != whole,
        mine: printed(Some(&scene.target.mine))? != whole,
    })
}

/// A query whose result is another one for other rows.
fn print_of(view: &str) -> String {
    format!(
        "SELECT pg_catalog.count(*)::pg_catalog.text OPERATOR(pg_catalog.||) ' ' OPERATOR(pg_catalog.||) \
         coalesce(pg_catalog.sum(pg_catalog.hashtextextended((shown.*)::pg_catalog.text, 0)::pg_catalog.numeric), \
                  0)::pg_catalog.text \
         FROM (SELECT * FROM {view} LIMIT 100000) AS shown"
    )
}
