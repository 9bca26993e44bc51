//! What a session may do, as data: generated at random, written as SQL, predicted by the model.

use proptest::prelude::*;

/// A tenant of the test, known to the session by `name`.
pub struct Tenant {
    pub id: &'static str,
    pub key: &'static str,
    /// How the test names the tenant: ids and keys are equal ways.
    pub name: &'static str,
}

/// The first three are open to the session; the fourth is not, and owns a row in every table that keeps scans busy.
pub const TENANTS: [Tenant; 4] = [
    Tenant { id: "11111111-0000-4000-8000-000000000001", key: "1", name: "1" },
    Tenant { id: "22222222-0000-4000-8000-000000000002", key: "2", name: "22222222-0000-4000-8000-000000000002" },
    Tenant { id: "33333333-0000-4000-8000-000000000003", key: "it's 3", name: "it's 3" },
    Tenant { id: "44444444-0000-4000-8000-000000000004", key: "4", name: "4" },
];
/// How many of them the session may act for.
pub const OPEN: usize = 3;
/// The tenant that the session may not act for.
pub const CLOSED: usize = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    Uuid,
    Text,
    Bigint,
}

impl Table {
    pub const ALL: [Self; 3] = [Self::Uuid, Self::Text, Self::Bigint];

    pub fn column_type(self) -> &'static str {
        match self {
            Self::Uuid => "uuid",
            Self::Text => "text",
            Self::Bigint => "bigint",
        }
    }

    pub fn name(self) -> String {
        format!("rows_{}", self.column_type())
    }

    /// Whether the tenant column can name `tenant`: a number column holds keys that are numbers.
    pub fn holds(self, tenant: usize) -> bool {
        self != Self::Bigint || TENANTS[tenant].key.parse::<i64>().is_ok()
    }

    /// What the tenant column holds for `tenant`, as SQL; `null` where it can't.
    pub fn literal(self, tenant: usize) -> String {
        let Tenant { id, key, .. } = TENANTS[tenant];
        match self {
            Self::Uuid => format!("'{id}'"),
            Self::Text => format!("'{}'", key.replace('\'', "''")),
            Self::Bigint if self.holds(tenant) => key.to_owned(),
            Self::Bigint => "null".to_owned(),
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub enum Step {
    Begin,
    Commit,
    Rollback,
    Savepoint,
    RollbackTo(usize),
    Release(usize),
    SetTenant {
        tenant: usize,
        local: bool,
    },
    SetUnknown,
    PlainSet {
        tenant: usize,
        local: bool,
    },
    Clear {
        local: bool,
    },
    Reset,
    ResetAll,
    /// Another session suspends the tenant, or resumes it.
    ToggleSuspension(usize),
    Context,
    Select(Table),
    /// The same through a statement prepared once per session.
    SelectPrepared(Table),
    Insert {
        table: Table,
        id: i32,
        value: i32,
    },
    InsertFor {
        table: Table,
        tenant: usize,
        id: i32,
        value: i32,
    },
    Update {
        table: Table,
        id: Option<i32>,
        value: i32,
    },
    Move {
        table: Table,
        tenant: usize,
        id: i32,
    },
    Delete {
        table: Table,
        id: Option<i32>,
    },
    Upsert {
        table: Table,
        id: i32,
        value: i32,
    },
    UpsertFor {
        table: Table,
        tenant: usize,
        id: i32,
        value: i32,
    },
    /// Deletes an even id and updates an odd one where they are there, inserts them where not.
    Merge {
        table: Table,
        first_id: i32,
        value: i32,
    },
}

pub fn select(table: Table) -> String {
    format!("select id || '=' || value from {} order by id", table.name())
}

/// Not `id = n`: a leakproof condition may be checked before the policy, and a scan that rejects every row by it would
/// not ask for the tenant at all.
fn where_id(id: Option<i32>) -> String {
    id.map(|id| format!(" where id + 0 = {id}")).unwrap_or_default()
}

impl Step {
    /// Whether the step runs a query; the others are commands on transactions and settings.
    pub fn is_query(self) -> bool {
        !matches!(
            self,
            Self::Begin
                | Self::Commit
                | Self::Rollback
                | Self::Savepoint
                | Self::RollbackTo(_)
                | Self::Release(_)
                | Self::PlainSet { .. }
                | Self::Reset
                | Self::ResetAll
                | Self::ToggleSuspension(_)
        )
    }

    /// The step as SQL; `savepoints` is how many there are, which names the next.
    pub fn sql(self, savepoints: usize) -> String {
        let quoted = |tenant: usize| format!("'{}'", TENANTS[tenant].name.replace('\'', "''"));
        let scope = |local| if local { "local" } else { "session" };
        match self {
            Self::Begin => "begin".to_owned(),
            Self::Commit => "commit".to_owned(),
            Self::Rollback => "rollback".to_owned(),
            Self::Savepoint => format!("savepoint s{savepoints}"),
            Self::RollbackTo(savepoint) => format!("rollback to s{savepoint}"),
            Self::Release(savepoint) => format!("release s{savepoint}"),
            Self::SetTenant { tenant, local } => format!("select tenancy.set_tenant({}, {local})", quoted(tenant)),
            Self::SetUnknown => "select tenancy.set_tenant('nobody', false)".to_owned(),
            Self::PlainSet { tenant, local } => format!("set {} tenancy.tenant_id = {}", scope(local), quoted(tenant)),
            Self::Clear { local } => format!("select tenancy.clear_tenant({local})"),
            Self::Reset => "reset tenancy.tenant_id".to_owned(),
            Self::ResetAll => "reset all".to_owned(),
            Self::ToggleSuspension(_) => unreachable!("another session does it"),
            Self::Context => "select coalesce(tenancy.current_key(), 'none')".to_owned(),
            Self::Select(table) | Self::SelectPrepared(table) => select(table),
            Self::Insert { table, id, value } => {
                format!("insert into {} (id, value) values ({id}, {value})", table.name())
            }
            Self::InsertFor { table, tenant, id, value } => format!(
                "insert into {} (tenant_id, id, value) values ({}, {id}, {value})",
                table.name(),
                table.literal(tenant)
            ),
            Self::Update { table, id, value } => {
                format!("update {} set value = {value}{}", table.name(), where_id(id))
            }
            Self::Move { table, tenant, id } => {
                let literal = table.literal(tenant);
                format!("update {} set tenant_id = {literal}{}", table.name(), where_id(Some(id)))
            }
            Self::Delete { table, id } => format!("delete from {}{}", table.name(), where_id(id)),
            Self::Upsert { table, id, value } => format!(
                "insert into {} (id, value) values ({id}, {value})
                 on conflict (tenant_id, id) do update set value = excluded.value",
                table.name()
            ),
            Self::UpsertFor { table, tenant, id, value } => format!(
                "insert into {} (tenant_id, id, value) values ({}, {id}, {value})
                 on conflict (tenant_id, id) do update set value = excluded.value",
                table.name(),
                table.literal(tenant)
            ),
            Self::Merge { table, first_id, value } => format!(
                "merge into {} t using (values ({first_id}), ({})) s (id) on t.id + 0 = s.id
                 when matched and s.id % 2 = 0 then delete
                 when matched then update set value = {value}
                 when not matched then insert (id, value) values (s.id, {value})",
                table.name(),
                first_id + 1
            ),
        }
    }
}

/// Number of a savepoint that never is there.
const STRAY: usize = 8;

impl Step {
    /// The step that makes the most of where the session is: chance alone would spend it on errors that PostgreSQL
    /// finds by itself. Some steps stay as they are, so that those errors come too.
    pub fn fit(self, in_block: bool, failed: bool, savepoints: usize) -> Self {
        match self {
            Self::RollbackTo(STRAY) | Self::Release(STRAY) | Self::Select(_) | Self::ToggleSuspension(_) => self,
            Self::Savepoint | Self::RollbackTo(_) | Self::Release(_) if !in_block => Self::Begin,
            Self::SetTenant { tenant, .. } if !in_block && tenant > 0 => Self::SetTenant { tenant, local: false },
            Self::PlainSet { tenant, .. } if !in_block && tenant > 0 => Self::PlainSet { tenant, local: false },
            Self::RollbackTo(_) | Self::Release(_) if savepoints == 0 && !failed => Self::Savepoint,
            Self::RollbackTo(savepoint) if savepoints > 0 => Self::RollbackTo(savepoint % savepoints),
            Self::Release(savepoint) if savepoints > 0 && !failed => Self::Release(savepoint % savepoints),
            Self::Commit | Self::Rollback => self,
            _ if failed && savepoints > 0 => Self::RollbackTo(savepoints - 1),
            _ if failed => Self::Rollback,
            _ => self,
        }
    }
}

/// Any step.
pub fn any_step() -> impl Strategy<Value = Step> {
    let table = || prop::sample::select(Table::ALL.to_vec());
    let tenant = || 0..TENANTS.len();
    let id = || 1..7_i32;
    let value = || 0..100_i32;
    let control = prop_oneof![
        4 => Just(Step::Begin),
        4 => Just(Step::Commit),
        1 => Just(Step::Rollback),
        8 => Just(Step::Savepoint),
        6 => (0..STRAY).prop_map(Step::RollbackTo),
        4 => (0..STRAY).prop_map(Step::Release),
        1 => Just(Step::RollbackTo(STRAY)),
        1 => Just(Step::Release(STRAY)),
    ];
    let context = prop_oneof![
        8 => (tenant(), any::<bool>()).prop_map(|(tenant, local)| Step::SetTenant { tenant, local }),
        1 => Just(Step::SetUnknown),
        6 => (0..OPEN, any::<bool>()).prop_map(|(tenant, local)| Step::PlainSet { tenant, local }),
        1 => any::<bool>().prop_map(|local| Step::Clear { local }),
        1 => Just(Step::Reset),
        1 => Just(Step::ResetAll),
        1 => (0..OPEN).prop_map(Step::ToggleSuspension),
        3 => Just(Step::Context),
    ];
    let data = prop_oneof![
        3 => table().prop_map(Step::Select),
        3 => table().prop_map(Step::SelectPrepared),
        6 => (table(), id(), value()).prop_map(|(table, id, value)| Step::Insert { table, id, value }),
        2 => (table(), tenant(), id(), value())
            .prop_map(|(table, tenant, id, value)| Step::InsertFor { table, tenant, id, value }),
        3 => (table(), prop::option::of(id()), value()).prop_map(|(table, id, value)| Step::Update { table, id, value }),
        4 => (table(), tenant(), id()).prop_map(|(table, tenant, id)| Step::Move { table, tenant, id }),
        2 => (table(), prop::option::weighted(0.8, id())).prop_map(|(table, id)| Step::Delete { table, id }),
        3 => (table(), id(), value()).prop_map(|(table, id, value)| Step::Upsert { table, id, value }),
        1 => (table(), tenant(), id(), value())
            .prop_map(|(table, tenant, id, value)| Step::UpsertFor { table, tenant, id, value }),
        3 => (table(), id(), value()).prop_map(|(table, first_id, value)| Step::Merge { table, first_id, value }),
    ];
    prop_oneof![3 => control, 3 => context, 6 => data]
}
