//! What a client may do, as data: drawn at random, written as SQL.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use tenancy_harness::Dice;

use crate::ledger::TENANTS;
use crate::site::Tenant;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Insert,
    InsertOrNothing,
    Upsert,
    /// Deletes even ids that are there, updates odd ones, and inserts those that are not.
    Merge,
    /// Deletes even ids and updates odd ones.
    MergeMatched,
    /// Deletes and, in one statement, inserts as many with other ids.
    Replace,
    Update,
    /// Lines of what is deleted go by their foreign key.
    Delete,
    AddLines,
    RemoveLines,
    // What only a bypassing role does.
    Copy,
    /// Gives items to a tenant; their lines follow by their foreign key.
    Move {
        to: usize,
    },
    /// Fills the table that is truncated.
    Keep,
    Truncate,
}

/// How many kinds there are, for each tenant that items move to.
pub const KINDS: usize = 13 + TENANTS;

/// A statement as it is drawn: `at` says at which of the client's items it begins, `only` for which tenant alone who bypasses writes.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    pub kind: Kind,
    pub only: Option<usize>,
    pub at: usize,
    pub rows: i64,
    pub length: i64,
}

#[derive(Clone, Copy, Debug)]
pub enum Step {
    Savepoint,
    RollBackTo,
    Release,
    Run(Operation),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Commit,
    RollBack,
    PrepareAndCommit,
    PrepareAndRollBack,
}

#[derive(Clone, Debug)]
pub struct Transaction {
    pub isolation: &'static str,
    pub steps: Vec<Step>,
    pub end: End,
}

fn kind(bypasses: bool) -> SBoxedStrategy<Kind> {
    let everybody = prop_oneof![
        6 => Just(Kind::Insert),
        1 => Just(Kind::InsertOrNothing),
        2 => Just(Kind::Upsert),
        2 => Just(Kind::Merge),
        1 => Just(Kind::MergeMatched),
        1 => Just(Kind::Replace),
        2 => Just(Kind::Update),
        3 => Just(Kind::Delete),
        2 => Just(Kind::AddLines),
        1 => Just(Kind::RemoveLines),
    ];
    if !bypasses {
        return everybody.sboxed();
    }
    prop_oneof![
        10 => everybody,
        8 => Just(Kind::Copy),
        3 => (0..TENANTS).prop_map(|to| Kind::Move { to }),
        5 => Just(Kind::Keep),
        1 => Just(Kind::Truncate),
    ]
    .sboxed()
}

fn step(bypasses: bool) -> impl Strategy<Value = Step> {
    let only = if bypasses { prop::option::of(0..TENANTS).sboxed() } else { Just(None).sboxed() };
    let operation = (kind(bypasses), only, any::<usize>(), 1..=6_i64, 0..80_i64)
        .prop_map(|(kind, only, at, rows, length)| Operation { kind, only, at, rows, length });
    prop_oneof![
        1 => Just(Step::Savepoint),
        1 => Just(Step::RollBackTo),
        1 => Just(Step::Release),
        9 => operation.prop_map(Step::Run),
    ]
}

/// The library that clients use loses count of the server's answers where COPY fails before it reads, as serializable ones may.
fn without_copy(step: &mut Step) {
    if let Step::Run(Operation { kind: kind @ Kind::Copy, .. }) = step {
        *kind = Kind::Insert;
    }
}

/// What a client does, who acts for one tenant, or bypasses row security.
pub fn transactions(bypasses: bool) -> SBoxedStrategy<Transaction> {
    let isolation = prop_oneof![2 => Just("read committed"), 1 => Just("repeatable read"), 1 => Just("serializable")];
    let end = prop_oneof![
        5 => Just(End::Commit),
        1 => Just(End::RollBack),
        1 => Just(End::PrepareAndCommit),
        1 => Just(End::PrepareAndRollBack),
    ];
    (isolation, prop::collection::vec(step(bypasses), 1..=5), end)
        .prop_map(|(isolation, mut steps, end)| {
            if isolation == "serializable" {
                steps.iter_mut().for_each(without_copy);
            }
            Transaction { isolation, steps, end }
        })
        .sboxed()
}

/// What one client, or whoever changes limits, does one after the other. A seed gives each of them the same again, but not the server's
/// turns: another run goes wrong elsewhere or not at all, so that shrinking would tell nothing, and is not tried.
pub struct Draws<T>(TestRunner, SBoxedStrategy<T>);

impl<T: std::fmt::Debug> Draws<T> {
    pub fn new(dice: &mut Dice, strategy: SBoxedStrategy<T>) -> Self {
        let seed: Vec<u8> = (0..4).flat_map(|_| dice.throw().to_le_bytes()).collect();
        let random = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
        Self(TestRunner::new_with_rng(Config::default(), random), strategy)
    }

    pub fn next(&mut self) -> T {
        self.1.new_tree(&mut self.0).expect("all that is drawn is of use").current()
    }
}

/// An operation of a client whose rows are known, so that the ids are.
#[derive(Clone, Debug)]
pub struct Statement {
    pub kind: Kind,
    /// For whom it writes.
    pub tenants: Vec<usize>,
    pub first: i64,
    pub rows: i64,
    pub length: i64,
    /// The least id that is above all there are.
    pub fresh: i64,
}

/// Who writes.
pub struct Hand {
    pub number: usize,
    /// Indices of the tenants: one, or all for who bypasses.
    pub tenants: Vec<usize>,
    pub names: [Tenant; TENANTS],
}

fn ids(hand: &Hand, tenants: &[usize]) -> String {
    let ids: Vec<String> = tenants.iter().map(|tenant| format!("'{}'::uuid", hand.names[*tenant].id)).collect();
    ids.join(", ")
}

impl Statement {
    pub fn sql(&self, hand: &Hand) -> String {
        let Self { kind, tenants, first, rows, length, fresh } = self;
        let (client, tenants, end) = (hand.number, ids(hand, tenants), first + rows);
        let own = format!("client = {client} and tenant_id in ({tenants})");
        let range = format!("{own} and id >= {first} and id < {end}");
        let new = format!(
            "select {client} as client, {first} + n as id, tenant_id, repeat('x', ({length} + n)::integer) as body
             from unnest(array[{tenants}]) tenant_id, generate_series(0, {rows} - 1) n"
        );
        let insert = format!("insert into items (client, id, tenant_id, body) {new}");
        let merge = format!(
            "merge into items i using ({new}) s
               on i.client = s.client and i.tenant_id = s.tenant_id and i.id = s.id and i.client = {client}"
        );
        match kind {
            Kind::Insert => insert,
            Kind::InsertOrNothing => format!("{insert} on conflict do nothing"),
            Kind::Upsert => format!("{insert} on conflict (tenant_id, client, id) do update set body = excluded.body"),
            Kind::Merge => format!(
                "{merge} when matched and i.id % 2 = 0 then delete when matched then update set body = s.body
                 when not matched then insert (client, id, tenant_id, body) values (s.client, s.id, s.tenant_id, s.body)"
            ),
            Kind::MergeMatched => {
                format!("{merge} when matched and i.id % 2 = 0 then delete when matched then update set body = s.body")
            }
            Kind::Replace => format!(
                "with gone as (delete from items where {range} returning id, tenant_id)
                 insert into items (client, id, tenant_id, body)
                 select {client}, id - {first} + {fresh}, tenant_id, repeat('x', {length}) from gone"
            ),
            Kind::Update => format!("update items set body = repeat('x', {length}) where {range}"),
            Kind::Delete => format!("delete from items where {range}"),
            Kind::AddLines => format!(
                "insert into lines (client, item, tenant_id, line)
                 select client, id, tenant_id, n from items, generate_series(1, {rows}) n where {own} and id = {first}"
            ),
            Kind::RemoveLines => format!("delete from lines where {own} and item = {first}"),
            Kind::Copy => "copy items (client, id, tenant_id, body) from stdin".to_owned(),
            Kind::Move { to } => {
                let to = &hand.names[*to].id;
                format!(
                    "update items i set tenant_id = '{to}' where {range} and tenant_id <> '{to}' and not exists (
                       select from items o where o.client = {client} and o.tenant_id = '{to}' and o.id = i.id)"
                )
            }
            Kind::Keep => format!(
                "insert into kept (tenant_id, body) select tenant_id, repeat('x', {length})
                 from unnest(array[{tenants}]) tenant_id, generate_series(1, {rows})"
            ),
            Kind::Truncate => "truncate kept".to_owned(),
        }
    }

    /// What COPY reads.
    pub fn lines(&self, hand: &Hand) -> String {
        let line = |tenant: usize, n: i64| {
            let body = "x".repeat(usize::try_from(self.length + n).expect("a length"));
            format!("{}\t{}\t{}\t{body}\n", hand.number, self.first + n, hand.names[tenant].id)
        };
        self.tenants.iter().flat_map(|tenant| (0..self.rows).map(|n| line(*tenant, n))).collect()
    }
}
