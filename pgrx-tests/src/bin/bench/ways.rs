//! The ways to keep tenants apart that are compared.

use tenancy_harness::Fixture;
use tenancy_harness::postgres::{GenericClient, Statement};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// No row security: every query names its tenant.
    Literal,
    /// The hand-written policy that is common without an extension.
    Usual,
    /// A protected table.
    Ours,
    /// The first way on another table: by how much it differs from the first is noise.
    Control,
}

use Way::{Control, Literal, Ours, Usual};

impl Way {
    pub const ALL: [Self; 4] = [Literal, Usual, Ours, Control];

    /// The way's table of a family.
    pub fn table(self, family: &str) -> String {
        match self {
            Literal => format!("{family}_literal"),
            Usual => format!("{family}_usual"),
            Ours => format!("{family}_ours"),
            Control => format!("{family}_control"),
        }
    }

    /// Makes the way's table of a family: the same columns and indexes for all.
    pub fn create_table(self, fixture: &Fixture<'_>, family: &str) {
        let table = self.table(family);
        fixture.run(&format!(
            "create table {table} (id bigint not null, tenant_id uuid not null, amount integer not null,
                                   body text not null, primary key (tenant_id, id))"
        ));
        match self {
            Literal | Control => {}
            Usual => fixture.run(&format!(
                "alter table {table} enable row level security;
                 alter table {table} force row level security;
                 create policy own_tenant on {table}
                     using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid)"
            )),
            Ours => fixture.run(&format!("select tenancy.protect('{table}')")),
        }
    }

    /// `from … where …` for the rows of a tenant that meet `condition`.
    pub fn source(self, family: &str, tenant: &str, condition: &str) -> String {
        let table = self.table(family);
        match self {
            Literal | Control => format!("from {table} where tenant_id = '{tenant}' and {condition}"),
            Usual | Ours => format!("from {table} where {condition}"),
        }
    }

    /// The query that takes a tenant (`$1`) until the transaction or, unless `is_local`, the session ends.
    pub fn set_query(self, is_local: bool) -> Option<String> {
        match self {
            Literal | Control => None,
            Usual => Some(format!("select set_config('app.tenant_id', $1::text, {is_local})")),
            Ours => Some(format!("select tenancy.set_tenant($1::text, {is_local})")),
        }
    }

    /// Takes `tenant` for the transaction.
    pub fn enter(self, transaction: &mut impl GenericClient, tenant: &str) {
        self.take(transaction, tenant, true);
    }

    /// Takes `tenant` for the session.
    pub fn enter_session(self, client: &mut impl GenericClient, tenant: &str) {
        self.take(client, tenant, false);
    }

    fn take(self, client: &mut impl GenericClient, tenant: &str, is_local: bool) {
        if let Some(query) = self.set_query(is_local) {
            client.query_one(&query, &[&tenant]).expect("the tenant is set");
        }
    }

    /// Undoes [`Way::enter_session`].
    pub fn leave_session(self, client: &mut impl GenericClient) {
        match self {
            Literal | Control => {}
            Usual => client.batch_execute("reset app.tenant_id").expect("no tenant"),
            Ours => client.batch_execute("reset tenancy.tenant_id").expect("no tenant"),
        }
    }
}

/// One prepared statement per way.
pub struct Prepared([Statement; Way::ALL.len()]);

impl Prepared {
    pub fn new(client: &mut impl GenericClient, query: impl Fn(Way) -> String) -> Self {
        Self(Way::ALL.map(|way| client.prepare(&query(way)).expect("the query is prepared")))
    }

    pub fn of(&self, way: Way) -> &Statement {
        &self.0[way as usize]
    }
}
