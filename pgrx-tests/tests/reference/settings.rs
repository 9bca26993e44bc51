//! The page of settings.

use tenancy_harness::postgres::Client;

use crate::{prose, rows};

/// Those that SHOW ALL leaves out are in `pg_settings` for nobody; their texts are in the source.
const QUERY: &str = "
    SELECT name, vartype, coalesce(boot_val, ''), context, coalesce(enumvals::text, ''), coalesce(unit, ''),
           CASE WHEN vartype = 'integer' THEN min_val || ' to ' || max_val ELSE '' END, short_desc, coalesce(extra_desc, '')
    FROM pg_catalog.pg_settings WHERE name LIKE 'tenancy.%' ORDER BY name COLLATE \"C\"";

pub fn page(session: &mut Client) -> String {
    let mut page = String::from(
        "<!-- Written by `make reference` from pg_settings: change src/guc.rs, not this page. -->\n\n\
         # Settings\n\n\
         The prefix is reserved: setting any other `tenancy.*` is an error. `tenancy.token` is left out of `pg_settings`, as its value is: it holds a\n\
         [signed token](../signed-context.md), and any role may set it.\n",
    );
    for row in rows(session, QUERY) {
        let [name, kind, default, context, values, unit, range, short, extra] = &row[..] else { panic!("{row:?}") };
        let whose = match context.as_str() {
            "user" => "any role",
            "superuser" => "superusers, and roles that were granted SET on it",
            "sighup" => "the server's configuration, on reload",
            "postmaster" => "the server's configuration, at start",
            other => other,
        };
        let takes = match kind.as_str() {
            "enum" => values.trim_matches(['{', '}']).replace(',', ", "),
            "integer" => format!("{range}{}", if unit.is_empty() { String::new() } else { format!(" {unit}") }),
            "bool" => "on, off".to_owned(),
            _ => "text".to_owned(),
        };
        let default = if default.is_empty() {
            "empty".to_owned()
        } else if unit.is_empty() {
            format!("`{default}`")
        } else {
            format!("`{default}` {unit}")
        };
        page.push_str(&format!(
            "\n## {name}\n\n{}\n{}\n\n- Who may set it: {whose}\n- Values: {takes}\n- Default: {default}\n",
            prose(short),
            prose(extra)
        ));
    }
    page
}
