//! Every code that the doctor knows: how bad it is, and what is at stake.

/// How bad a finding is, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// One tenant can reach another's rows.
    Critical,
    /// One more mistake, or a common right, and he can.
    High,
    Medium,
    Low,
    /// Good to know; may well be meant.
    Info,
}

impl Severity {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::High => "high",
            Self::Medium => "medium",
            Self::Low => "low",
            Self::Info => "info",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Critical, Self::High, Self::Medium, Self::Low, Self::Info].into_iter().find(|one| one.as_str() == text)
    }
}

/// A kind of finding.
#[derive(Debug)]
pub struct Code {
    pub name: &'static str,
    /// Unless a finding has one of its own.
    pub severity: Severity,
    /// A sentence, with `{}` for the finding's note.
    pub stake: &'static str,
    /// What to do where there is no fix, and SQL alone won't do. May be empty.
    advice: &'static str,
}

impl Code {
    const fn advised(self, advice: &'static str) -> Self {
        Self { advice, ..self }
    }

    /// What is at stake in a finding, and what to do about it unless a fix does.
    pub fn detail(&self, note: Option<&str>, has_fix: bool) -> String {
        let stake = self.stake.replace("{}", note.unwrap_or("?"));
        if has_fix || self.advice.is_empty() { stake } else { format!("{stake} {}", self.advice) }
    }
}

/// The code of that name, with its place in the order of findings.
pub fn find(name: &str) -> Option<(usize, &'static Code)> {
    CODES.iter().enumerate().find(|(_, code)| code.name == name)
}

const fn code(name: &'static str, severity: Severity, stake: &'static str) -> Code {
    Code { name, severity, stake, advice: "" }
}

const GIVE: &str =
    "Give it to a role that acts for no tenants, is no superuser and has no privileges but those it needs.";

use Severity::{Critical, High, Info, Low, Medium};

/// The worst first. Among equals a fix that another one builds on comes before it: a column is given a
/// type that can be compared before its table is protected, a foreign key leaves the old key before that
/// is replaced.
const CODES: [Code; 76] = [
    code("ROLE_BYPASSRLS", Critical, "A role that acts for tenants {}, and so no row security holds for it."),
    code("FOREIGN_TABLE", Critical, "A foreign table knows no row security, and tenants reach this one."),
    code(
        "TENANT_COLUMN_MISSING",
        Critical,
        "The tenant column {} that is recorded for this table does not exist in it, so its protection can't be kept up.",
    ),
    code(
        "TENANT_ID_FUZZY_TYPE",
        Critical,
        "The column {} is of a type or collation that can't hold a tenant or takes different ones for equal, so the table can't be protected by it.",
    )
    .advised("A rewrite runs what others wrote with the rights of who runs it: have its owner give the column the type text COLLATE \"C\"."),
    code("RLS_DISABLED", Critical, "Row security is off: every tenant sees and changes all rows."),
    code(
        "PARTITION_UNPROTECTED",
        Critical,
        "A partition or child of a protected table can be addressed directly, and this one is not recorded as protected.",
    ),
    code(
        "PARENT_UNPROTECTED",
        Critical,
        "Who reads this table reads the protected {} as a part of it, past its policies: row security asks the table that is named alone.",
    ),
    code("RLS_NOT_FORCED", Critical, "Row security is not forced: it does not hold for the owner and its members."),
    code(
        "POLICY_DRIFT",
        Critical,
        "The policies, or the trigger that refuses TRUNCATE, are not those that protect() makes for the table's kind, so who sees or removes which row is not what was asked for.",
    ),
    code("POLICY_USERSET_GUC", Critical, "The policy believes {}, which every session can set to what it likes."),
    code("POLICY_ALWAYS_TRUE", Critical, "The policy lets every row pass, whoever's it is."),
    code(
        "VIEW_BYPASS",
        Critical,
        "The view reads protected tables with the rights of its owner {}, who bypasses row security, so it shows all tenants' rows.",
    ),
    code("SECDEF_BYPASS", Critical, "Tenants can call this function, and it runs as {}, who bypasses row security."),
    code(
        "DANGEROUS_PRIV",
        Critical,
        "TRUNCATE, REFERENCES and TRIGGER lead round row security, and they are granted: {}.",
    ),
    code(
        "REGISTRY_GRANT",
        Critical,
        "Who writes the extension's own tables can make himself any tenant's; granted: {}.",
    ),
    code(
        "CATALOG_GRANT",
        Critical,
        "{} can read what PostgreSQL keeps to itself: values of all tenants' rows, or passwords.",
    ),
    code("FK_CASCADE", Critical, "A foreign key's action reaches all tenants' rows, and tenants can set it off: {}.")
    .advised("That table is theirs: read what conditions, expressions and triggers it has, which then run with another owner's rights; then give it to a role that acts for no tenants and is no superuser."),
    code("ADMIN_FOR_TENANTS", Critical, "Tenants can execute {} of the functions that are for administrators."),
    code("ROLE_CAN_BYPASS", Critical, "A role that acts for tenants can become {}."),
    code(
        "SIGNED_ROLE_REACHES_DIRECT",
        High,
        "A role that is to prove its tenant by a token can become {}, which names tenants without one.",
    ),
    code(
        "ROLE_OWNS_TABLES",
        High,
        "A role that acts for tenants has the rights of the owner {}, who can take protection off.",
    )
    .advised("Read what conditions, expressions and triggers it has, which then run with another owner's rights; then give it to a role that acts for no tenants and is no superuser."),
    code("ROLE_CREATEROLE", High, "A role that acts for tenants can create roles, and give itself others."),
    code("ROLE_REPLICATION", High, "A role that acts for tenants can read all changes of all tables by replication."),
    code(
        "UNCLASSIFIED_TABLE",
        High,
        "The table has a column {} as protected tables have, but is neither protected nor classified as global.",
    ),
    code(
        "NO_RESTRICTIVE_TO_PUBLIC",
        High,
        "No restrictive policy TO PUBLIC stands under {}, so any permissive policy that is added opens the table.",
    ),
    code(
        "POLICY_NOT_PUBLIC",
        High,
        "The policy is for certain roles only: DROP OWNED can remove it, and later roles go without.",
    ),
    code(
        "POLICY_NONSTABLE_FN",
        High,
        "A policy calls this function, which is {}: volatile is called for every row, immutable may keep another tenant's answer.",
    ),
    code(
        "RECORD_MISSING",
        High,
        "The table has the extension's policies and is not recorded as protected, as after a restore that lost the records: the guard lets its protection be taken away.",
    )
    .advised("Its policies are not all of the extension's making, or of no column that can be the tenant's, so no fix is certain: rename those that are to stay, and protect it by the right column."),
    code("POLICIES_DORMANT", High, "The table has policies, but row security is off, so they do nothing."),
    code("TENANT_ID_NULLABLE", High, "{} may be NULL: such a row is nobody's, and a foreign key does not check it."),
    code(
        "FK_CROSS_TENANT",
        High,
        "A foreign key without the tenant column refers to rows of {} across tenants: it tells which exist, and cascades.",
    ),
    code(
        "UNIQUE_GLOBAL",
        High,
        "The key does not contain the tenant column: a conflict tells a tenant which values others have.",
    ),
    code(
        "MATVIEW",
        High,
        "The materialized view holds the rows that its last refresh saw, whoever's they are, and {} can read it.",
    )
    .advised("A refresh runs its query with its owner's rights: drop it, or read the query and have a role make it anew that acts for no tenants."),
    code(
        "SECDEF_SEARCH_PATH",
        High,
        "A function that runs with its owner's rights has a search path that doesn't end in pg_temp: a caller's temporary table can stand in for its tables.",
    )
    .advised("Its path is not readable as a list of names: read the function, and set a path that ends in pg_temp."),
    code("RULE", High, "A rule rewrites what is done to the relation, and its commands run with the owner's rights."),
    code(
        "TRIGGER_OF_TENANTS",
        High,
        "The trigger's function belongs to {}, who acts for tenants: it runs in other tenants' writes.",
    ),
    code(
        "TYPE_OF_TENANTS",
        High,
        "The domain, which protected tables use, belongs to {}, who acts for tenants: a condition that is added to it is checked on all tenants' rows.",
    )
    .advised(GIVE),
    code(
        "FUNCTION_OF_TENANTS",
        High,
        "The function belongs to {}, who acts for tenants: protected tables call it in other tenants' statements.",
    )
    .advised("Read it, make it SECURITY INVOKER, and give it to a role that acts for no tenants, is no superuser and has no privileges but those it needs."),
    code("PARAMETER_GRANT", High, "{} may set this parameter, which is a superuser's otherwise."),
    code(
        "FDW_LOOPBACK",
        High,
        "The server leads back into this database, and {} has a user mapping for it: another role, without the session's tenant.",
    ),
    code(
        "SCHEMA_CREATE",
        High,
        "{} can create objects in the schema that stand in for those others mean, and owns them.",
    )
    .advised(GIVE),
    code("DATABASE_CREATE", Medium, "{} can create schemas in the database, and objects in them.")
    .advised(GIVE),
    code(
        "TEMP_FOR_TENANTS",
        Medium,
        "{} can create temporary tables: in a pooled session one tenant's stand in for the real ones of the next.",
    ),
    code("DEFAULT_PRIV", Medium, "Tables that are created later come with privileges that no tenant should have: {}."),
    code(
        "EVENT_TRIGGER_MISSING",
        Medium,
        "An event trigger of the extension is missing, so what it keeps in order is not.",
    ),
    code(
        "EVENT_TRIGGER_DISABLED",
        Medium,
        "An event trigger of the extension is disabled, so what it keeps in order is not.",
    ),
    code(
        "TRIGGER_MISSING",
        High,
        "A trigger of the registry is missing: a suspended tenant or revoked access may go on in open sessions.",
    ),
    code(
        "AUDIT_TRIGGER_MISSING",
        High,
        "The table is audited, but {} of the four triggers that record its changes are gone, or don't always fire.",
    ),
    code("TRIGGER_NOT_ALWAYS", Medium, "A trigger of the extension does not fire in every replication role."),
    code(
        "VIEW_NOT_INVOKER",
        Medium,
        "The view reads protected tables with the rights of its owner {} instead of its reader's.",
    ),
    code(
        "POLICY_EXTRA",
        Medium,
        "A permissive policy beside the extension's: the restrictive one alone holds it in check.",
    ),
    code(
        "POLICY_READS_OPEN_TABLE",
        Medium,
        "The policy asks {}, a table without row security that tenants write: they decide what it lets pass.",
    ),
    code("LEAKPROOF_FN", Medium, "A function declared LEAKPROOF sees rows before row security has judged them."),
    code("LO_COLUMN", Medium, "Large objects have no tenant: whoever knows or guesses the number reads them.")
    .advised("Move the objects into a column of type bytea, each after looking whose it is: a row may have been given any number."),
    code("PUBLICATION", Medium, "The publication sends rows of all tenants, without row filter: {}."),
    code(
        "PUBLICATION_STALE",
        Medium,
        "The publication filters {} by a tenant that is not registered: who is given its key later is sent to the same subscribers.",
    )
    .advised("Take that tenant out of the filter."),
    code(
        "ROLE_SETTING",
        Medium,
        "The setting {} is fixed for a role that acts for tenants, by which it fails or reads other objects than meant.",
    ),
    code(
        "HARDENING_DRIFT",
        Medium,
        "A role that acts for tenants has more rights here than its profile leaves it, or sessions without the library.",
    ),
    code("QUOTA_NOT_COUNTED", Medium, "Rows of this table count for a quota, and what counts them ({}) is not there or off."),
    code("TENANT_ID_DEFAULT", Medium, "{} does not default to the tenant acted for, so an INSERT must name it."),
    code(
        "INDEX_NOT_TENANT_LED",
        Medium,
        "No index is led by {}: every query reads all tenants' rows, and its time tells about them.",
    ),
    code(
        "JWT_KEY_MISSING",
        Medium,
        "Access asks for tokens, and there is no key to verify them with: such roles act for nobody.",
    )
    .advised("Register a key with tenancy.add_jwt_key() or tenancy.import_jwks(); a dump has none."),
    code("ACCESS_ROLE_MISSING", Medium, "Access is recorded for a role that was dropped."),
    code(
        "EXTENSION_NOT_UPDATED",
        High,
        "The extension is of version {}: what needs the new one is refused, DDL on protected tables among it.",
    ),
    code(
        "LIBRARY_OUTDATED",
        High,
        "The extension is of version {}: by more than the third number, and no tenant is acted for, and DDL on protected tables is refused.",
    )
    .advised("Install the package of the extension's version or a later one, on standbys too, and restart the server."),
    code("SERVER_TOO_OLD", High, "The server has known ways round row security: {}."),
    code(
        "NOT_PRELOADED",
        Medium,
        "The library is not preloaded, so a session is not watched before its first use of the extension.",
    ),
    code(
        "FK_NO_INDEX",
        Low,
        "No index supports the foreign key ({}): deleting a row it refers to reads the whole table.",
    ),
    code("VIEW_NO_BARRIER", Low, "The view hides rows, but is no security barrier: a cheap function sees them first."),
    code(
        "POLICY_FOR_BYPASSER",
        Low,
        "The policy is for {}, whom no row security holds: for such a role it does nothing.",
    ),
    code(
        "TABLE_WITHOUT_TENANT",
        Low,
        "Tenants reach this table, which has no tenant column and is not classified as global.",
    ),
    code("AUDIT_NO_KEY", Low, "Nothing but the whole row tells which row an entry of the audit log is of."),
    code("RECORD_STALE", Low, "A table is recorded that doesn't exist."),
    code(
        "ROLE_NOT_HARDENED",
        Info,
        "A role that acts for tenants was not hardened: it may have rights that lead beyond its tenant.",
    ),
    code(
        "TRIGGER_BYPASS",
        Info,
        "The trigger's function runs as {}, who bypasses row security: what it reads and writes for a tenant is its own business.",
    ),
    code("LEAKY_BUILTIN_PUBLIC", Info, "Everybody can execute functions that reach beyond a tenant: {}."),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_their_texts_are_sentences() {
        for (place, code) in CODES.iter().enumerate() {
            assert_eq!(find(code.name).map(|(found, _)| found), Some(place), "{}", code.name);
            assert!(code.stake.ends_with('.') && code.stake.matches("{}").count() <= 1, "{}", code.name);
            assert!(code.advice.is_empty() || code.advice.ends_with('.'), "{}", code.name);
            assert!(code.name.chars().all(|c| c.is_ascii_uppercase() || c == '_'), "{}", code.name);
        }
    }

    #[test]
    fn the_reference_lists_every_code_with_its_severity() {
        let reference = include_str!("../../docs/reference.md");
        for code in &CODES {
            let row = format!("| `{}` | {} |", code.name, code.severity.as_str());
            assert!(reference.contains(&row), "docs/reference.md lacks: {row}");
        }
    }

    /// A query that names an unknown code would find in vain.
    #[test]
    fn every_code_of_the_queries_is_known() {
        let queries = [
            include_str!("../../sql/queries/doctor/tables.sql"),
            include_str!("../../sql/queries/doctor/unclassified.sql"),
            include_str!("../../sql/queries/doctor/policies.sql"),
            include_str!("../../sql/queries/doctor/keys.sql"),
            include_str!("../../sql/queries/doctor/views.sql"),
            include_str!("../../sql/queries/doctor/functions.sql"),
            include_str!("../../sql/queries/doctor/objects.sql"),
            include_str!("../../sql/queries/doctor/privileges.sql"),
            include_str!("../../sql/queries/doctor/roles.sql"),
            include_str!("../../sql/queries/doctor/server.sql"),
        ];
        let mut seen = vec![
            "POLICY_DRIFT",
            "HARDENING_DRIFT",
            "PUBLICATION_STALE",
            "SERVER_TOO_OLD",
            "EXTENSION_NOT_UPDATED",
            "LIBRARY_OUTDATED",
        ];
        for query in queries {
            for line in query.lines() {
                let Some((_, after)) = line.split_once("SELECT ") else { continue };
                for word in after.split('\'').skip(1).step_by(2) {
                    let is_code = word.len() > 3 && word.chars().all(|c| c.is_ascii_uppercase() || c == '_');
                    if is_code && word.contains('_') | ["RULE", "MATVIEW", "PUBLICATION"].contains(&word) {
                        assert!(find(word).is_some(), "{word}");
                        seen.push(word);
                    }
                }
            }
        }
        for code in &CODES {
            assert!(seen.contains(&code.name), "{} is never found", code.name);
        }
    }
}
