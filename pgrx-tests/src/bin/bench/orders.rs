//! The tables that queries read.

use tenancy_harness::postgres::Client;
use tenancy_harness::{Cluster, Fixture, Session};

use crate::ways::Way;

/// Tenants with rows; each owns the same share, spread evenly over the table.
const TENANTS: i64 = 100;

/// A database with the same rows in one table per way, and an unprivileged role that reads them.
pub struct Orders<'c> {
    pub fixture: Fixture<'c>,
    pub app: String,
    /// Their ids.
    pub tenants: Vec<String>,
    pub rows: i64,
}

impl<'c> Orders<'c> {
    /// Name of the family of tables.
    pub const FAMILY: &'static str = "orders";

    pub fn create(cluster: &'c Cluster, rows: i64) -> Self {
        let fixture = Fixture::on(cluster);
        let app = fixture.app_named("bench_app");
        fixture.run(&format!(
            "insert into tenancy.tenants (id, key)
             select md5('tenant ' || n)::uuid, 'tenant-' || n from generate_series(0, {TENANTS} - 1) n"
        ));
        for way in Way::ALL {
            way.create_table(&fixture, Self::FAMILY);
            let table = way.table(Self::FAMILY);
            fixture.run(&format!(
                "insert into {table} (id, tenant_id, amount, body)
                 select n / {TENANTS}, md5('tenant ' || n % {TENANTS})::uuid, n % 1000, 'order number ' || n
                 from generate_series(0, {rows} - 1) n"
            ));
            fixture.run(&format!("vacuum (freeze, analyze) {table}"));
        }
        fixture.run("checkpoint");
        let tenants = fixture.superuser().texts("select id::text from tenancy.tenants order by key");
        Self { fixture, app, tenants, rows }
    }

    /// Rows of each tenant; their ids are the numbers below.
    pub fn rows_per_tenant(&self) -> i64 {
        self.rows / TENANTS
    }

    /// A session of the application's role.
    pub fn connect(&self) -> Client {
        self.fixture.connect(&self.app)
    }

    /// Panics unless the queries of all ways have the same plan, but for names and conditions.
    pub fn check_plans(&self, client: &mut Client, query: impl Fn(Way) -> String) {
        let plans = Way::ALL.map(|way| self.plan(client, way, &query(way)));
        assert!(plans.iter().all(|plan| *plan == plans[0]), "the plans differ:\n{}", plans.join("\n\n"));
    }

    /// The steps of the plan that a prepared statement settles on.
    fn plan(&self, client: &mut Client, way: Way, query: &str) -> String {
        let arguments = if query.contains("$1") { ("(bigint)", "(1)") } else { ("", "") };
        let mut transaction = client.transaction().expect("a transaction");
        way.enter(&mut transaction, &self.tenants[0]);
        transaction.run(&format!("prepare shape{} as {query}", arguments.0));
        transaction.run("set local plan_cache_mode = force_generic_plan");
        let plan = transaction.texts(&format!("explain (costs off) execute shape{}", arguments.1));
        transaction.run("deallocate shape");
        transaction.commit().expect("commit");
        let steps = plan.iter().filter(|line| !line.contains(": "));
        let steps: Vec<String> = steps.map(|line| line.replace(&way.table(Self::FAMILY), "table")).collect();
        steps.join("\n")
    }
}
