//! One tenant's rows for another server: the statements that publish them. Composing them is pure.

use super::inventory::is_elsewhere;
use crate::catalog::published::{self, Filter, Identity, Published};
use crate::catalog::tenants::{self, TenantRow};
use crate::error::{Error, Lifecycle, Result};
use crate::sql::{self, Ident};
use crate::sys::report;
use crate::tenant::TenantRef;
use std::collections::{BTreeMap, BTreeSet};

/// The statements that publish a tenant's rows in all protected tables, under this name or one made of its id. A publication that
/// exists, and is this tenant's, is given those tables. None where nothing is protected. Called as the extension's owner.
///
/// # Errors
/// 42704 unknown tenant; 55000 when it is erased or of another region; 42710 when a publication of that name is not this tenant's;
/// 0A000 when a tenant column is of a type, or has a collation, that is not PostgreSQL's own, or rows can't be known again.
pub fn publication_sql(tenant: &str, name: Option<&str>) -> Result<Vec<String>> {
    let found = tenants::find(&TenantRef::parse(tenant)?)?.ok_or_else(|| Error::UnknownTenant(tenant.to_owned()))?;
    if found.status == "erased" {
        return Err(Error::TenantNotActive { tenant: tenant.to_owned(), status: found.status });
    }
    if is_elsewhere(&found) {
        return Err(Error::OtherRegion { tenant: tenant.to_owned() });
    }
    let own_name = own_name(&found);
    let name = name.unwrap_or(&own_name);
    let publication = published::publication(name)?;
    if publication.exists && name != own_name {
        let filters = published::filters(Some(name))?;
        let other = if publication.is_of_more { Some("more than it lists".into()) } else { not_of(&filters, &found) };
        if let Some(other) = other {
            return Err(Lifecycle::PublicationTaken { publication: publication.ident.to_string(), other }.into());
        }
    }
    let tables = published::tables(found.id, &found.key)?;
    for table in tables.iter().filter(|table| !table.is_logged) {
        report::notice(
            format!("table {} is unlogged, and not published", table.ident),
            "ALTER TABLE ... SET LOGGED has it replicated.",
        );
    }
    statements(&tables, &publication.ident, publication.exists)
}

/// What a tenant's publication is called unless somebody names it. Whatever becomes of its key, this is no other tenant's.
fn own_name(tenant: &TenantRow) -> String {
    format!("tenancy_{}", tenant.id.simple())
}

/// A table that is not filtered by the tenant alone.
fn not_of(filters: &[Filter], tenant: &TenantRow) -> Option<String> {
    let mut tables = BTreeMap::new();
    for filter in filters {
        *tables.entry(filter.table.to_string()).or_insert(false) |= filter.is_of(tenant.id, &tenant.key);
    }
    tables.into_iter().find(|(_, is_of)| !is_of).map(|(table, _)| table)
}

/// The publications that are a tenant's by their name, or name it in the filter of a protected table.
pub fn publications_of(tenant: &TenantRow) -> Result<BTreeSet<String>> {
    let own = published::publication(&own_name(tenant))?;
    let filters = published::filters(None)?;
    let naming = filters.into_iter().filter(|filter| filter.names(tenant.id, &tenant.key));
    Ok(naming.map(|filter| filter.publication.to_string()).chain(own.exists.then(|| own.ident.to_string())).collect())
}

/// A publication that has a protected table filtered by a tenant that is not, or no more, registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stale {
    pub publication: String,
    pub table: String,
    /// Where nobody else's rows are in it.
    pub remedy: Option<String>,
}

/// Such publications of tables in one schema, or in all. Called as the extension's owner.
pub fn stale_publications(schema: Option<&str>) -> Result<Vec<Stale>> {
    let mut stale = Vec::new();
    for filter in published::filters(None)? {
        if schema.is_some_and(|schema| schema != filter.schema) {
            continue;
        }
        let (named, is_one) = filter.tenants();
        for tenant in named {
            if tenants::find(&tenant)?.is_none_or(|found| found.status == "erased") {
                let (publication, table) = (filter.publication.to_string(), filter.table.to_string());
                let remedy = is_one.then(|| sql::unpublish(&filter.publication, &filter.table));
                stale.push(Stale { publication, table, remedy });
                break;
            }
        }
    }
    Ok(stale)
}

fn statements(tables: &[Published], name: &Ident, exists: bool) -> Result<Vec<String>> {
    let mut ddl = Vec::new();
    let mut listed = Vec::new();
    for table in tables.iter().filter(|table| table.is_logged) {
        // A column of numbers holds no rows of a tenant whose key is none.
        let Some(value) = &table.value else { continue };
        // What is sent of a partition is sent as its root's, by what identifies the root's rows.
        if !table.is_partitioned || !table.goes_along {
            ddl.extend(identify(table)?);
        }
        if table.goes_along {
            continue;
        }
        if !table.has_plain_column {
            return Err(Error::UnsupportedRelation {
                object: format!("publishing rows of {}", table.ident),
                reason: "its tenant column has a type or collation that is not PostgreSQL's own, which row filters don't take",
            });
        }
        let own = sql::equal(&table.column, value);
        let filter = if table.kind == "shared" { format!("{} IS NULL OR {own}", table.column) } else { own };
        // Without what inherits from it, which is listed by itself; of a partitioned table it is all.
        listed.push(format!("ONLY {} WHERE ({filter})", table.ident));
    }
    if listed.is_empty() {
        return Ok(Vec::new());
    }
    let listed = listed.join(",\n    ");
    // Partitions may be others on the other side.
    let option = "publish_via_partition_root = true";
    if exists {
        ddl.push(format!("ALTER PUBLICATION {name} SET ({option});"));
        ddl.push(format!("ALTER PUBLICATION {name} SET TABLE\n    {listed};"));
    } else {
        ddl.push(format!("CREATE PUBLICATION {name} FOR TABLE\n    {listed}\nWITH ({option});"));
    }
    Ok(ddl)
}

/// PostgreSQL refuses UPDATE and DELETE of what is published by a filter on columns that are not sent along with them.
fn identify(table: &Published) -> Result<Option<String>> {
    Ok(match &table.identity {
        Identity::Known => None,
        Identity::Index(index) => {
            Some(format!("ALTER TABLE ONLY {} REPLICA IDENTITY USING INDEX {index};", table.ident))
        }
        Identity::Full => Some(format!(
            "-- No unique index of the table has the tenant column: all of a row is written and sent when it is changed.\n\
             ALTER TABLE ONLY {} REPLICA IDENTITY FULL;",
            table.ident
        )),
        Identity::Nothing => return Err(Lifecycle::NotIdentified(table.ident.to_string()).into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str) -> Published {
        Published {
            ident: Ident::quoted(format!("app.{name}")),
            column: Ident::quoted("tenant_id".into()),
            value: Some("'acme'::pg_catalog.text".into()),
            kind: "tenant".into(),
            is_partitioned: false,
            goes_along: false,
            is_logged: true,
            has_plain_column: true,
            identity: Identity::Known,
        }
    }

    fn of(tables: &[Published], exists: bool) -> Vec<String> {
        statements(tables, &Ident::quoted("p".into()), exists).unwrap()
    }

    #[test]
    fn each_table_that_can_hold_the_tenant_is_filtered_by_it() {
        let ddl = of(&[table("a"), Published { value: None, ..table("b") }, table("c")], false);
        assert_eq!(
            ddl,
            ["CREATE PUBLICATION p FOR TABLE\n    \
                ONLY app.a WHERE (tenant_id OPERATOR(pg_catalog.=) 'acme'::pg_catalog.text),\n    \
                ONLY app.c WHERE (tenant_id OPERATOR(pg_catalog.=) 'acme'::pg_catalog.text)\n\
              WITH (publish_via_partition_root = true);"]
        );
    }

    #[test]
    fn nothing_is_published_of_nothing() {
        let tables = [Published { is_logged: false, ..table("a") }, Published { value: None, ..table("b") }];
        assert_eq!(of(&tables, false), Vec::<String>::new());
    }

    #[test]
    fn rows_are_made_known_by_the_tenant_column_before_they_are_published() {
        let index = Published { identity: Identity::Index(Ident::quoted("i".into())), ..table("a") };
        let full = Published { identity: Identity::Full, ..table("b") };
        let ddl = of(&[index, full], true);
        assert_eq!(ddl.len(), 4);
        assert_eq!(ddl[0], "ALTER TABLE ONLY app.a REPLICA IDENTITY USING INDEX i;");
        assert!(ddl[1].starts_with("-- ") && ddl[1].ends_with("\nALTER TABLE ONLY app.b REPLICA IDENTITY FULL;"));
        assert!(ddl[2].starts_with("ALTER PUBLICATION p SET (") && ddl[3].starts_with("ALTER PUBLICATION p SET TABLE"));
    }

    #[test]
    fn partitions_go_along_and_are_known_as_their_root_is() {
        let root = Published { is_partitioned: true, identity: Identity::Full, ..table("a") };
        let part = Published { goes_along: true, identity: Identity::Full, ..table("a_1") };
        let ddl = of(&[root, part], false);
        assert_eq!(ddl.len(), 3);
        assert!(ddl[0].contains("app.a REPLICA IDENTITY") && ddl[1].contains("app.a_1 REPLICA IDENTITY"), "{ddl:?}");
        assert!(!ddl[2].contains("a_1"), "{ddl:?}");
    }

    #[test]
    fn rows_of_nobody_go_to_everybody() {
        let ddl = of(&[Published { kind: "shared".into(), ..table("a") }], false);
        assert!(ddl[0].contains("WHERE (tenant_id IS NULL OR tenant_id OPERATOR"), "{ddl:?}");
    }

    #[test]
    fn rows_that_nothing_tells_apart_are_not_published() {
        let unknown = Published { identity: Identity::Nothing, ..table("a") };
        let error = statements(&[table("b"), unknown.clone()], &Ident::quoted("p".into()), false).unwrap_err();
        assert_eq!(error, Lifecycle::NotIdentified("app.a".into()).into());
        // Nobody asks for those that can't be the tenant's.
        assert_eq!(of(&[table("b"), Published { value: None, ..unknown }], false).len(), 1);
    }

    #[test]
    fn what_row_filters_refuse_is_refused_here() {
        let odd = Published { has_plain_column: false, ..table("a") };
        assert!(statements(&[odd], &Ident::quoted("p".into()), false).is_err());
    }
}
