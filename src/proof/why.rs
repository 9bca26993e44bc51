//! Why the current role can or can't see or change one row.
//!
//! Two readers are told different things. Whoever row security binds is told of rows that he sees, and of no
//! others: the row is looked up by himself, in a query as he could write it, and a row of another tenant, a row
//! that a policy hides, and no row at all give the same answer to the letter. An administrator (the role acted as,
//! or the one that logged in and then did SET ROLE) is also told of the rest: the table's owner looks the row up,
//! exempt from his own row security, as foreign keys are checked.
//!
//! No policy runs with more rights than those of the role it is asked about, and with these it would run in a query
//! of the table as well. It is asked about a copy of the row, since the row itself is only there for those who see it.
//! What is in the row goes from query to query and never into a text for people; errors are told by their SQLSTATE.

use super::verdict::{self, Rule, Said, Verdict};
use crate::catalog::relations::{self, Family, Relation};
use crate::catalog::row::{self, Found, Grant, KeyColumn, Owner, Policy, Wanted};
use crate::catalog::{access, admin, json, protection, registry::as_owner};
use crate::error::{Error, Result};
use crate::guc::{self, OnBypass, OnMissing};
use crate::sql::{self, Command};
use crate::sys::json::Jsonb;
use crate::sys::option::{self, Scope};
use crate::sys::{INVALID_OID, Oid, relation, role, subxact, xact};
use uuid::Uuid;

/// The context, as far as it goes into an explanation.
pub enum Acting {
    ForNone,
    For { id: Uuid, key: String, by_default: bool },
    Refused(Error),
}

/// One line of the explanation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    pub name: String,
    pub passed: Option<bool>,
    pub detail: String,
}

/// Explains what the current role can do with the row whose columns have the values of `key`.
///
/// # Errors
/// 22023 malformed key; 42703 unknown column; 42809, 0A000 for what is no table of a user.
pub fn why(table: Oid, key: &Jsonb, acting: &Acting) -> Result<Vec<Check>> {
    let path = option::get(guc::SEARCH_PATH).unwrap_or_default();
    let checks = subxact::discarded(|| {
        option::set(guc::SEARCH_PATH, guc::SAFE_PATH, Scope::Transaction);
        explain(table, key, acting, path)
    });
    checks.map_err(|failure| failure.pass_on())
}

fn explain(table: Oid, key: &Jsonb, acting: &Acting, path: String) -> Result<Vec<Check>> {
    let brief = relation::brief(table)?;
    let name = relations::name(table)?;
    relations::check_user_table(&brief, &name)?;
    let key = key_of(table, &name, key)?;
    let record = as_owner(|| protection::find(table))?;
    let tenant_column = record.as_ref().and_then(|record| record.tenant_column.clone());
    let relation = relations::tree(table, tenant_column.as_deref().unwrap_or_default())?.into_iter().next();
    let relation = relation.ok_or(Error::UnknownRelation(table.to_u32()))?;
    let asked = Asked {
        relation: &relation,
        state: row::table(table)?,
        grants: row::grants(table)?,
        owner: brief.owner,
        is_owner: role::has_privileges_of(role::current(), brief.owner),
        is_protected: tenant_column.is_some(),
        is_tree: record.as_ref().is_some_and(|record| record.kind == "tree"),
        acting,
        path,
        tenant: relation.column.as_ref().and_then(|column| literal(acting, column.family?, &column.type_name)),
    };

    let mut checks = Checks::default();
    match &record {
        Some(protection::Protection { kind, tenant_column: Some(column) }) => {
            checks.push("protected", Some(true), format!("kind {kind}, tenant column {column}"));
        }
        Some(_) => checks.push("protected", Some(false), "classified as global: it has no tenants"),
        None => checks.push("protected", Some(false), "neither protected nor classified"),
    }
    asked.tell_table(&mut checks);
    asked.tell_role(&mut checks);
    asked.tell_context(&mut checks)?;
    asked.tell_grants(&mut checks);
    let policies = row::policies(table, &asked.path)?;
    let found = asked.find(&key, &mut checks)?;
    let rules = asked.ask_policies(policies, found.as_ref(), &mut checks)?;
    asked.tell_verdicts(&rules, found.is_some(), &mut checks);
    Ok(checks.0)
}

#[derive(Default)]
struct Checks(Vec<Check>);

impl Checks {
    fn push(&mut self, name: impl Into<String>, passed: Option<bool>, detail: impl Into<String>) {
        self.0.push(Check { name: name.into(), passed, detail: detail.into() });
    }
}

/// The table that is asked about, and who asks.
struct Asked<'a> {
    relation: &'a Relation,
    state: row::Table,
    grants: Vec<Grant>,
    owner: Oid,
    is_owner: bool,
    is_protected: bool,
    /// Tenants read the rows of those below them.
    is_tree: bool,
    acting: &'a Acting,
    /// The caller's search path.
    path: String,
    /// What the tenant column holds for the tenant in force, as SQL.
    tenant: Option<String>,
}

/// The words for a row that isn't shown, whatever the reason.
const NOT_VISIBLE: &str =
    "no row with this key is visible: there is none, it belongs to another tenant, or a policy hides it";

impl Asked<'_> {
    fn tell_table(&self, checks: &mut Checks) {
        let (on, forced) = (self.state.row_security, self.state.forced);
        checks.push("row_security", Some(on), if on { "enabled" } else { "not enabled: policies do not count" });
        checks.push("forced", Some(forced), if forced { "for the owner too" } else { "the owner is exempt" });
        let (passed, detail) = match self.state.truncate_guard.as_deref() {
            Some("A") => (true, "TRUNCATE is refused"),
            Some(_) => (false, "the trigger that refuses TRUNCATE is not ENABLE ALWAYS"),
            None => (false, "no trigger refuses TRUNCATE"),
        };
        checks.push("truncate_guard", Some(passed), detail);
        for (name, setting, good) in [
            ("ddl_guard", c"tenancy.guard_ddl", &["on"][..]),
            ("bypass_guard", c"tenancy.on_bypass", &["log", "error"][..]),
        ] {
            if let Some(value) = option::get(setting) {
                checks.push(
                    name,
                    Some(good.contains(&value.as_str())),
                    format!("{} is {value}", setting.to_string_lossy()),
                );
            }
        }
    }

    fn tell_role(&self, checks: &mut Checks) {
        let current = role::current();
        let name = role::quoted(&role::name(current));
        let (passed, detail) = if role::is_superuser(current) {
            (false, "a superuser, whom row security does not bind")
        } else if role::bypasses(current) {
            (false, "a role with BYPASSRLS, whom row security does not bind")
        } else {
            (true, "neither superuser nor BYPASSRLS")
        };
        checks.push("role", Some(passed), format!("{name}: {detail}"));
        let (passed, detail) = match (self.is_owner, self.state.forced) {
            (false, _) => (true, "not the table's owner"),
            (true, true) => (true, "has the owner's rights, and row security is forced"),
            (true, false) => (false, "has the owner's rights, and row security is not forced"),
        };
        checks.push("owner", Some(passed), detail);
        let off = self.refuses_all();
        let detail = match (off, option::get(c"row_security").as_deref()) {
            (true, _) => "row_security is off: every query of the table is refused",
            (false, Some("off")) => "off, and of no effect for this role and table",
            _ => "on",
        };
        checks.push("row_security_setting", Some(!off), detail);
    }

    fn tell_context(&self, checks: &mut Checks) -> Result<()> {
        let outer = role::outer();
        match self.acting {
            Acting::ForNone => {
                let detail = if self.is_refused_without_tenant() {
                    "no tenant is set, and tenancy.on_missing is error"
                } else {
                    "no tenant is set"
                };
                checks.push("context", Some(false), detail);
                let (any, mode) = if role::is_superuser(outer) {
                    (Some(access::Grant::Everybody), None)
                } else {
                    let any = access::to_any(outer)?;
                    (any.greatest(), any.mode())
                };
                let proof = match mode {
                    Some(access::Mode::Signed) => ", with a token",
                    Some(access::Mode::Claims) => ", by the claims of the request",
                    Some(access::Mode::Direct) | None => "",
                };
                let detail = match any {
                    Some(access::Grant::Everybody) => format!("to any tenant{proof}"),
                    Some(access::Grant::Members) => format!("to any tenant that the user is a member of{proof}"),
                    None => "to certain tenants at most".to_owned(),
                };
                checks.push("access", (any == Some(access::Grant::Everybody)).then_some(true), detail);
            }
            Acting::For { id, key, by_default } => {
                checks.push("context", Some(true), format!("tenant {} ({id})", sql::literal(key)));
                let detail = if *by_default {
                    "not needed: the tenant is tenancy.default_tenant"
                } else if role::is_superuser(outer) {
                    "not needed: a superuser may act for any tenant"
                } else {
                    match access::to_any(outer)?.greatest() {
                        Some(access::Grant::Everybody) => "to any tenant",
                        Some(access::Grant::Members) => "to any tenant that the user is a member of, or to this tenant",
                        None => "to this tenant",
                    }
                };
                checks.push("access", Some(true), detail);
            }
            Acting::Refused(error) => {
                checks.push("context", Some(false), error.to_string());
                let passed = !matches!(error, Error::NoSuchTenantOrAccess { .. });
                let detail = if passed { "not the reason" } else { "none to that tenant, or there is no such tenant" };
                checks.push("access", if passed { None } else { Some(false) }, detail);
            }
        }
        Ok(())
    }

    fn tell_grants(&self, checks: &mut Checks) {
        let usage = self.state.schema_usage;
        checks.push("schema_usage", Some(usage), if usage { "granted" } else { "not granted" });
        for grant in &self.grants {
            let (passed, detail) = match (grant.on_table, &grant.columns) {
                (true, _) => (true, "on the table".to_owned()),
                (false, Some(columns)) => (true, format!("on columns {columns} alone")),
                (false, None) => (false, "not granted".to_owned()),
            };
            checks.push(format!("grant_{}", grant.command.to_lowercase()), Some(passed), detail);
        }
    }

    /// Looks the row up, and tells no more of it than this reader may know.
    fn find(&self, key: &[KeyColumn], checks: &mut Checks) -> Result<Option<Found>> {
        let reader = self.reader()?;
        // Nothing here may depend on the row: whether it is there must not show.
        let hindrance = if self.refuses_all() {
            Some("row_security is off")
        } else if !self.state.schema_usage || !self.may_read_all() {
            Some("the role may not read the table")
        } else if matches!(self.acting, Acting::Refused(_)) && !self.is_exempt() {
            Some("the tenant that is set can't be acted for")
        } else {
            None
        };
        let visible = match hindrance {
            Some(_) => Vec::new(),
            // The same rows, and what hangs on the table does not run as a superuser, or past row security.
            None if role::bypasses(role::current()) => row::find_any(&self.wanted(key, false)).unwrap_or_default(),
            // An error may come from a policy that looked at a row: to say so would be to say that it is there.
            None => row::find(&self.wanted(key, false)).unwrap_or_default(),
        };
        if visible.len() > 1 {
            checks.push("row", Some(false), "more than one row has this key");
            return Ok(None);
        }
        if let Some(found) = visible.into_iter().next() {
            checks.push("row", Some(true), "there is one, and the role sees it");
            self.tell_tenant(&found, checks);
            return Ok(Some(found));
        }
        match (reader, hindrance) {
            (Reader::Administrator, _) => self.find_hidden(key, checks),
            (Reader::Ordinary, Some(reason)) => {
                checks.push("row", None, format!("not looked up: {reason}"));
                Ok(None)
            }
            (Reader::Ordinary, None) => {
                checks.push("row", Some(false), NOT_VISIBLE);
                Ok(None)
            }
        }
    }

    /// For administrators: a row that the role doesn't see. The tenant's own come first, since a key may be one
    /// only together with the tenant.
    fn find_hidden(&self, key: &[KeyColumn], checks: &mut Checks) -> Result<Option<Found>> {
        let found = match row::find_any(&self.wanted(key, true)) {
            Ok(own) if own.is_empty() => row::find_any(&self.wanted(key, false)),
            own => own,
        };
        match found {
            Err(sqlstate) => checks.push("row", None, format!("it could not be looked up: SQLSTATE {sqlstate}")),
            Ok(found) if found.len() > 1 => checks.push("row", Some(false), "more than one row has this key"),
            Ok(found) => match found.into_iter().next() {
                None => checks.push("row", Some(false), "there is none"),
                Some(found) => {
                    checks.push("row", Some(true), "there is one, and the role does not see it");
                    self.tell_tenant(&found, checks);
                    return Ok(Some(found));
                }
            },
        }
        Ok(None)
    }

    fn tell_tenant(&self, found: &Found, checks: &mut Checks) {
        let (passed, detail) = match (found.owner, self.acting) {
            (None, _) => return,
            (Some(Owner::Nobody), _) => (Some(true), "it belongs to no tenant"),
            (Some(Owner::Current), _) => (Some(true), "it belongs to the tenant in force"),
            (Some(Owner::Below), _) => {
                (Some(true), "it belongs to a tenant below the one in force, which reads it and does not write it")
            }
            (Some(Owner::Other), Acting::For { .. }) => (Some(false), "it belongs to another tenant"),
            (Some(Owner::Other), _) => (None, "it belongs to a tenant, and none is in force"),
        };
        checks.push("row_tenant", passed, detail);
    }

    fn wanted<'b>(&'b self, key: &'b [KeyColumn], own_only: bool) -> Wanted<'b> {
        Wanted {
            table: self.relation.oid,
            ident: &self.relation.ident,
            key,
            tenant_column: self.relation.column.as_ref().map(|column| &column.ident),
            tenant: self.tenant.as_deref(),
            visible: match (self.is_tree, self.acting) {
                (true, Acting::For { .. }) => {
                    self.relation.column.as_ref().and_then(|column| column.family).map(Family::visible_function)
                }
                _ => None,
            },
            own_only,
            path: &self.path,
        }
    }

    fn ask_policies(&self, policies: Vec<Policy>, found: Option<&Found>, checks: &mut Checks) -> Result<Vec<Rule>> {
        let mut rules = Vec::new();
        for policy in policies {
            let mode = if policy.permissive { "permissive" } else { "restrictive" };
            let about = format!("{mode}, for {}", policy.command.keyword());
            let mut ask = |clause: &str, expression: &Option<String>| {
                let expression = expression.as_ref()?;
                let name = format!("policy {} {clause}", sql_name(&policy.name));
                if !policy.applies {
                    checks.push(name, None, format!("{about}: it is for other roles"));
                    return None;
                }
                let Some(found) = found.filter(|_| !self.is_exempt()) else {
                    let reason = if self.is_exempt() { "row security does not hold" } else { "no row to ask about" };
                    checks.push(name, None, format!("{about}: {reason}"));
                    return None;
                };
                let said = match row::holds(&self.state.alias, expression, found, &self.path) {
                    Ok(true) => Said::Yes,
                    Ok(false) => Said::No,
                    Err(sqlstate) => Said::Failed(sqlstate),
                };
                match &said {
                    Said::Yes => checks.push(name, Some(true), format!("{about}: it lets the row pass")),
                    Said::No => checks.push(name, Some(false), format!("{about}: it does not let the row pass")),
                    Said::Failed(code) => checks.push(name, None, format!("{about}: it fails with SQLSTATE {code}")),
                }
                Some(said)
            };
            let using = ask("USING", &policy.using);
            let check = ask("WITH CHECK", &policy.check);
            if policy.applies {
                rules.push(Rule {
                    name: sql_name(&policy.name),
                    permissive: policy.permissive,
                    command: policy.command,
                    using,
                    check,
                });
            }
        }
        Ok(rules)
    }

    fn tell_verdicts(&self, rules: &[Rule], is_found: bool, checks: &mut Checks) {
        for (name, command) in
            [("can_select", Command::Select), ("can_update", Command::Update), ("can_delete", Command::Delete)]
        {
            let verdict = self.verdict(rules, command, is_found);
            let (passed, detail) = match verdict {
                Verdict::Yes if self.must_give_reason() => {
                    (true, "yes, once tenancy.bypass() has been given a reason".to_owned())
                }
                Verdict::Yes => (true, "yes".to_owned()),
                Verdict::No(reason) => (false, reason),
            };
            checks.push(name, Some(passed), detail);
        }
    }

    fn verdict(&self, rules: &[Rule], command: Command, is_found: bool) -> Verdict {
        let no = |reason: &str| Verdict::No(reason.to_owned());
        let has = |wanted: Command| {
            self.grants.iter().any(|g| g.command == wanted.keyword() && (g.on_table || g.columns.is_some()))
        };
        if !self.state.schema_usage {
            return no("the role may not use the schema");
        }
        if let Some(missing) = [Command::Select, command].into_iter().find(|wanted| !has(*wanted)) {
            return Verdict::No(format!("the role has no privilege {}", missing.keyword()));
        }
        if self.refuses_all() {
            return no("row_security is off");
        }
        if self.is_refused_without_tenant() {
            return no("no tenant is set, and tenancy.on_missing is error");
        }
        if !is_found {
            return no("there is no such row for the role");
        }
        if self.is_exempt() {
            return Verdict::Yes;
        }
        match self.acting {
            Acting::Refused(_) => no("the tenant that is set can't be acted for"),
            _ => verdict::by_policies(rules, command),
        }
    }

    /// Whether row security doesn't hold for the role here.
    fn is_exempt(&self) -> bool {
        !self.state.row_security || role::bypasses(role::current()) || (self.is_owner && !self.state.forced)
    }

    /// With `row_security = off` what row security would hold for is refused.
    fn refuses_all(&self) -> bool {
        !self.is_exempt() && option::get(c"row_security").as_deref() == Some("off")
    }

    /// What touches a protected table without a tenant may be refused as such.
    fn is_refused_without_tenant(&self) -> bool {
        self.relation.column.is_some()
            && !role::bypasses(role::current())
            && guc::on_missing() == OnMissing::Error
            && matches!(self.acting, Acting::ForNone)
    }

    /// Who bypasses may have to say why.
    fn must_give_reason(&self) -> bool {
        self.relation.column.is_some() && role::bypasses(role::current()) && guc::on_bypass() == OnBypass::Error
    }

    /// To be asked about, a row must be read whole.
    fn may_read_all(&self) -> bool {
        self.grants.iter().any(|grant| grant.command == "SELECT" && grant.on_table)
    }

    /// Whom the explanation is for. SET ROLE takes nothing from who logged in: he can undo it. Code that runs as somebody
    /// else within his session (of a table that he maintains, for one) can't, and asks for itself.
    fn reader(&self) -> Result<Reader> {
        if role::is_changed_locally() || xact::in_restricted_operation() {
            return Ok(Reader::Ordinary);
        }
        for asking in [role::outer(), role::session()] {
            if asking != INVALID_OID && self.may_know_all(asking)? {
                return Ok(Reader::Administrator);
            }
        }
        Ok(Reader::Ordinary)
    }

    /// Whether the role may know of every row there is. Administrators decide about protected tables, and about no others.
    fn may_know_all(&self, asking: Oid) -> Result<bool> {
        if role::is_superuser(asking) {
            return Ok(true);
        }
        let is_admin = admin::is_admin(asking)?;
        if is_admin && self.is_protected {
            return Ok(true);
        }
        if !is_admin && !role::bypasses(asking) {
            return Ok(false);
        }
        Ok(role::has_privileges_of(asking, self.owner) || row::may_select(asking, self.relation.oid)?)
    }
}

#[derive(Clone, Copy)]
enum Reader {
    Administrator,
    Ordinary,
}

fn sql_name(name: &str) -> String {
    role::quoted(name)
}

/// What a tenant column of that family holds for the tenant in force, as SQL.
fn literal(acting: &Acting, family: Family, type_name: &str) -> Option<String> {
    let Acting::For { id, key, .. } = acting else { return None };
    let value = match family {
        Family::Id => id.to_string(),
        Family::Key => key.clone(),
        // A key that is no number is in no such column.
        Family::Number => key.parse::<i64>().ok()?.to_string(),
    };
    Some(format!("CAST({} AS {type_name})", sql::literal(&value)))
}

fn key_of(table: Oid, name: &str, key: &Jsonb) -> Result<Vec<KeyColumn>> {
    let columns = row::key_columns(table, name, pairs(key)?)?;
    let lends = lends_rights()?;
    for column in columns.iter().filter(|column| column.value.is_some()) {
        if lends && row::runs_code(column.base)? {
            return Err(Error::KeyOfForeignType {
                column: column.ident.to_string(),
                type_name: column.base_type.clone(),
            });
        }
        if !row::is_of_type(column) {
            return Err(malformed(format!("the value of {} is none of type {}", column.ident, column.base_type)));
        }
    }
    Ok(columns)
}

/// Whether code that runs as who asks could do more by it than look at rows that he sees.
fn lends_rights() -> Result<bool> {
    for asking in [role::current(), role::outer(), role::session()] {
        if asking != INVALID_OID && (role::bypasses(asking) || admin::is_admin(asking)?) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The key's columns with their values as text.
fn pairs(key: &Jsonb) -> Result<Vec<(String, Option<String>)>> {
    if !json::is_object(key)? {
        return Err(malformed("it must be a JSON object".into()));
    }
    let pairs = json::pairs(key)?;
    if pairs.is_empty() { Err(malformed("it names no column".into())) } else { Ok(pairs) }
}

fn malformed(reason: String) -> Error {
    Error::InvalidArgument { what: "row_key", reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_s_key_that_is_no_number_is_in_no_number_column() {
        let acting = Acting::For { id: Uuid::nil(), key: "acme".into(), by_default: false };
        assert_eq!(literal(&acting, Family::Number, "integer"), None);
        assert_eq!(literal(&acting, Family::Key, "text").as_deref(), Some("CAST('acme' AS text)"));
        assert_eq!(literal(&Acting::ForNone, Family::Key, "text"), None);
    }
}
