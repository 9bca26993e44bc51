//! What is counted of tenants, whom the lines of the log name, and whether the extension is well.

mod clients;
mod counts;
mod errors;
mod health;
mod lines;
mod memory;
mod page;
mod readers;
mod refusals;
mod replication;

use tenancy_harness::postgres::Client;
use tenancy_harness::{ACME, Cluster, Fixture, GLOBEX, Session};

/// A database with tenants `acme` and `globex`, an application role, and the protected table `notes`.
struct Shop<'c> {
    fixture: Fixture<'c>,
    app: String,
}

impl Shop<'static> {
    fn new() -> Self {
        Self::within(Fixture::new())
    }
}

impl<'c> Shop<'c> {
    fn on(cluster: &'c Cluster) -> Self {
        Self::within(Fixture::on(cluster))
    }

    fn within(fixture: Fixture<'c>) -> Self {
        let app = fixture.app();
        fixture.register(&[ACME, GLOBEX]);
        fixture.run(
            "create table notes (id integer not null, tenant_id uuid not null default tenancy.current_tenant(), body text,
               primary key (tenant_id, id));
             select tenancy.protect('notes')",
        );
        Self { fixture, app }
    }

    /// A session of the application that acts for nobody yet.
    #[track_caller]
    fn client(&self) -> Client {
        self.fixture.connect(&self.app)
    }

    /// Ten rows of acme, of which nothing is counted.
    #[track_caller]
    fn fill(&self) {
        self.fixture.run(&format!(
            "insert into notes (id, tenant_id, body) select n, '{}', 'note ' || n from generate_series(1, 10) n",
            ACME.id
        ));
    }

    /// Transactions, those rolled back, statements, rows, errors, refused writes and refusals by quotas.
    #[track_caller]
    fn counted(&self, tenant: &str) -> [i64; 7] {
        let query = format!(
            "select coalesce((select concat_ws(' ', transactions, rolled_back, statements, rows, errors, refused_writes, quota_refusals)
                                from tenancy.stat_tenants where tenant = '{tenant}'), '0 0 0 0 0 0 0')"
        );
        let text = self.fixture.superuser().value(&query).unwrap();
        let numbers: Vec<i64> = text.split(' ').map(|number| number.parse().unwrap()).collect();
        numbers.try_into().unwrap()
    }

    /// What acme's counts have become more by.
    #[track_caller]
    fn added(&self, work: impl FnOnce()) -> [i64; 7] {
        let before = self.counted("acme");
        work();
        // A client hears of an error before its transaction has ended, and is counted.
        let mut superuser = self.fixture.superuser();
        self.fixture.cluster().wait_until(
            &mut superuser,
            "not exists (select from pg_stat_activity where datname = current_database() and backend_type = 'client backend'
                           and state = 'active' and pid <> pg_backend_pid())",
        );
        let after = self.counted("acme");
        std::array::from_fn(|place| after[place] - before[place])
    }
}
