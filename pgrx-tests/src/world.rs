//! Tenants and tables that most tests of isolation start from.

use postgres::{Client, Transaction};

use crate::fixture::Fixture;

/// A tenant as the tests know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tenant {
    pub id: &'static str,
    pub key: &'static str,
}

pub const ACME: Tenant = Tenant { id: "aaaaaaaa-0000-4000-8000-000000000001", key: "acme" };
pub const GLOBEX: Tenant = Tenant { id: "bbbbbbbb-0000-4000-8000-000000000002", key: "globex" };
/// Integer tenant columns hold the key as a number, so their tenants need numeric keys.
const TENANT_101: Tenant = Tenant { id: "cccccccc-0000-4000-8000-000000000101", key: "101" };
const TENANT_202: Tenant = Tenant { id: "dddddddd-0000-4000-8000-000000000202", key: "202" };

/// A type that a tenant column may have, with two tenants and the table that has it.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    pub column_type: &'static str,
    /// The tenant whose context the tests take.
    pub mine: Tenant,
    /// The tenant whose rows must not be seen.
    pub other: Tenant,
}

/// One table per type: `notes_uuid`, `notes_text`, …
pub const FAMILIES: [Family; 6] = [
    Family { column_type: "uuid", mine: ACME, other: GLOBEX },
    Family { column_type: "text", mine: ACME, other: GLOBEX },
    Family { column_type: "varchar", mine: ACME, other: GLOBEX },
    Family { column_type: "smallint", mine: TENANT_101, other: TENANT_202 },
    Family { column_type: "integer", mine: TENANT_101, other: TENANT_202 },
    Family { column_type: "bigint", mine: TENANT_101, other: TENANT_202 },
];

impl Family {
    /// Name of the family's table in a [`World`].
    #[must_use]
    pub fn table(&self) -> String {
        format!("notes_{}", self.column_type)
    }

    /// SQL literal of what the tenant column holds for `tenant`.
    #[must_use]
    pub fn literal(&self, tenant: Tenant) -> String {
        match self.column_type {
            "uuid" => format!("'{}'", tenant.id),
            "text" | "varchar" => format!("'{}'", tenant.key),
            _ => tenant.key.to_owned(),
        }
    }
}

/// A database where every family's table is protected and holds rows of both its tenants.
///
/// The tables have columns `id`, `tenant_id` and `body`, and the primary key `(tenant_id, id)`. The tenants' ids
/// overlap; `body` is the tenant's key, a blank and the row's id, so that a foreign row is known by its looks.
#[derive(Debug)]
pub struct World<'c> {
    pub fixture: Fixture<'c>,
    /// A login role that may act for every tenant.
    pub app: String,
}

impl World<'static> {
    /// In a new database on the shared server.
    #[must_use]
    pub fn new() -> Self {
        Self::within(Fixture::new())
    }
}

impl Default for World<'static> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'c> World<'c> {
    /// Rows of each family's own and other tenant.
    pub const MINE: i64 = 20;
    pub const OTHERS: i64 = 30;

    /// In the database of `fixture`.
    #[must_use]
    pub fn within(fixture: Fixture<'c>) -> Self {
        let app = fixture.app();
        fixture.register(&[ACME, GLOBEX, TENANT_101, TENANT_202]);
        let world = Self { fixture, app };
        for family in &FAMILIES {
            world.create_table(family, &family.table());
            world.fixture.run(&format!("select tenancy.protect('{}')", family.table()));
        }
        world
    }

    /// Another table like those of the families, filled but not protected.
    pub fn create_table(&self, family: &Family, table: &str) {
        let column_type = family.column_type;
        self.fixture.run(&format!(
            "create table {table}
               (id integer not null, tenant_id {column_type} not null, body text not null, primary key (tenant_id, id));
             {}",
            self.fill(family, table)
        ));
    }

    /// Statements that put both tenants' rows into `table`, when a bypassing role runs them.
    #[must_use]
    pub fn fill(&self, family: &Family, table: &str) -> String {
        let insert = |tenant: Tenant, rows| {
            format!(
                "insert into {table} (id, tenant_id, body)
                 select n, {}, '{} ' || n from generate_series(1, {rows}) n;",
                family.literal(tenant),
                tenant.key
            )
        };
        insert(family.mine, Self::MINE) + &insert(family.other, Self::OTHERS)
    }

    /// A session of the application's role.
    #[track_caller]
    pub fn connect(&self) -> Client {
        self.fixture.connect(&self.app)
    }

    /// Rows of `table` as they are, whoever owns them: text of each, in order.
    #[track_caller]
    pub fn true_rows(&self, table: &str) -> Vec<String> {
        let query = format!("select t::text from {table} t order by 1");
        let rows = self.fixture.superuser().query(&query, &[]).expect("the superuser reads the table");
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// A transaction that has taken `tenant` as its context.
    #[track_caller]
    pub fn begin<'t>(client: &'t mut Client, tenant: Tenant) -> Transaction<'t> {
        let mut transaction = client.transaction().expect("a transaction begins");
        transaction
            .query_one("select tenancy.set_tenant($1::text)", &[&tenant.key])
            .unwrap_or_else(|error| panic!("set_tenant({}): {error:?}", tenant.key));
        transaction
    }
}
