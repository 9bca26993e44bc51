//! Taking a tenant from one database to another: a script for psql that writes a script for psql.

use super::inventory::Inventory;
use crate::catalog::tenant_rows;
use crate::catalog::tenants::TenantRow;
use crate::error::Result;
use crate::sql::literal;
use crate::sql::transfer::{self, NAMED, Owner, Rows, say};
use crate::sys::Oid;

/// One line for each table: how many rows it has of the tenant, and a digest of what they hold, which is the same in another
/// database and under another name. Called as the extension's owner, with settings that change no value's text.
///
/// # Errors
/// 42704 unknown tenant; 55000 when it is erased or of another region, or a table with a tenant column is neither protected
/// nor classified.
pub fn tenant_digest(tenant: &str) -> Result<Vec<(Oid, i64, String)>> {
    let inventory = Inventory::of(tenant)?;
    let mut digests = Vec::new();
    for (_, unit, predicate) in inventory.parts() {
        let (rows, digest) = tenant_rows::digest(unit, predicate)?;
        digests.push((unit.oid, rows, digest));
    }
    Ok(digests)
}

/// The lines of a script that, run by psql, writes one that makes the tenant in another database, or under another name.
/// Called as the extension's owner.
///
/// # Errors
/// As for `tenant_digest`.
pub fn export_tenant(tenant: &str) -> Result<Vec<String>> {
    let inventory = Inventory::of(tenant)?;
    let mut lines: Vec<String> = EXPORT_BEGINS.lines().map(str::to_owned).collect();
    lines.push(beginning(&inventory.tenant));
    let of_tenant = format!("tenant_id OPERATOR(pg_catalog.=) '{}'", inventory.tenant.id);
    for (relation, columns) in OWN {
        let columns = columns.map(str::to_owned);
        lines.extend(transfer::rows(&Rows {
            source: relation,
            relation,
            columns: &columns,
            tenant_column: "tenant_id",
            owner: Owner::Id,
            predicate: &of_tenant,
        }));
    }
    for (table, unit, predicate) in inventory.parts() {
        let Some(owner) = table.held() else { continue };
        lines.extend(transfer::rows(&Rows {
            source: &unit.source(),
            relation: &unit.ident,
            columns: &unit.columns,
            tenant_column: &table.column.to_string(),
            owner,
            predicate,
        }));
        let own = format!("{} = {}", table.column, owner.variable());
        let advanced =
            unit.sequences.iter().map(|(sequence, column)| transfer::advance(sequence, column, &unit.source(), &own));
        lines.extend(advanced);
    }
    for key in tenant_rows::foreign_keys(&inventory.tables)? {
        let Some(table) = inventory.tables.iter().find(|table| table.oid == key.root) else { continue };
        let (Some(owner), Some(_)) = (table.held(), inventory.predicate(table.oid)) else { continue };
        let query = format!(
            "EXISTS (SELECT FROM {} AS c WHERE c.{} = {} AND {})",
            key.relation,
            table.column,
            owner.variable(),
            key.dangles
        );
        let message = format!("rows of {} refer to nothing by foreign key \"{}\"", key.relation, key.name);
        lines.push(say(&transfer::refuse_where(&query, &message, "23503")));
    }
    lines.extend(late_keys(&inventory)?);
    lines.extend(registered(&inventory.tenant));
    lines.push(digests(&inventory.tenant));
    lines.push(suspended(&inventory.tenant));
    lines.push(say("COMMIT;"));
    lines.push("COMMIT;".into());
    Ok(lines)
}

/// What of the extension's own tables goes along.
const OWN: [(&str, [&str; 3]); 2] =
    [("tenancy.members", ["user_id", "role", "added_at"]), ("tenancy.numbers", ["name", "gapless", "last_value"])];

/// All from one snapshot, and each value in the one form that every session reads alike.
const EXPORT_BEGINS: &str = "\\set ON_ERROR_STOP on
\\set QUIET on
\\pset format unaligned
\\pset tuples_only on
\\pset pager off
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SET LOCAL client_encoding = 'UTF8';
SET LOCAL standard_conforming_strings = on;
SET LOCAL row_security = off;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL statement_timeout = 0;
SET LOCAL idle_in_transaction_session_timeout = 0;
SET LOCAL DateStyle = 'ISO, YMD';
SET LOCAL IntervalStyle = 'postgres';
SET LOCAL TimeZone = 'UTC';
SET LOCAL extra_float_digits = 1;
SET LOCAL bytea_output = 'hex';
SET LOCAL xmlbinary = 'base64';
SET LOCAL lc_monetary = 'C';";

/// Up to the tenant that is made. Triggers that are not there for always, and checks of foreign keys, do not run: rows come as
/// they are, and what they refer to is looked at when all have come.
const IMPORT_BEGINS: &str = "BEGIN;
SET LOCAL client_encoding = 'UTF8';
SET LOCAL standard_conforming_strings = on;
SET LOCAL row_security = off;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL statement_timeout = 0;
SET LOCAL idle_in_transaction_session_timeout = 0;
SET LOCAL DateStyle = 'ISO, YMD';
SET LOCAL IntervalStyle = 'postgres';
SET LOCAL lc_monetary = 'C';
SET LOCAL xmloption = 'content';
SET LOCAL array_nulls = on;
SET LOCAL session_replication_role = replica;";

/// What the registry says is read with all else.
fn beginning(tenant: &TenantRow) -> String {
    let id = tenant.id.to_string();
    // A key that is the id would be another tenant's under another id.
    let key = if tenant.key.as_str() == id { String::new() } else { tenant.key.as_str().to_owned() };
    // Where it was, if the database that it comes to has its parent.
    let parent = format!(
        "(SELECT p.id::pg_catalog.text FROM tenancy.tenants AS p \
          WHERE p.id = {NAMED}::pg_catalog.uuid AND p.status IN ('active', 'suspended'))"
    );
    let text = format!(
        "\\set ON_ERROR_STOP on\n\
         \\if :{{?tenant_key}}\n\\if :{{?tenant_id}}\n\\else\n\\set tenant_id ''\n\\endif\n\
         \\else\n\\set tenant_key {}\n\\if :{{?tenant_id}}\n\\else\n\\set tenant_id '{id}'\n\\endif\n\\endif\n\
         {IMPORT_BEGINS}\n\
         SELECT tenancy.create_tenant(nullif(:'tenant_key', ''), id => nullif(:'tenant_id', '')::pg_catalog.uuid, \
         name => {NAMED}, plan => (SELECT p.name FROM tenancy.plans AS p WHERE p.name = {NAMED}), region => {NAMED}, \
         settings => {NAMED}, parent => {parent}) AS tenant_id \\gset\n\
         SELECT t.key AS tenant_key FROM tenancy.tenants AS t WHERE t.id = :'tenant_id' \\gset",
        transfer::psql_literal(&key),
    );
    transfer::say_each(
        &text,
        &["t.name", "t.plan", "t.region", "t.settings::pg_catalog.text", "t.parent::pg_catalog.text"],
        &format!("tenancy.tenants AS t WHERE t.id OPERATOR(pg_catalog.=) '{id}'"),
    )
}

/// What else belongs to the tenant and means something elsewhere: its quotas, of resources that there are; and its hosts, which
/// lead to one tenant only.
fn registered(tenant: &TenantRow) -> Vec<String> {
    let id = &tenant.id;
    let quota = format!(
        "SELECT pg_catalog.count(tenancy.set_quota(:'tenant_id', r.name, {NAMED}, {NAMED}, {NAMED}, {NAMED})::pg_catalog.text) \
         AS tenancy_set FROM tenancy.resources AS r WHERE r.name = {NAMED} AND r.kind = {NAMED} \\gset"
    );
    let host = format!(
        "SELECT pg_catalog.count(tenancy.add_host({NAMED}, :'tenant_id')::pg_catalog.text) AS tenancy_set \\gset"
    );
    vec![
        transfer::say_each(
            &quota,
            &["q.max_amount", "q.per", "q.mode", "q.warn_at", "r.name", "r.kind"],
            &format!(
                "tenancy.quotas AS q JOIN tenancy.resources AS r ON r.id OPERATOR(pg_catalog.=) q.resource_id \
                 WHERE q.tenant_id OPERATOR(pg_catalog.=) '{id}' ORDER BY r.name"
            ),
        ),
        say(&format!("SELECT :'tenant_id' = '{id}' AS tenancy_same \\gset\n\\if :tenancy_same")),
        transfer::say_each(
            &host,
            &["h.host"],
            &format!("tenancy.hosts AS h WHERE h.tenant_id OPERATOR(pg_catalog.=) '{id}' ORDER BY h.host"),
        ),
        say("\\endif"),
    ]
}

/// A tenant that nobody may act for does not come back to life by being moved.
fn suspended(tenant: &TenantRow) -> String {
    let text = format!(
        "SELECT pg_catalog.count(tenancy.suspend_tenant(:'tenant_id', {NAMED})::pg_catalog.text) AS tenancy_set \\gset"
    );
    let source = format!(
        "tenancy.tenants AS t WHERE t.id OPERATOR(pg_catalog.=) '{}' AND t.status OPERATOR(pg_catalog.<>) 'active'",
        tenant.id
    );
    transfer::say_each(&text, &["'exported when ' OPERATOR(pg_catalog.||) t.status"], &source)
}

/// Keys that are checked when a transaction ends are so by triggers, which do not fire while rows come.
fn late_keys(inventory: &Inventory) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for key in tenant_rows::late_keys(&inventory.tables)? {
        let Some(table) = inventory.tables.iter().find(|table| table.oid == key.root) else { continue };
        let (Some(owner), Some(_)) = (table.held(), inventory.predicate(table.oid)) else { continue };
        let rows = format!(
            "SELECT tableoid AS part, ctid AS place, {} FROM {} WHERE ({})",
            key.columns, key.source, key.predicate
        );
        let query = format!(
            "EXISTS (SELECT FROM ({rows} AND {} = {}) AS one JOIN ({rows}) AS other ON {} \
                     WHERE one.part <> other.part OR one.place <> other.place)",
            table.column,
            owner.variable(),
            key.collides
        );
        let message = format!("rows of {} violate the key \"{}\"", key.relation, key.name);
        let sqlstate = if key.is_unique { "23505" } else { "23P01" };
        lines.push(say(&transfer::refuse_where(&query, &message, sqlstate)));
    }
    Ok(lines)
}

/// Has the exporting script write what the importing one is to compare.
fn digests(tenant: &TenantRow) -> String {
    let broken = "EXISTS (SELECT FROM (VALUES %s) AS e (tbl, rows, digest) \
                  WHERE NOT EXISTS (SELECT FROM tenancy.tenant_digest(:'tenant_id') AS d \
                                    WHERE d.tbl = e.tbl::pg_catalog.regclass AND d.rows = e.rows AND d.digest = e.digest))";
    let text = transfer::refuse_where(broken, "what was imported is not what was exported", "55000");
    format!(
        "SELECT pg_catalog.replace({}, '%s', pg_catalog.string_agg(pg_catalog.format('(%L, %s, %L)', \
         d.tbl, d.rows, d.digest), ', ')) FROM tenancy.tenant_digest({}) AS d HAVING pg_catalog.count(*) > 0;",
        literal(&text),
        literal(&tenant.id.to_string())
    )
}
