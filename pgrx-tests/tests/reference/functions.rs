//! The page of functions.

use std::collections::{BTreeMap, BTreeSet};

use tenancy_harness::postgres::Client;

use crate::{cell, prose, rows};

/// What belongs together, and the page that explains it.
const TOPICS: [(&str, &str, &[&str]); 21] = [
    (
        "Context",
        "../reference.md#context",
        &[
            "set_tenant",
            "authenticate",
            "clear_tenant",
            "current_tenant",
            "current_key",
            "current_key_int",
            "require_tenant",
            "seal",
            "unseal",
        ],
    ),
    (
        "Access",
        "../reference.md#access",
        &[
            "grant_access",
            "revoke_access",
            "grant_admin",
            "revoke_admin",
            "add_jwt_key",
            "remove_jwt_key",
            "import_jwks",
        ],
    ),
    (
        "Members",
        "../members.md",
        &[
            "has_role",
            "is_member",
            "add_member",
            "remove_member",
            "invite_member",
            "revoke_invitation",
            "accept_invitation",
        ],
    ),
    (
        "Tables",
        "../reference.md#tables",
        &["protect", "protect_schema", "unprotect", "classify", "add_tenant_column", "manage_schema"],
    ),
    ("Adoption", "../adopt.md", &["adopt_plan", "adopt", "adopt_rows"]),
    ("Keys", "../keys.md", &["scope_unique", "scope_foreign_key", "scope_plan", "validate_foreign_key"]),
    ("Indexes", "../indexes.md", &["create_index", "index_advice"]),
    ("Numbers", "../indexes.md#numbers", &["next_number", "reserve_numbers", "set_number"]),
    ("Roles and bypass", "../reference.md#roles", &["harden_role", "bypass"]),
    ("Doctor, proof, why", "../reference.md#doctor", &["doctor", "prove", "why"]),
    (
        "Registry",
        "../lifecycle.md",
        &[
            "create_tenant",
            "suspend_tenant",
            "resume_tenant",
            "archive_tenant",
            "erase_tenant",
            "export_tenant",
            "clone_tenant",
            "tenant_digest",
            "create_plan",
            "is_tenant_key",
        ],
    ),
    ("Lifecycle handlers", "../lifecycle.md#handlers", &["on_lifecycle", "off_lifecycle"]),
    ("Trees", "../trees.md", &["set_parent", "visible_tenants", "visible_keys", "visible_key_ints"]),
    (
        "Settings of tenants",
        "../settings.md",
        &["set_setting", "setting", "setting_text", "setting_int", "setting_bool", "feature", "settings"],
    ),
    (
        "Hosts",
        "../settings.md#hosts",
        &["add_host", "remove_host", "normalize_host", "resolve_host", "set_tenant_by_host", "cache_key"],
    ),
    (
        "Quotas",
        "../quotas.md",
        &[
            "create_resource",
            "set_quota",
            "set_plan_quota",
            "attach_quota",
            "detach_quota",
            "check_quota",
            "consume",
            "release",
            "recount",
            "meter_usage",
            "usage_in_memory",
            "rate_tracking",
        ],
    ),
    (
        "Audit",
        "../audit.md",
        &["audit", "unaudit", "audit_history", "audit_revert", "audit_row_hash", "audit_json", "audit_maintain"],
    ),
    (
        "The chain of the audit log",
        "../audit.md#sealing",
        &["audit_seal", "audit_verify", "audit_checkpoint", "audit_retain", "audit_chain_json"],
    ),
    ("Replication", "../operations.md#one-tenant-on-another-server", &["publication_sql"]),
    ("Observability", "../observability.md", &["tenant_stats", "reset_stats", "stats_tracking", "health"]),
    // What comes later stands here until somebody says where it belongs.
    ("Others", "../README.md", &[]),
];

const QUERY: &str = "
    SELECT p.proname,
           pg_catalog.pg_get_function_arguments(p.oid),
           pg_catalog.pg_get_function_result(p.oid),
           CASE p.provolatile WHEN 'i' THEN 'immutable' WHEN 's' THEN 'stable' ELSE 'volatile' END
           || CASE WHEN p.proleakproof THEN ', leakproof' ELSE '' END
           || CASE p.proparallel WHEN 's' THEN ', parallel safe' WHEN 'r' THEN ', parallel restricted' ELSE '' END,
           CASE WHEN pg_catalog.has_function_privilege('public', p.oid, 'EXECUTE') THEN 'for everybody'
                WHEN pg_catalog.has_function_privilege('{admin}', p.oid, 'EXECUTE')
                    THEN 'for administrators' || CASE WHEN pg_catalog.has_function_privilege('pg_monitor', p.oid, 'EXECUTE')
                                                      THEN ' and members of pg_monitor' ELSE '' END
                WHEN pg_catalog.has_function_privilege('pg_monitor', p.oid, 'EXECUTE') THEN 'for members of pg_monitor'
                ELSE 'for superusers' END,
           pg_catalog.obj_description(p.oid, 'pg_proc')
    FROM pg_catalog.pg_proc AS p
    WHERE p.pronamespace = 'tenancy'::pg_catalog.regnamespace
    ORDER BY p.proname COLLATE \"C\", pg_catalog.pg_get_function_arguments(p.oid) COLLATE \"C\"";

/// One function, or one of several of that name.
#[derive(Debug)]
struct Function {
    arguments: String,
    result: String,
    properties: String,
    comment: String,
}

pub fn page(session: &mut Client, admin: &str) -> String {
    let mut functions: BTreeMap<String, Vec<Function>> = BTreeMap::new();
    let mut called_by_server = Vec::new();
    session.batch_execute("SET search_path = pg_catalog").expect("a search path");
    for row in rows(session, &QUERY.replace("{admin}", admin)) {
        let [name, arguments, result, properties, whom, comment] = &row[..] else { panic!("columns of {row:?}") };
        if ["trigger", "event_trigger"].contains(&result.as_str()) || arguments.contains("internal") {
            called_by_server.push((name.clone(), comment.clone()));
            continue;
        }
        functions.entry(name.clone()).or_default().push(Function {
            arguments: without_casts(arguments),
            result: result.replace("SETOF", "setof").replace("TABLE", "table"),
            properties: format!("{whom}, {properties}"),
            comment: comment.clone(),
        });
    }

    let mut page = String::from(
        "<!-- Written by `make reference` from the catalog: change the COMMENT, not this page. -->\n\n\
         # Functions\n\n\
         All functions of schema `tenancy`, with what their COMMENT says; `\\df+ tenancy.*` shows the same. Arguments with a\n\
         DEFAULT may be left out. The rules that they work by: [reference](../reference.md). What they raise: [errors](errors.md).\n\
         *For administrators* means superusers, and roles that [grant_admin](#grant_admin) has made administrators.\n",
    );
    let placed: BTreeSet<&str> = TOPICS.iter().flat_map(|(_, _, names)| names.iter().copied()).collect();
    let missing: Vec<&&str> = placed.iter().filter(|name| !functions.contains_key(**name)).collect();
    assert!(missing.is_empty(), "there is no {missing:?}");
    let unplaced: Vec<&str> = functions.keys().map(String::as_str).filter(|name| !placed.contains(name)).collect();

    let topics: Vec<(&str, &str, &[&str])> = TOPICS
        .into_iter()
        .map(|(title, explained, names)| (title, explained, if title == "Others" { &unplaced[..] } else { names }))
        .filter(|(_, _, names)| !names.is_empty())
        .collect();
    page.push('\n');
    for (title, _, names) in &topics {
        let names: Vec<String> = names.iter().map(|name| format!("[{name}](#{name})")).collect();
        page.push_str(&format!("- {title}: {}\n", names.join(", ")));
    }
    for (title, explained, names) in topics {
        page.push_str(&format!("\n## {title}\n\nExplained in [{}]({explained}).\n", page_name(explained)));
        for name in names {
            page.push_str(&format!("\n### {name}\n"));
            for function in &functions[*name] {
                page.push_str(&function.text(name));
            }
        }
    }
    page.push_str(
        "\n## Called by the server\n\nTriggers, event triggers and the planner call these; nobody else has to.\n\n",
    );
    page.push_str("| function | what it does |\n|---|---|\n");
    for (name, comment) in called_by_server {
        page.push_str(&format!("| `{name}` | {} |\n", cell(&comment)));
    }
    page
}

impl Function {
    fn text(&self, name: &str) -> String {
        let result = if self.result == "void" { String::new() } else { format!(" → {}", self.result) };
        let (says, raises) = match self.comment.split_once(" Raises ") {
            Some((says, raises)) => (says, Some(raises)),
            None => (self.comment.as_str(), None),
        };
        let mut text = format!("\n`tenancy.{name}({}){result}`\n\n{}", self.arguments, prose(says));
        if !says.ends_with('.') {
            text.push('.');
        }
        text.push('\n');
        if let Some(raises) = raises {
            text.push_str(&format!("\nErrors: {}.\n", states_marked(&prose(raises))));
        }
        text.push_str(&format!("\n*{}.*\n", self.properties));
        text
    }
}

/// `tenant text DEFAULT NULL::text` without what goes without saying.
fn without_casts(arguments: &str) -> String {
    let mut parts = arguments.split("::");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let is_type = |c: char| c.is_ascii_lowercase() || " []_.0123456789".contains(c);
        text.push_str(&part[part.find(|c| !is_type(c)).unwrap_or(part.len())..]);
    }
    text
}

/// SQLSTATEs set apart from the words around them.
fn states_marked(text: &str) -> String {
    let is_state = |word: &str| {
        word.len() == 5
            && word.starts_with(|c: char| c.is_ascii_digit())
            && word.chars().all(|c| c.is_ascii_digit() || c.is_ascii_uppercase())
    };
    let words = text.split(' ').map(|word| if is_state(word) { format!("`{word}`") } else { word.to_owned() });
    words.collect::<Vec<_>>().join(" ")
}

/// `../audit.md#sealing` by its name.
fn page_name(link: &str) -> &str {
    let file = link.trim_start_matches("../").split('#').next().unwrap_or_default();
    file.trim_end_matches(".md")
}

#[test]
fn texts_are_cut_as_they_should_be() {
    let arguments = "key text, id uuid DEFAULT NULL::uuid, settings jsonb DEFAULT '{}'::jsonb, path text DEFAULT current_setting('search_path'::text)";
    assert_eq!(
        without_casts(arguments),
        "key text, id uuid DEFAULT NULL, settings jsonb DEFAULT '{}', path text DEFAULT current_setting('search_path')"
    );
    assert_eq!(
        states_marked("42501 no tenant, 1048576 bytes, 0A000 that"),
        "`42501` no tenant, 1048576 bytes, `0A000` that"
    );
    assert_eq!(page_name("../audit.md#sealing"), "audit");
}
