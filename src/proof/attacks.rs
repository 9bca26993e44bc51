//! The attacks, in the order in which they are told. Each one can succeed: where it is blocked, it is because of
//! something that can be taken away.

use super::outcome::{Outcome, beyond, code, permission, reading};
use super::scene::{Came, Ground, Scene, act_for, insert, values_of};
use crate::catalog::registry::as_owner;
use crate::catalog::{attack, hierarchy};
use crate::error::Result;
use crate::sql::equal;
use crate::sys::option::{self, Scope};
use crate::sys::subxact;

/// What the attacker must be able to do with his own rows, for an attack on others' to show anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// The attack needs no rows.
    None,
    Read,
    Insert,
    Update,
    Delete,
}

pub struct Attack {
    pub name: &'static str,
    pub control: Control,
    /// `None` where there is nothing to attack.
    pub run: fn(&Scene<'_>) -> Option<Outcome>,
}

impl Attack {
    /// Only some tables have what it goes for.
    pub fn is_special(&self) -> bool {
        self.name.starts_with("part_")
            || ["view", "write_shared", "change_own", "write_below", "references"].contains(&self.name)
    }
}

const fn attack(name: &'static str, control: Control, run: fn(&Scene<'_>) -> Option<Outcome>) -> Attack {
    Attack { name, control, run }
}

pub const ATTACKS: [Attack; 37] = [
    attack("read", Control::Read, read),
    attack("count", Control::Read, count),
    attack("aggregate", Control::Read, aggregate),
    attack("cursor", Control::Read, cursor),
    attack("prepared_plan", Control::Read, prepared_plan),
    attack("leaky_function", Control::Read, leaky_function),
    attack("own_view", Control::Read, own_view),
    attack("view", Control::Read, super::views::view),
    attack("row_security_off", Control::Read, row_security_off),
    attack("no_context", Control::Read, no_context),
    attack("reset_context", Control::Read, reset_context),
    attack("second_tenant", Control::Read, second_tenant),
    attack("insert", Control::Insert, insert_foreign),
    attack("update", Control::Update, update),
    attack("update_all", Control::Update, update_all),
    attack("delete", Control::Delete, delete),
    attack("delete_all", Control::Delete, delete_all),
    attack("move_row", Control::Update, move_row),
    attack("move_all", Control::Update, move_all),
    attack("upsert", Control::Insert, upsert),
    attack("merge", Control::Insert, merge),
    attack("write_shared", Control::Insert, write_shared),
    attack("change_own", Control::Read, change_own),
    attack("write_below", Control::Read, write_below),
    attack("part_read", Control::Read, part_read),
    attack("part_insert", Control::Insert, part_insert),
    attack("part_update", Control::Update, part_update),
    attack("part_delete", Control::Delete, part_delete),
    attack("part_truncate", Control::None, part_truncate),
    attack("truncate", Control::None, truncate),
    attack("disable_rls", Control::None, disable_rls),
    attack("no_force_rls", Control::None, no_force_rls),
    attack("create_policy", Control::None, create_policy),
    attack("create_trigger", Control::None, create_trigger),
    attack("references", Control::None, references),
    attack("unique_oracle", Control::Insert, unique_oracle),
    attack("foreign_key_oracle", Control::None, foreign_key_oracle),
];

/// Whether the attacker can do with his own row what he is about to try with another's. Says what happened
/// where he can't.
pub fn control(scene: &Scene<'_>, control: Control) -> std::result::Result<(), String> {
    let (table, column, mine) = (scene.table(), &scene.target.tenant_column, &scene.target.mine);
    let own_rows_change = scene.target.kind != "append_only";
    let (verb, came) = match control {
        Control::None => return Ok(()),
        Control::Read => {
            ("read", scene.run(&format!("SELECT 1 FROM {table} WHERE {} LIMIT 1", equal(column, mine)), 0))
        }
        Control::Insert => {
            let row = scene.rows().map(|rows| rows.mine.as_str()).unwrap_or_default();
            let came = match scene.run_with(&insert(&scene.target.root.bed, mine), row) {
                // The planted row is there already.
                Came::Refused(sqlstate) if sqlstate.starts_with("23") => Came::Rows(1),
                came => came,
            };
            ("inserted", came)
        }
        Control::Update | Control::Delete if !own_rows_change => return self::control(scene, Control::Read),
        Control::Update => {
            let statement = format!("UPDATE {table} SET {column} = {column} WHERE {} RETURNING 1", equal(column, mine));
            ("updated", scene.run(&statement, 1))
        }
        Control::Delete => {
            ("deleted", scene.run(&format!("DELETE FROM {table} WHERE {} RETURNING 1", equal(column, mine)), 1))
        }
    };
    match came {
        Came::Rows(1..) => Ok(()),
        Came::Rows(0) => Err(format!("the tenant's own row could not be {verb} either")),
        Came::Refused(sqlstate) => Err(format!("the tenant's own row could not be {verb} either: {}", code(&sqlstate))),
    }
}

fn select_foreign(scene: &Scene<'_>) -> String {
    let column = scene.target.tenant_column.to_string();
    format!("SELECT 1 FROM {} WHERE {} LIMIT 1", scene.table(), scene.foreign(&column))
}

/// The tenant column of what is visible. Limited, so that an open table of any size is no work.
fn visible(scene: &Scene<'_>) -> String {
    let (table, column) = (scene.table(), &scene.target.tenant_column);
    let owned = if scene.target.kind == "shared" { format!(" WHERE {column} IS NOT NULL") } else { String::new() };
    format!("(SELECT {column} AS tenant FROM {table}{owned} LIMIT 1000) AS visible")
}

fn read(scene: &Scene<'_>) -> Option<Outcome> {
    Some(reading(scene.run(&select_foreign(scene), 0)))
}

fn count(scene: &Scene<'_>) -> Option<Outcome> {
    let own = scene.rows()?.count;
    let statement = format!(
        "SELECT 1 FROM (SELECT pg_catalog.count(*) AS total FROM {}) AS counted \
         WHERE total OPERATOR(pg_catalog.>) {own}",
        visible(scene)
    );
    Some(reading(scene.run(&statement, 0)))
}

fn aggregate(scene: &Scene<'_>) -> Option<Outcome> {
    let mine = format!("{}::pg_catalog.text", scene.target.mine);
    let statement = format!(
        "SELECT 1 FROM (SELECT pg_catalog.min(tenant::pg_catalog.text) AS lowest, \
         pg_catalog.max(tenant::pg_catalog.text) AS highest FROM {}) AS summed \
         WHERE ({} AND {}) IS NOT TRUE",
        visible(scene),
        equal("lowest", &mine),
        equal("highest", &mine)
    );
    Some(reading(scene.run(&statement, 0)))
}

/// Opened under one tenant, read after every attempt to become another.
fn cursor(scene: &Scene<'_>) -> Option<Outcome> {
    let switch = || {
        for key in ["", &scene.lab.other.key] {
            // A refusal is what should come, and what the rows will tell.
            let _ = subxact::attempt(|| {
                act_for(key);
                Ok(())
            });
        }
    };
    Some(match scene.as_mine(|| attack::fetch_after(&select_foreign(scene), 1, switch)) {
        // A cursor of another tenant is refused as such.
        Came::Refused(sqlstate) if sqlstate == "55000" => Outcome::Blocked(code(&sqlstate)),
        came => reading(came),
    })
}

/// A plan that was made for one tenant, run for another.
fn prepared_plan(scene: &Scene<'_>) -> Option<Outcome> {
    let came = scene.as_nobody(|| {
        attack::prepared(&select_foreign(scene), |run| {
            for key in [&scene.lab.other.key, &scene.lab.mine.key] {
                let _aside = scene.lab.aside();
                act_for(key);
                let rows = run()?;
                if *key == scene.lab.mine.key {
                    return Ok(rows);
                }
            }
            Ok(0)
        })
    });
    Some(reading(came))
}

/// A condition that fails on other tenants' rows, if it gets to see them.
fn leaky_function(scene: &Scene<'_>) -> Option<Outcome> {
    let column = scene.target.tenant_column.to_string();
    let statement = format!(
        "SELECT 1 FROM {} WHERE 1 OPERATOR(pg_catalog./) (CASE WHEN {} THEN 0 ELSE 1 END) \
         OPERATOR(pg_catalog.>) 0 LIMIT 1000",
        scene.table(),
        scene.foreign(&column)
    );
    Some(match scene.run(&statement, 0) {
        Came::Refused(sqlstate) if sqlstate == "22012" => Outcome::Open(code(&sqlstate)),
        // What it returns are own rows, and in shared tables nobody's.
        Came::Rows(_) => Outcome::Blocked("0 rows".into()),
        came => reading(came),
    })
}

fn own_view(scene: &Scene<'_>) -> Option<Outcome> {
    let view = format!("{}.own_view", scene.lab.schema);
    let came = scene.as_mine(|| {
        let (table, column) = (scene.table(), &scene.target.tenant_column);
        attack::run(&format!("CREATE VIEW {view} AS SELECT {column} AS tenant FROM {table}"), None, 0)?;
        attack::run(&format!("SELECT 1 FROM {view} WHERE {} LIMIT 1", scene.foreign("tenant")), None, 0)
    });
    Some(reading(came))
}

fn row_security_off(scene: &Scene<'_>) -> Option<Outcome> {
    let came = scene.as_mine(|| {
        option::set(c"row_security", "off", Scope::Transaction);
        attack::run(&select_foreign(scene), None, 0)
    });
    Some(reading(came))
}

fn no_context(scene: &Scene<'_>) -> Option<Outcome> {
    let column = &scene.target.tenant_column;
    let shared = if scene.target.has_shared_row { format!(" OR {column} IS NULL") } else { String::new() };
    let statement = format!(
        "SELECT 1 FROM {} WHERE {} OR {}{shared} LIMIT 1",
        scene.table(),
        equal(column, &scene.target.mine),
        equal(column, &scene.target.other)
    );
    Some(reading(scene.as_nobody(|| attack::run(&statement, None, 0))))
}

fn reset_context(scene: &Scene<'_>) -> Option<Outcome> {
    let came = scene.as_mine(|| {
        attack::run(&select_foreign(scene), None, 0)?;
        attack::run("RESET tenancy.tenant_id", None, 0)?;
        attack::run(&select_foreign(scene), None, 0)
    });
    Some(reading(came))
}

/// Every way to name another tenant once one is in use.
fn second_tenant(scene: &Scene<'_>) -> Option<Outcome> {
    let other = &scene.lab.other.key;
    let ways: [&[String]; 3] = [
        &[format!("SELECT tenancy.set_tenant('{other}', false)")],
        &[format!("SELECT pg_catalog.set_config('tenancy.tenant_id', '{other}', true)")],
        &["RESET tenancy.tenant_id".into(), format!("SET LOCAL tenancy.tenant_id = '{other}'")],
    ];
    let (table, column, literal) = (scene.table(), &scene.target.tenant_column, &scene.target.other);
    let theirs = format!("SELECT 1 FROM {table} WHERE {} LIMIT 1", equal(column, literal));
    Outcome::worst(ways.iter().map(|way| {
        reading(scene.as_mine(|| {
            attack::run(&theirs, None, 0)?;
            for statement in *way {
                attack::run(statement, None, 0)?;
            }
            attack::run(&theirs, None, 0)
        }))
    }))
}

fn insert_foreign(scene: &Scene<'_>) -> Option<Outcome> {
    insert_into(scene, &scene.target.root)
}

fn insert_into(scene: &Scene<'_>, ground: &Ground) -> Option<Outcome> {
    let row = &ground.rows.as_ref().ok()?.other;
    Some(reading(scene.run_with(&insert(&ground.bed, &scene.target.other), row)))
}

fn update(scene: &Scene<'_>) -> Option<Outcome> {
    Some(update_in(scene, &scene.target.root))
}

fn update_in(scene: &Scene<'_>, ground: &Ground) -> Outcome {
    let column = scene.target.tenant_column.to_string();
    let (table, foreign) = (&ground.bed.ident, scene.foreign(&column));
    reading(scene.run(&format!("UPDATE {table} SET {column} = {column} WHERE {foreign} RETURNING 1"), 1))
}

/// Reads no column, and so is not held to the rows that SELECT shows.
fn update_all(scene: &Scene<'_>) -> Option<Outcome> {
    let own = scene.rows()?.count;
    let (table, column, mine) = (scene.table(), &scene.target.tenant_column, &scene.target.mine);
    Some(beyond(scene.run(&format!("UPDATE {table} SET {column} = {mine} RETURNING 1"), own + 1), own))
}

fn delete(scene: &Scene<'_>) -> Option<Outcome> {
    Some(delete_in(scene, &scene.target.root))
}

fn delete_in(scene: &Scene<'_>, ground: &Ground) -> Outcome {
    let column = scene.target.tenant_column.to_string();
    let (table, foreign) = (&ground.bed.ident, scene.foreign(&column));
    reading(scene.run(&format!("DELETE FROM {table} WHERE {foreign} RETURNING 1"), 1))
}

fn delete_all(scene: &Scene<'_>) -> Option<Outcome> {
    let own = scene.rows()?.count;
    Some(beyond(scene.run(&format!("DELETE FROM {} RETURNING 1", scene.table()), own + 1), own))
}

fn move_row(scene: &Scene<'_>) -> Option<Outcome> {
    let (table, column) = (scene.table(), &scene.target.tenant_column);
    let (mine, other) = (&scene.target.mine, &scene.target.other);
    let statement = format!("UPDATE {table} SET {column} = {other} WHERE {} RETURNING 1", equal(column, mine));
    Some(reading(scene.run(&statement, 1)))
}

fn move_all(scene: &Scene<'_>) -> Option<Outcome> {
    let (table, column, other) = (scene.table(), &scene.target.tenant_column, &scene.target.other);
    Some(reading(scene.run(&format!("UPDATE {table} SET {column} = {other} RETURNING 1"), 1)))
}

/// ON CONFLICT: with a row for the other tenant, and with an own one that meets the other tenant's key.
fn upsert(scene: &Scene<'_>) -> Option<Outcome> {
    let row = &scene.rows()?.other;
    let bed = &scene.target.root.bed;
    let (column, mine, other) = (&scene.target.tenant_column, &scene.target.mine, &scene.target.other);
    let keys = || scene.target.keys.iter().filter(|key| key.table == bed.table);
    let smuggled = match keys().find_map(|key| key.columns.as_ref()) {
        Some(columns) => format!("({columns}) DO UPDATE SET {column} = {other}"),
        None => "DO NOTHING".into(),
    };
    let statement = format!("{} ON CONFLICT {smuggled}", insert(bed, other));
    // That it did nothing was decided after row security had let it pass.
    let smuggled = match scene.run_with(&statement, row) {
        Came::Rows(_) => Outcome::Open("row security let it pass".into()),
        came => reading(came),
    };
    let taken_over = keys().filter(|key| !key.scoped).filter_map(|key| key.columns.as_ref()).map(|columns| {
        let statement = format!("{} ON CONFLICT ({columns}) DO UPDATE SET {column} = {mine}", insert(bed, mine));
        let came = scene.as_mine(|| {
            scene.remove(mine)?;
            let before = scene.count(other)?;
            attack::run(&statement, Some(row), 0)?;
            Ok(before.saturating_sub(scene.count(other)?))
        });
        match came {
            // Another key of that row was in the way.
            Came::Refused(sqlstate) if sqlstate.starts_with("23") => Outcome::Blocked(code(&sqlstate)),
            came => reading(came),
        }
    });
    Outcome::worst(std::iter::once(smuggled).chain(taken_over))
}

fn merge(scene: &Scene<'_>) -> Option<Outcome> {
    let row = &scene.rows()?.other;
    let bed = &scene.target.root.bed;
    let (table, column, other) = (scene.table(), &scene.target.tenant_column, &scene.target.other);
    let names: Vec<String> = bed.insertable().map(|column| column.ident.to_string()).collect();
    let into = format!(
        "MERGE INTO {table} AS target USING (SELECT $1::{table} AS whole) AS given ON {}",
        equal(format_args!("target.{column}"), other)
    );
    let deleting = format!("{into} WHEN MATCHED THEN DELETE");
    let inserting = format!(
        "{into} WHEN NOT MATCHED THEN INSERT ({}) OVERRIDING SYSTEM VALUE VALUES ({})",
        names.join(", "),
        values_of(bed, other)
    );
    Outcome::worst([deleting, inserting].iter().map(|statement| reading(scene.run_with(statement, row))))
}

/// Rows without tenant are everybody's to read and nobody's to write.
fn write_shared(scene: &Scene<'_>) -> Option<Outcome> {
    if !scene.target.has_shared_row {
        return None;
    }
    let row = &scene.rows()?.mine;
    let (table, column, mine) = (scene.table(), &scene.target.tenant_column, &scene.target.mine);
    let statements = [
        format!("UPDATE {table} SET {column} = {column} WHERE {column} IS NULL RETURNING 1"),
        format!("UPDATE {table} SET {column} = {mine} WHERE {column} IS NULL RETURNING 1"),
        format!("DELETE FROM {table} WHERE {column} IS NULL RETURNING 1"),
        format!("UPDATE {table} SET {column} = NULL WHERE {} RETURNING 1", equal(column, mine)),
    ];
    let writes = statements.iter().map(|statement| reading(scene.run(statement, 1)));
    let insertion = std::iter::once_with(|| reading(scene.run_with(&insert(&scene.target.root.bed, "NULL"), row)));
    Outcome::worst(writes.chain(insertion))
}

/// What is append-only can't be changed by its own tenant either.
fn change_own(scene: &Scene<'_>) -> Option<Outcome> {
    if scene.target.kind != "append_only" {
        return None;
    }
    let (table, column) = (scene.table(), &scene.target.tenant_column);
    let statements = [
        format!("UPDATE {table} SET {column} = {column} RETURNING 1"),
        format!("UPDATE {table} SET {column} = {} RETURNING 1", scene.target.mine),
        format!("DELETE FROM {table} RETURNING 1"),
    ];
    Outcome::worst(statements.iter().map(|statement| reading(scene.run(statement, 1))))
}

/// Rows of tenants below are there to be read, and neither to be locked nor written.
fn write_below(scene: &Scene<'_>) -> Option<Outcome> {
    if scene.target.kind != "tree" {
        return None;
    }
    let row = &scene.rows()?.other;
    let (table, column) = (scene.table(), &scene.target.tenant_column);
    let (mine, other) = (&scene.target.mine, &scene.target.other);
    let theirs = equal(column, other);
    let as_parent = |work: &dyn Fn() -> Result<usize>| {
        scene.as_mine(|| {
            as_owner(|| hierarchy::set_parent(scene.lab.other.id, Some(scene.lab.mine.id)))?;
            work()
        })
    };
    let read = format!("SELECT 1 FROM {table} WHERE {theirs} LIMIT 1");
    match as_parent(&|| attack::run(&read, None, 0)) {
        Came::Rows(1..) => {}
        Came::Rows(0) => return Some(Outcome::Untried("the parent could not read the row either".into())),
        Came::Refused(sqlstate) => {
            return Some(Outcome::Untried(format!("the parent could not read the row either: {}", code(&sqlstate))));
        }
    }
    let statements = [
        format!("{read} FOR UPDATE"),
        format!("{read} FOR KEY SHARE"),
        format!("UPDATE {table} SET {column} = {column} WHERE {theirs} RETURNING 1"),
        format!("UPDATE {table} SET {column} = {mine} WHERE {theirs} RETURNING 1"),
        format!("DELETE FROM {table} WHERE {theirs} RETURNING 1"),
        format!("UPDATE {table} SET {column} = {other} WHERE {} RETURNING 1", equal(column, mine)),
    ];
    let writes = statements.iter().map(|statement| reading(as_parent(&|| attack::run(statement, None, 1))));
    let insertion = std::iter::once_with(|| {
        reading(as_parent(&|| attack::run(&insert(&scene.target.root.bed, other), Some(row), 0)))
    });
    Outcome::worst(writes.chain(insertion))
}

/// The same attack on every part of the table, addressed by its own name.
fn on_parts(scene: &Scene<'_>, run: impl Fn(&Ground) -> Outcome) -> Option<Outcome> {
    Outcome::worst(scene.target.parts.iter().map(|part| {
        let name = part.bed.ident.to_string();
        match (run(part), &part.rows) {
            (Outcome::Blocked(_), Err(reason)) => {
                Outcome::Untried(format!("could not plant a row: {reason}")).of(&name)
            }
            (Outcome::Blocked(detail), Ok(_)) => Outcome::Blocked(detail),
            (outcome, _) => outcome.of(&name),
        }
    }))
}

fn part_read(scene: &Scene<'_>) -> Option<Outcome> {
    let column = scene.target.tenant_column.to_string();
    on_parts(scene, |part| {
        let statement = format!("SELECT 1 FROM {} WHERE {} LIMIT 1", part.bed.ident, scene.foreign(&column));
        reading(scene.run(&statement, 0))
    })
}

fn part_insert(scene: &Scene<'_>) -> Option<Outcome> {
    on_parts(scene, |part| insert_into(scene, part).unwrap_or(Outcome::Blocked(String::new())))
}

fn part_update(scene: &Scene<'_>) -> Option<Outcome> {
    on_parts(scene, |part| update_in(scene, part))
}

fn part_delete(scene: &Scene<'_>) -> Option<Outcome> {
    on_parts(scene, |part| delete_in(scene, part))
}

fn part_truncate(scene: &Scene<'_>) -> Option<Outcome> {
    Outcome::worst(scene.target.parts.iter().map(|part| match truncate_of(scene, part) {
        Outcome::Blocked(detail) => Outcome::Blocked(detail),
        outcome => outcome.of(&part.bed.ident.to_string()),
    }))
}

fn truncate(scene: &Scene<'_>) -> Option<Outcome> {
    Some(truncate_of(scene, &scene.target.root))
}

/// With and without a tenant, since the guard asks for one.
fn truncate_of(scene: &Scene<'_>, ground: &Ground) -> Outcome {
    let statement = format!("TRUNCATE {} CASCADE", ground.bed.ident);
    let as_nobody = scene.as_nobody(|| attack::run(&statement, None, 0));
    match permission(as_nobody) {
        Outcome::Blocked(detail) => Outcome::Blocked(detail).or_worse(permission(scene.run(&statement, 0))),
        outcome => outcome,
    }
}

fn disable_rls(scene: &Scene<'_>) -> Option<Outcome> {
    Some(permission(scene.run(&format!("ALTER TABLE {} DISABLE ROW LEVEL SECURITY", scene.table()), 0)))
}

fn no_force_rls(scene: &Scene<'_>) -> Option<Outcome> {
    Some(permission(scene.run(&format!("ALTER TABLE {} NO FORCE ROW LEVEL SECURITY", scene.table()), 0)))
}

/// A permissive policy that lets everything pass. An owner may make one; what counts is what it opens.
fn create_policy(scene: &Scene<'_>) -> Option<Outcome> {
    let policy = format!("CREATE POLICY tenancy_prove ON {} USING (true)", scene.table());
    let came = scene.as_mine(|| {
        attack::run(&policy, None, 0)?;
        attack::run(&select_foreign(scene), None, 0)
    });
    Some(match (reading(came), &scene.target.root.rows) {
        (Outcome::Blocked(_), Err(reason)) if scene.run(&policy, 0) == Came::Rows(0) => {
            Outcome::Untried(format!("could not plant a row: {reason}"))
        }
        (outcome, _) => outcome,
    })
}

/// Runs `statement` if the attacker has the privilege for it. PostgreSQL looks at privileges after it has locked
/// the table, and what will be refused is no reason to keep anybody waiting.
fn with_privilege(scene: &Scene<'_>, privilege: &str, work: impl FnOnce() -> Result<usize>) -> Outcome {
    let table = scene.target.root.bed.table;
    match scene.as_mine(|| Ok(usize::from(attack::has_privilege(table, privilege)?))) {
        Came::Rows(0) => Outcome::Blocked(format!("no privilege {privilege}")),
        _ => permission(scene.as_mine(work)),
    }
}

fn create_trigger(scene: &Scene<'_>) -> Option<Outcome> {
    let statement = format!(
        "CREATE TRIGGER tenancy_prove BEFORE UPDATE ON {} FOR EACH ROW \
         EXECUTE FUNCTION pg_catalog.suppress_redundant_updates_trigger()",
        scene.table()
    );
    Some(with_privilege(scene, "TRIGGER", || attack::run(&statement, None, 0)))
}

/// A foreign key from a table of the attacker's own: it tells which keys exist, and keeps rows from being deleted.
fn references(scene: &Scene<'_>) -> Option<Outcome> {
    let bed = &scene.target.root.bed;
    let keys = scene.target.keys.iter().filter(|key| key.table == bed.table);
    let columns = keys.into_iter().find_map(|key| key.columns.as_ref())?;
    let statements = [
        format!("CREATE TABLE {0}.referrer AS SELECT {columns} FROM {1} WITH NO DATA", scene.lab.schema, bed.ident),
        format!(
            "ALTER TABLE {0}.referrer ADD FOREIGN KEY ({columns}) REFERENCES {1} ({columns})",
            scene.lab.schema, bed.ident
        ),
    ];
    Some(with_privilege(scene, "REFERENCES", || {
        statements.iter().map(|statement| attack::run(statement, None, 0)).sum()
    }))
}

/// Whether a key tells that another tenant has a value. The own rows make way first, so that it is not they who
/// have it.
fn unique_oracle(scene: &Scene<'_>) -> Option<Outcome> {
    let row = &scene.rows()?.other;
    let mine = &scene.target.mine;
    let came = scene.as_mine(|| {
        scene.remove(mine)?;
        attack::run(&insert(&scene.target.root.bed, mine), Some(row), 0)
    });
    let unscoped: Vec<&str> = scene.target.keys.iter().filter(|key| !key.scoped).map(|key| key.name.as_str()).collect();
    let happened = match &came {
        Came::Refused(sqlstate) => format!(" ({})", code(sqlstate)),
        Came::Rows(_) => String::new(),
    };
    Some(match came {
        _ if !unscoped.is_empty() => {
            Outcome::Open(format!("without the tenant column: {}{happened}", unscoped.join(", ")))
        }
        Came::Rows(_) => Outcome::Blocked("both tenants can have the same values".into()),
        Came::Refused(sqlstate) => reading(Came::Refused(sqlstate)),
    })
}

/// Read from the catalogs: a foreign key is checked without regard to row security, so its columns decide.
fn foreign_key_oracle(scene: &Scene<'_>) -> Option<Outcome> {
    Some(match scene.target.foreign_keys.as_slice() {
        [] => Outcome::Blocked("no foreign key leads to rows of other tenants".into()),
        names => Outcome::Open(format!("without the tenant column: {}", names.join(", "))),
    })
}
