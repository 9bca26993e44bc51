//! Proving isolation by attack: two made-up tenants, rows of both, and roles that try to get at the other's. All of
//! it happens in a subtransaction that is rolled back, with the locks that it took.

use super::attacks::{ATTACKS, Attack, Control, control};
use super::outcome::Outcome;
use super::plant::Bed;
use super::scene::{Ground, Lab, Rows, Scene, SetAside, Target, Tenant, act_for, count};
use crate::catalog::access::{self, Mode};
use crate::catalog::admin;
use crate::catalog::attack::{self, Entitled};
use crate::catalog::planting;
use crate::catalog::protection::{self, Root};
use crate::catalog::relations::{self, Relation};
use crate::catalog::tenants::{self, NewTenant};
use crate::error::{Error, Result};
use crate::guc;
use crate::sql::{self, Ident};
use crate::sys::option::{self, Scope};
use crate::sys::relation::Kind;
use crate::sys::{Oid, role, subxact, xact};
use crate::tenant::TenantKey;
use uuid::Uuid;

/// What came of one attack on one table.
#[derive(Debug)]
pub struct Finding {
    pub table: Oid,
    pub attack: &'static str,
    pub blocked: Option<bool>,
    pub detail: String,
}

/// Attacks a protected table, or all that are no part of another. Needs the rights of the extension's owner.
///
/// # Errors
/// 55000 when the table is not protected; 25006 in a read-only transaction; whatever keeps roles, tenants and privileges from being made.
pub fn prove(table: Option<Oid>, set_aside: SetAside) -> Result<Vec<Finding>> {
    if xact::is_read_only() {
        return Err(Error::ReadOnly("tenancy.prove()"));
    }
    // Dropped when the subtransaction has given the settings back.
    let _aside = set_aside(&[]);
    let outcome = subxact::discarded(|| {
        act_for("");
        let roots = match table {
            Some(table) => vec![protected(table)?],
            None => {
                let mut roots = protection::roots()?;
                roots.sort_by(|a, b| a.name.cmp(&b.name));
                roots
            }
        };
        attack_all(&roots, set_aside)
    });
    outcome.map_err(|failure| failure.pass_on())
}

fn protected(table: Oid) -> Result<Root> {
    let name = relations::name(table)?;
    match protection::find(table)? {
        Some(protection::Protection { kind, tenant_column: Some(tenant_column) }) => {
            Ok(Root { relation: table, kind, tenant_column, name })
        }
        _ => Err(Error::NotProtected(name)),
    }
}

/// Somebody who attacks a table.
struct Attacker {
    role: Oid,
    /// The role that it is like, and the only table for which it comes forward.
    stands_for: Option<Entitled>,
}

fn attack_all(roots: &[Root], set_aside: SetAside) -> Result<Vec<Finding>> {
    let tables: Vec<Oid> = roots.iter().map(|root| root.relation).collect();
    let columns: Vec<String> = roots.iter().map(|root| root.tenant_column.clone()).collect();
    let trees = roots
        .iter()
        .map(|root| relations::tree(root.relation, &root.tenant_column))
        .collect::<Result<Vec<Vec<Relation>>>>()?;
    let views = attack::views(&tables, &columns)?;

    let mut columns = trees.iter().flatten().filter_map(|relation| relation.column.as_ref());
    let small = columns.any(|column| column.type_name == "smallint");
    let (name, numbers) = attack::unused_names(small)?;
    let [mine, other] = numbers.as_slice() else {
        return Err(Error::Spi("no number is left to make up a tenant".into()));
    };
    let lab = Lab { mine: tenant(mine)?, other: tenant(other)?, schema: Ident::quoted(name.clone()), set_aside };
    let entitled = attack::entitled(&tables)?;
    let attackers = attackers(&lab, &name, &entitled)?;
    admin::execute(&format!("CREATE SCHEMA {name}"))?;
    let mut findings = Vec::new();
    for (root, tree) in roots.iter().zip(&trees) {
        let views: Vec<_> = views.iter().filter(|view| view.table == root.relation).cloned().collect();
        let before_it: Vec<&Attacker> =
            attackers.iter().filter(|one| one.stands_for.as_ref().is_none_or(|of| of.table == root.relation)).collect();
        let attacked = subxact::discarded(|| {
            equip(&before_it, &name, tree, &views)?;
            let target = match target(&lab, root, tree, views)? {
                Ok(target) => target,
                Err(reason) => return Ok(vec![none_tried(reason)]),
            };
            Ok(before_it.iter().map(|attacker| all_by(attacker, &lab, &target)).collect::<Vec<_>>())
        });
        let mut outcomes = attacked.map_err(|failure| failure.pass_on())?;
        outcomes.push(entitled.iter().filter(|of| of.table == root.relation).filter_map(left_out).collect());
        findings.extend(merged(outcomes).into_iter().map(|(attack, outcome)| Finding {
            table: root.relation,
            attack,
            blocked: outcome.blocked(),
            detail: outcome.detail().to_owned(),
        }));
    }
    Ok(findings)
}

/// A tenant whose key is a number, so that it fits every type of tenant column.
fn tenant(number: &str) -> Result<Tenant> {
    let tenant = NewTenant {
        id: None,
        key: Some(TenantKey::parse(number)?),
        name: None,
        plan: None,
        region: None,
        settings: None,
        parent: None,
    };
    let id: Uuid = tenants::insert(tenant)?.ok_or_else(|| Error::AlreadyExists(format!("tenant \"{number}\"")))?;
    Ok(Tenant { id, key: number.to_owned() })
}

/// An ordinary role that may act for the made-up tenants, and one like each role whose rights are others.
fn attackers(lab: &Lab, name: &str, entitled: &[Entitled]) -> Result<Vec<Attacker>> {
    let mut attackers = vec![Attacker { role: ordinary_role(lab, name)?, stands_for: None }];
    let like_it = |entitled: &&Entitled| !entitled.joined.is_empty() || !entitled.privileges.is_empty();
    for (number, entitled) in entitled.iter().filter(like_it).enumerate() {
        let member = format!("{name}_{number}");
        let role = ordinary_role(lab, &member)?;
        if !entitled.joined.is_empty() {
            admin::execute(&format!("GRANT {} TO {member}", entitled.joined.join(", ")))?;
        }
        attackers.push(Attacker { role, stands_for: Some(entitled.clone()) });
    }
    Ok(attackers)
}

/// The name of the attack by roles that are not tried.
const BY_NAMED_ROLE: &str = "named_role";

/// What the table's owner writes runs as whoever attacks it, so nobody attacks it who may do what the owner may not.
fn left_out(entitled: &Entitled) -> Option<(&'static str, Outcome)> {
    if entitled.lent.is_empty() {
        return None;
    }
    let roles = entitled.lent.join(", ");
    let reason = format!("not tried as {}: the table's owner does not have the rights of {roles}", entitled.ident);
    Some((BY_NAMED_ROLE, Outcome::Untried(reason)))
}

/// Lets the attackers do with one table what applications do, and with no other: what hangs on it runs as they do.
fn equip(attackers: &[&Attacker], lab: &str, tree: &[Relation], views: &[attack::View]) -> Result<()> {
    let names: Vec<String> = attackers.iter().map(|attacker| role::quoted(&role::name(attacker.role))).collect();
    let names = names.join(", ");
    let list = |idents: Vec<String>| idents.join(", ");
    let relations = list(tree.iter().map(|relation| relation.ident.to_string()).collect());
    let shown = list(views.iter().filter(|view| view.owner_reads).map(|view| view.ident.to_string()).collect());
    let mut grants = vec![format!("GRANT ALL ON SCHEMA {lab} TO {names}")];
    if !relations.is_empty() {
        grants.push(format!("GRANT USAGE ON SCHEMA {} TO {names}", list(schemas_of(tree)?)));
        grants.push(format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {relations} TO {names}"));
    }
    if !shown.is_empty() {
        grants.push(format!("GRANT SELECT ON {shown} TO {names}"));
    }
    for attacker in attackers {
        let name = role::quoted(&role::name(attacker.role));
        let own = attacker.stands_for.iter().flat_map(|of| &of.privileges);
        grants.extend(own.map(|privilege| format!("GRANT {privilege} TO {name}")));
    }
    without_guard(|| grants.iter().try_for_each(|grant| admin::execute(grant)))
}

fn ordinary_role(lab: &Lab, name: &str) -> Result<Oid> {
    admin::execute(&format!(
        "CREATE ROLE {name} NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE NOREPLICATION"
    ))?;
    let oid = role::oid(name).ok_or_else(|| Error::UnknownRole(name.to_owned()))?;
    // For no other tenants: what policies call runs as this role, and is to be given nothing to read.
    access::put(oid, Some(lab.mine.id), Mode::Direct, false)?;
    access::put(oid, Some(lab.other.id), Mode::Direct, false)?;
    Ok(oid)
}

fn schemas_of(tree: &[Relation]) -> Result<Vec<String>> {
    let mut oids: Vec<Oid> = tree.iter().map(|relation| relation.schema).collect();
    oids.sort_by_key(|oid| oid.to_u32());
    oids.dedup();
    relations::schema_names(&oids)
}

/// The guard would look at every protected table for what is granted here.
fn without_guard<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    let set = |on: bool| option::set(guc::GUARD_DDL, if on { "on" } else { "off" }, Scope::Transaction);
    let before = guc::guard_ddl();
    set(false);
    let outcome = work()?;
    set(before);
    Ok(outcome)
}

/// Plants rows of both tenants in the table and all its parts, and learns what there is to attack; or why it is
/// not to be attacked.
fn target(
    lab: &Lab,
    root: &Root,
    tree: &[Relation],
    views: Vec<attack::View>,
) -> Result<std::result::Result<Target, String>> {
    let Some(column) = tree.first().and_then(|relation| relation.column.as_ref()) else {
        return Ok(Err("the tenant column is missing".into()));
    };
    let Some((mine, other)) = lab.mine.literal(column).zip(lab.other.literal(column)) else {
        return Ok(Err("the tenant column is of another type".into()));
    };
    // What is done there may not be taken back.
    if let Some(part) = tree.iter().find(|relation| !matches!(relation.kind, Kind::Table | Kind::Partitioned)) {
        return Ok(Err(format!("{} is a foreign table", part.ident)));
    }
    let oids: Vec<Oid> = tree.iter().map(|relation| relation.oid).collect();
    let restless = planting::restless(&oids)?;

    let beds = tree
        .iter()
        .map(|relation| Bed::new(relation.oid, relation.ident.clone(), &root.tenant_column))
        .collect::<Result<Vec<Bed>>>()?;
    let mut refusals = Vec::new();
    let mut has_shared_row = false;
    for (bed, relation) in beds.iter().zip(tree) {
        let planted = match (relation.kind, restless.first()) {
            (Kind::Partitioned, _) => Ok(()),
            (_, None) => bed.plant(&mine).and_then(|()| bed.plant(&other)).map_err(|code| format!("SQLSTATE {code}")),
            (_, Some(restless)) => Err(format!("{restless} would act")),
        };
        if planted.is_ok() && root.kind == "shared" && relation.kind == Kind::Table {
            has_shared_row |= bed.plant("NULL").is_ok();
        }
        refusals.push(planted.err());
    }
    let why_none = refusals.iter().flatten().next().cloned();
    let mut grounds = Vec::new();
    for (bed, refusal) in beds.into_iter().zip(refusals) {
        let rows = match refusal {
            Some(refusal) => Err(refusal),
            None => planted_rows(&bed, &column.ident, &mine, &other)?
                .ok_or_else(|| why_none.clone().unwrap_or_else(|| "it has no partition".into())),
        };
        grounds.push(Ground { bed, rows });
    }
    let mut grounds = grounds.into_iter();
    let ground = grounds.next().ok_or(Error::UnknownRelation(root.relation.to_u32()))?;
    let foreign_keys = attack::unscoped_foreign_keys(&oids)?.into_iter().map(|(_, name)| name).collect();
    Ok(Ok(Target {
        kind: root.kind.clone(),
        tenant_column: column.ident.clone(),
        mine,
        other,
        root: ground,
        parts: grounds.collect(),
        keys: attack::keys(&oids, &root.tenant_column)?,
        foreign_keys,
        views,
        has_shared_row,
    }))
}

/// Every attack that goes for any table, untried.
fn none_tried(reason: String) -> Vec<(&'static str, Outcome)> {
    let for_all = ATTACKS.iter().filter(|attack| !attack.is_special());
    for_all.map(|attack| (attack.name, Outcome::Untried(reason.clone()))).collect()
}

fn planted_rows(bed: &Bed, column: &Ident, mine: &str, other: &str) -> Result<Option<Rows>> {
    let row = |tenant: &str| {
        let rows = format!("SELECT (planted.*)::pg_catalog.text FROM {} AS planted", bed.ident);
        planting::text(
            bed.table,
            &format!("{rows} WHERE {} LIMIT 1", sql::equal(format_args!("planted.{column}"), tenant)),
        )
    };
    match (row(mine)?, row(other)?) {
        (Some(mine_row), Some(other)) => Ok(Some(Rows { mine: mine_row, other, count: count(bed, column, mine)? })),
        _ => Ok(None),
    }
}

/// Every attack by one attacker.
fn all_by(attacker: &Attacker, lab: &Lab, target: &Target) -> Vec<(&'static str, Outcome)> {
    let scene = Scene { lab, target, attacker: attacker.role };
    let controls = [Control::None, Control::Read, Control::Insert, Control::Update, Control::Delete];
    let outcomes: Vec<_> = match &target.root.rows {
        Ok(_) => controls.map(|one| (one, control(&scene, one))).to_vec(),
        Err(reason) => {
            let none = || Err(format!("could not plant a row: {reason}"));
            controls.map(|one| (one, if one == Control::None { Ok(()) } else { none() })).to_vec()
        }
    };
    let allowed = |wanted: Control| {
        outcomes.iter().find(|(one, _)| *one == wanted).map_or(Ok(()), |(_, outcome)| outcome.clone())
    };
    let mut findings = Vec::new();
    for attack in &ATTACKS {
        let outcome = match (&target.root.rows, allowed(attack.control)) {
            // Without a row it would come to nothing, whoever is in the way.
            (Err(_), Err(reason)) if applies(attack, target) => Some(Outcome::Untried(reason)),
            (Err(_), Err(_)) => None,
            (_, allowed) => (attack.run)(&scene).map(|outcome| match (outcome, allowed) {
                // What was blocked may have been so for a reason that has nothing to do with isolation.
                (Outcome::Blocked(_), Err(reason)) => Outcome::Untried(reason),
                (outcome, _) => outcome,
            }),
        };
        if let Some(outcome) = outcome {
            let outcome = match &attacker.stands_for {
                Some(of) => outcome.of(&format!("as a member of {}", of.ident)),
                None => outcome,
            };
            findings.push((attack.name, outcome));
        }
    }
    findings
}

/// Whether there is something to attack, in a table without planted rows.
fn applies(attack: &Attack, target: &Target) -> bool {
    match attack.name {
        "view" => !target.views.is_empty(),
        "write_shared" => target.kind == "shared",
        "change_own" => target.kind == "append_only",
        "write_below" => target.kind == "tree",
        _ => !attack.is_special() || !target.parts.is_empty(),
    }
}

/// The worst of each attack, whoever made it.
fn merged(outcomes: Vec<Vec<(&'static str, Outcome)>>) -> Vec<(&'static str, Outcome)> {
    let mut merged: Vec<(&'static str, Outcome)> = Vec::new();
    for (attack, outcome) in outcomes.into_iter().flatten() {
        match merged.iter_mut().find(|(known, _)| *known == attack) {
            Some((_, worst)) => {
                let before = std::mem::replace(worst, Outcome::Blocked(String::new()));
                *worst = before.or_worse(outcome);
            }
            None => merged.push((attack, outcome)),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_of_all_attackers_counts() {
        let blocked = || Outcome::Blocked("0 rows".into());
        let open = Outcome::Open("as a member of app: 1 row".into());
        let merged = merged(vec![vec![("read", blocked()), ("count", blocked())], vec![("read", open.clone())]]);
        assert_eq!(merged, [("read", open), ("count", blocked())]);
    }
}
