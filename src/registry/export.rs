//! Taking a tenant from one database to another: a script for psql that writes a script for psql.

use super::inventory::Inventory;
use crate::catalog::tenant_rows;
use crate::catalog::tenants::TenantRow;
use crate::error::Result;
use crate::sql::literal;
use crate::sql::transfer::{self, Owner, Rows, say};
use crate::sys::Oid;
use uuid::Uuid;

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
    lines.push(say(&beginning(&inventory.tenant)?));
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
        let advanced =
            unit.sequences.iter().map(|(sequence, column)| transfer::advance(sequence, column, &unit.source()));
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
    lines.push(digests(&inventory.tenant));
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
SET LOCAL DateStyle = 'ISO, YMD';
SET LOCAL IntervalStyle = 'postgres';
SET LOCAL TimeZone = 'UTC';
SET LOCAL extra_float_digits = 1;
SET LOCAL bytea_output = 'hex';";

/// Up to the tenant that is made. Triggers that are not there for always, and checks of foreign keys, do not run: rows come as
/// they are, and what they refer to is looked at when all have come.
const IMPORT_BEGINS: &str = "BEGIN;
SET LOCAL client_encoding = 'UTF8';
SET LOCAL standard_conforming_strings = on;
SET LOCAL row_security = off;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL statement_timeout = 0;
SET LOCAL DateStyle = 'ISO, YMD';
SET LOCAL IntervalStyle = 'postgres';
SET LOCAL session_replication_role = replica;";

fn beginning(tenant: &TenantRow) -> Result<String> {
    let registered = tenant_rows::registered(tenant.id)?;
    let id = tenant.id.to_string();
    // A key that is the id would be another tenant's under another id.
    let key = if tenant.key.as_str() == id { String::new() } else { tenant.key.as_str().to_owned() };
    let optional = |value: &Option<String>| value.as_deref().map_or_else(|| "NULL".to_owned(), literal);
    Ok(format!(
        "\\set ON_ERROR_STOP on\n\
         \\if :{{?tenant_key}}\n\\if :{{?tenant_id}}\n\\else\n\\set tenant_id ''\n\\endif\n\
         \\else\n\\set tenant_key {}\n\\if :{{?tenant_id}}\n\\else\n\\set tenant_id '{id}'\n\\endif\n\\endif\n\
         {IMPORT_BEGINS}\n\
         SELECT tenancy.create_tenant(nullif(:'tenant_key', ''), id => nullif(:'tenant_id', '')::pg_catalog.uuid, \
         name => {}, plan => (SELECT p.name FROM tenancy.plans AS p WHERE p.name = {}), region => {}, settings => {}{}) \
         AS tenant_id \\gset\n\
         SELECT t.key AS tenant_key FROM tenancy.tenants AS t WHERE t.id = :'tenant_id' \\gset",
        transfer::psql_literal(&key),
        optional(&registered.name),
        optional(&registered.plan),
        optional(&registered.region),
        literal(&registered.settings),
        registered.parent.map(below).unwrap_or_default(),
    ))
}

/// Places the tenant where it was, if the database that it comes to has its parent.
fn below(parent: Uuid) -> String {
    format!(
        ", parent => (SELECT p.id::pg_catalog.text FROM tenancy.tenants AS p \
                      WHERE p.id = '{parent}' AND p.status IN ('active', 'suspended'))"
    )
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
