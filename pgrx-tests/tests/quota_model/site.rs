//! Where it happens: a database with two tenants, the tables that count, and what is there.

use std::time::Duration;

use tenancy_harness::postgres::{Client, Error};
use tenancy_harness::{ACME, Cluster, Fixture, GLOBEX, Session};

use crate::ledger::{Amounts, TENANTS};
use crate::rows::{ITEM, Item, KEPT, LINE, Rows};

#[derive(Clone, Debug)]
pub struct Tenant {
    pub id: String,
    pub key: String,
}

#[derive(Clone)]
pub struct Site<'c> {
    pub cluster: &'c Cluster,
    database: String,
    app: String,
    pub tenants: [Tenant; TENANTS],
    /// Between one change of limits and the next.
    pub pause: Duration,
}

/// Whether the server is gone, or going.
pub fn is_lost(error: &Error) -> bool {
    use std::error::Error as _;
    match error.code().map(|code| code.code()) {
        Some(code) => ["57P01", "57P02", "57P03"].contains(&code) || code.starts_with("08"),
        None => error.is_closed() || error.source().is_some_and(|source| source.is::<std::io::Error>()),
    }
}

impl<'c> Site<'c> {
    /// Rows of three tables count for one resource, and their bytes for another: items in partitions, their lines, which follow them by
    /// a foreign key, and a table that is truncated. Clients reach the first two alone.
    pub fn new(fixture: &Fixture<'c>) -> Self {
        let app = fixture.app();
        fixture.run(
            "create table items (client integer, id bigint, tenant_id uuid, body text not null, primary key (tenant_id, client, id))
               partition by list (client);
             create table items_even partition of items for values in (0, 2, 4, 6); create table items_odd partition of items default;
             create table lines (client integer not null, item bigint not null, tenant_id uuid not null, line integer not null,
                                 foreign key (tenant_id, client, item) references items on update cascade on delete cascade);
             create table kept (tenant_id uuid not null, body text not null);
             create index on items (client); create index on lines (tenant_id, client, item);
             select tenancy.create_resource('items', 'rows'), tenancy.create_resource('storage', 'bytes');
             select tenancy.protect('items'); select tenancy.protect('lines'); select tenancy.protect('kept');
             select tenancy.attach_quota('items', 'items'), tenancy.attach_quota('items', 'storage');
             select tenancy.attach_quota('lines', 'items'), tenancy.attach_quota('lines', 'storage');
             select tenancy.attach_quota('kept', 'items'), tenancy.attach_quota('kept', 'storage');
             select tenancy.create_plan('small'), tenancy.create_plan('large');
             select tenancy.set_plan_quota('small', 'items', 150), tenancy.set_plan_quota('small', 'storage', 12000),
                    tenancy.set_plan_quota('large', 'items', 250), tenancy.set_plan_quota('large', 'storage', 20000)",
        );
        let tenants = [ACME, GLOBEX].map(|tenant| Tenant { id: tenant.id.to_owned(), key: tenant.key.to_owned() });
        let (cluster, database) = (fixture.cluster(), fixture.database().to_owned());
        let site = Self { cluster, database, app, tenants, pause: Duration::from_millis(20) };
        site.register();
        site
    }

    /// The same on a server that has taken over.
    pub fn on<'o>(&self, cluster: &'o Cluster) -> Site<'o> {
        let Self { database, app, tenants, pause, .. } = self.clone();
        Site { cluster, database, app, tenants, pause }
    }

    /// The same with tenants that have never used anything, and may use little; limits change without a pause, for what is shown is over
    /// soon.
    pub fn with_new_tenants(&self, round: u64) -> Self {
        let tenants = std::array::from_fn(|n| Tenant {
            id: format!("{round:08x}-0000-4000-8000-00000000000{n}"),
            key: format!("new-{round}-{n}"),
        });
        let site = Self { tenants, pause: Duration::ZERO, ..self.clone() };
        site.superuser().run(
            "select tenancy.set_plan_quota('small', 'items', 20), tenancy.set_plan_quota('small', 'storage', 1700)",
        );
        site.register();
        site
    }

    fn register(&self) {
        let mut superuser = self.superuser();
        for Tenant { id, key } in &self.tenants {
            superuser.run(&format!(
                "select tenancy.create_tenant('{key}', id => '{id}'); update tenancy.tenants set plan = 'small' where key = '{key}'"
            ));
        }
    }

    /// Has the tenants use something, and no longer: it is counted from here on.
    pub fn begin_counting(&self) {
        let mut superuser = self.superuser();
        for Tenant { id, .. } in &self.tenants {
            superuser.run(&format!("insert into kept values ('{id}', ''); delete from kept"));
        }
    }

    pub fn superuser(&self) -> Client {
        self.cluster.connect_to(&self.database, Cluster::SUPERUSER)
    }

    /// A session that acts for a tenant.
    pub fn acting_for(&self, tenant: usize) -> Client {
        let mut client = self.cluster.connect_to(&self.database, &self.app);
        client.run(&format!("set tenancy.tenant_id = '{}'", self.tenants[tenant].key));
        client
    }

    pub fn index(&self, id_or_key: &str) -> Option<usize> {
        self.tenants.iter().position(|tenant| tenant.id == id_or_key || tenant.key == id_or_key)
    }

    /// What is committed. Panics when it is not what is counted in the same snapshot.
    pub fn used(&self, superuser: &mut Client) -> Result<Amounts, Error> {
        let query = format!(
            "with there as (
               select tenant_id, {ITEM} + octet_length(body) as bytes from items union all
               select tenant_id, {LINE} from lines union all
               select tenant_id, {KEPT} + octet_length(body) from kept)
             select t.key, (select count(*) from there where tenant_id = t.id),
                    (select coalesce(sum(bytes), 0)::bigint from there where tenant_id = t.id), counted.rows, counted.bytes
             from tenancy.tenants t, lateral (
               select coalesce(sum(used) filter (where r.name = 'items'), 0)::bigint as rows,
                      coalesce(sum(used) filter (where r.name = 'storage'), 0)::bigint as bytes
               from tenancy.quota_slots s join tenancy.resources r on r.id = s.resource_id where s.tenant_id = t.id) counted"
        );
        let mut used = Amounts::default();
        for row in superuser.query(&query, &[])? {
            let there: [i64; 2] = [row.get(1), row.get(2)];
            let counted: [i64; 2] = [row.get(3), row.get(4)];
            let key: String = row.get(0);
            assert_eq!(there, counted, "rows and bytes that are there, and that are counted, of {key}");
            if let Some(tenant) = self.index(&key) {
                used[tenant] = there;
            }
        }
        Ok(used)
    }

    /// What a client of that number has, while it does nothing.
    pub fn rows_of(&self, superuser: &mut Client, client: usize, bypasses: bool) -> Rows {
        let mut rows = Rows::default();
        let items = format!(
            "select tenant_id::text, id, octet_length(body)::bigint,
                    (select count(*) from lines l where (l.tenant_id, l.client, l.item) = (i.tenant_id, i.client, i.id))
             from items i where client = {client}"
        );
        for row in superuser.query(&items, &[]).expect("items") {
            if let Some(tenant) = self.index(row.get(0)) {
                rows.has_item(tenant, row.get(1), Item { length: row.get(2), lines: row.get(3) });
            }
        }
        if bypasses {
            let kept = superuser.query("select tenant_id::text, octet_length(body)::bigint from kept", &[]);
            for row in kept.expect("rows") {
                if let Some(tenant) = self.index(row.get(0)) {
                    rows.has_kept(tenant, row.get(1));
                }
            }
        }
        rows
    }
}
