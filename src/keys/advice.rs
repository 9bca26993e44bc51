//! What protected tables lack of indexes, have too many of, or can't use under row security. `decide` is pure.

use crate::catalog::indexes::{self, Facts, ForeignKey, Index, Key, Operators, Table};
use crate::catalog::relations;
use crate::error::{Error, Result};
use crate::sql;
use crate::sys::Oid;
use std::collections::{HashMap, HashSet};

/// A piece of advice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    pub table: Oid,
    pub code: &'static str,
    pub detail: String,
    /// The index, or the table that lacks one.
    pub measured: Oid,
    /// One statement; `None` where several would do, each with a risk of its own.
    pub ddl: Option<String>,
}

const NOT_TENANT_LED: &str = "INDEX_NOT_TENANT_LED";
const NO_INDEX: &str = "FK_NO_INDEX";
const DUPLICATE: &str = "INDEX_DUPLICATE";
const REDUNDANT: &str = "INDEX_REDUNDANT";
const UNUSABLE: &str = "INDEX_UNUSABLE";
const PARTLY_UNUSABLE: &str = "INDEX_PARTLY_UNUSABLE";

/// Advice about a protected table with its parts, or about all, each with the bytes that its index or table has. Called
/// as the extension's owner.
///
/// # Errors
/// 55000 when the table is not protected; 42P01 when there is none.
pub fn advice(table: Option<Oid>) -> Result<Vec<(Advice, i64)>> {
    let facts = indexes::facts(table)?;
    if let Some(table) = table
        && !facts.tables.iter().any(|found| found.oid == table)
    {
        return Err(Error::NotProtected(relations::name(table)?));
    }
    let advice = decide(&facts);
    let sizes = indexes::sizes(advice.iter().map(|one| one.measured).collect())?;
    Ok(advice
        .into_iter()
        .map(|one| {
            let size = sizes.get(&one.measured).copied().unwrap_or(0);
            (one, size)
        })
        .collect())
}

/// Facts by table, as the decisions need them.
struct View<'a> {
    indexes: HashMap<Oid, Vec<&'a Index>>,
    foreign_keys: HashMap<Oid, Vec<&'a ForeignKey>>,
    tables: HashMap<Oid, &'a Table>,
    partitions: HashMap<Oid, Vec<&'a Table>>,
}

impl<'a> View<'a> {
    fn new(facts: &'a Facts) -> Self {
        let mut view = Self {
            indexes: HashMap::new(),
            foreign_keys: HashMap::new(),
            tables: HashMap::new(),
            partitions: HashMap::new(),
        };
        for index in &facts.indexes {
            view.indexes.entry(index.table).or_default().push(index);
        }
        for key in &facts.foreign_keys {
            view.foreign_keys.entry(key.table).or_default().push(key);
        }
        for table in &facts.tables {
            view.tables.insert(table.oid, table);
            if let Some(parent) = table.parent {
                view.partitions.entry(parent).or_default().push(table);
            }
        }
        view
    }

    fn indexes(&self, table: Oid) -> &[&'a Index] {
        self.indexes.get(&table).map_or(&[], Vec::as_slice)
    }

    fn foreign_keys(&self, table: Oid) -> &[&'a ForeignKey] {
        self.foreign_keys.get(&table).map_or(&[], Vec::as_slice)
    }

    /// The tables without partitions of their own under a partitioned one.
    fn leaves(&self, table: Oid, leaves: &mut Vec<&'a Table>) {
        for part in self.partitions.get(&table).map_or(&[][..], Vec::as_slice) {
            if part.partitioned {
                self.leaves(part.oid, leaves);
            } else {
                leaves.push(part);
            }
        }
    }

    fn lacks_led_index(&self, table: &Table) -> bool {
        !self.indexes(table.oid).iter().any(|index| leads(index, table))
    }
}

/// The advice that follows from the facts, in an order in which its statements can be run.
fn decide(facts: &Facts) -> Vec<Advice> {
    let view = View::new(facts);
    let mut advice = Vec::new();
    for table in &facts.tables {
        let unindexed: Vec<(&ForeignKey, Vec<String>)> = view
            .foreign_keys(table.oid)
            .iter()
            .filter(|key| !view.indexes(table.oid).iter().any(|index| supports(index, key, table)))
            .map(|key| (*key, columns_for(key, table)))
            .collect();
        advice.extend(not_tenant_led(&view, table, &unindexed));
        for (key, columns) in &unindexed {
            let detail = format!(
                "No index supports the foreign key {} ({}): deleting a row it refers to reads the whole table.",
                key.name,
                key.idents.join(", ")
            );
            advice.extend(creation(&view, table, NO_INDEX, &detail, columns));
        }
        let mut dropped = HashSet::new();
        advice.extend(duplicates(&view, table, &mut dropped));
        advice.extend(redundant(&view, table, &mut dropped));
        let left = view.indexes(table.oid).iter().filter(|index| !dropped.contains(&index.oid));
        advice.extend(left.filter_map(|index| unusable(&facts.operators, index, table)));
    }
    advice
}

/// Whether the index is one by which the tenant's rows are found.
fn leads(index: &Index, table: &Table) -> bool {
    index.valid
        && index.method == "btree"
        && index.predicate.is_none()
        && index
            .keys
            .first()
            .is_some_and(|key| key.attribute == table.tenant && key.collation == table.tenant_collation)
}

/// Whether the rows that refer to a given one are found by the index: its first columns are the key's, among them the
/// tenant's where the table referred to has tenants too.
fn supports(index: &Index, key: &ForeignKey, table: &Table) -> bool {
    let led_by = |columns: &[i16]| {
        let first: HashSet<i16> = index.keys.iter().take(columns.len()).map(|key| key.attribute).collect();
        columns.iter().all(|column| first.contains(column))
    };
    let wide = [key.columns.as_slice(), &[table.tenant]].concat();
    let not_null = |predicate: &String| key.idents.iter().any(|ident| *predicate == format!("({ident} IS NOT NULL)"));
    index.valid
        && ["btree", "hash", "gist"].contains(&index.method.as_str())
        && index.predicate.as_ref().is_none_or(not_null)
        && (led_by(&key.columns) || key.to_tenants && led_by(&wide))
}

/// The columns of the index that a foreign key wants.
fn columns_for(key: &ForeignKey, table: &Table) -> Vec<String> {
    let tenant = table.tenant_ident.to_string();
    let others = key.idents.iter().filter(|ident| **ident != tenant).cloned();
    if key.to_tenants || key.columns.contains(&table.tenant) {
        [tenant.clone()].into_iter().chain(others).collect()
    } else {
        others.collect()
    }
}

fn not_tenant_led(view: &View<'_>, table: &Table, unindexed: &[(&ForeignKey, Vec<String>)]) -> Vec<Advice> {
    // A partition gets its index through its parent's.
    let parent = table.parent.and_then(|parent| view.tables.get(&parent));
    if !view.lacks_led_index(table) || parent.is_some_and(|parent| view.lacks_led_index(parent)) {
        return Vec::new();
    }
    let tenant = table.tenant_ident.to_string();
    let detail = format!("No index is led by {tenant}: every query reads all tenants' rows.");
    match unindexed.iter().find(|(_, columns)| columns.first() == Some(&tenant)) {
        Some((key, _)) => vec![Advice {
            table: table.oid,
            code: NOT_TENANT_LED,
            detail: format!("{detail} The one for the foreign key {} will do.", key.name),
            measured: table.oid,
            ddl: None,
        }],
        None => creation(view, table, NOT_TENANT_LED, &detail, &[tenant]),
    }
}

/// The making of an index. On partitions it is made one by one, since PostgreSQL can't do so concurrently for all; the
/// parent's then takes them in.
fn creation(view: &View<'_>, table: &Table, code: &'static str, detail: &str, columns: &[String]) -> Vec<Advice> {
    let step = |on: &Table, detail: String| Advice {
        table: on.oid,
        code,
        detail,
        measured: on.oid,
        ddl: Some(sql::create_plain_index(&on.ident, &columns.join(", "), !on.partitioned)),
    };
    let mut leaves = Vec::new();
    view.leaves(table.oid, &mut leaves);
    let mut steps: Vec<Advice> = leaves
        .into_iter()
        .filter(|leaf| !view.indexes(leaf.oid).iter().any(|index| can_be_taken_in(index, columns)))
        .map(|leaf| step(leaf, format!("{detail} This is the partition's part of {}'s.", table.ident)))
        .collect();
    let attaches = if steps.is_empty() { "" } else { " It takes in the partitions' indexes, so make these first." };
    steps.push(step(table, format!("{detail}{attaches}")));
    steps
}

/// Whether an index of a partition is what the parent's index on these columns would make there.
fn can_be_taken_in(index: &Index, columns: &[String]) -> bool {
    index.valid
        && !index.attached
        && !index.unique
        && index.method == "btree"
        && index.predicate.is_none()
        && index.included.is_empty()
        && index.keys.iter().map(|key| &key.text).eq(columns)
}

/// Indexes that are the same but for what else hangs on them; the first in this order is kept.
fn duplicates(view: &View<'_>, table: &Table, dropped: &mut HashSet<Oid>) -> Vec<Advice> {
    let mut candidates: Vec<&Index> =
        view.indexes(table.oid).iter().copied().filter(|index| index.valid && !index.attached).collect();
    candidates.sort_by_key(|index| (!index.bound, !index.unique, index.oid.to_u32()));
    let mut advice = Vec::new();
    for (place, index) in candidates.iter().enumerate() {
        let Some(kept) = candidates.iter().take(place).find(|kept| serves_as(kept, index)) else { continue };
        if !index.bound {
            dropped.insert(index.oid);
        }
        advice.push(Advice {
            table: table.oid,
            code: DUPLICATE,
            detail: if index.bound {
                format!(
                    "{} is the same as {}, but for the constraint or the setting it belongs to.",
                    index.ident, kept.ident
                )
            } else {
                format!("{} is the same as {}.", index.ident, kept.ident)
            },
            measured: index.oid,
            ddl: (!index.bound).then(|| sql::drop_index(&index.ident, !index.partitioned)),
        });
    }
    advice
}

/// Whether the one does all that the other does, with the same columns.
fn serves_as(kept: &Index, index: &Index) -> bool {
    let same = |a: &Key, b: &Key| {
        (a.attribute, a.operator_class, a.collation, a.options, &a.text)
            == (b.attribute, b.operator_class, b.collation, b.options, &b.text)
    };
    let is_as_unique = (kept.unique, kept.nulls_not_distinct, kept.immediate)
        == (index.unique, index.nulls_not_distinct, index.immediate);
    kept.method == index.method
        && kept.included == index.included
        && kept.predicate == index.predicate
        && (!index.unique || is_as_unique)
        && kept.keys.len() == index.keys.len()
        && kept.keys.iter().zip(&index.keys).all(|(a, b)| same(a, b))
}

/// Indexes on one column whose every use under row security one can serve that is led by the tenant.
fn redundant(view: &View<'_>, table: &Table, dropped: &mut HashSet<Oid>) -> Vec<Advice> {
    let indexes = view.indexes(table.oid);
    let mut advice = Vec::new();
    for index in indexes.iter().filter(|index| is_simple(index) && !dropped.contains(&index.oid)) {
        let [key] = index.keys.as_slice() else { continue };
        // PostgreSQL checks foreign keys without a tenant.
        let checked = |foreign: &&ForeignKey| {
            foreign.columns.contains(&key.attribute) && !foreign.columns.contains(&table.tenant)
        };
        if view.foreign_keys(table.oid).iter().any(checked) {
            continue;
        }
        // Where a tenant sees rows of others or of nobody too, one led by the tenant has what it sees in several places: not in
        // order.
        if table.shows_others && key.attribute != table.tenant {
            continue;
        }
        let covers = |other: &&&Index| {
            leads(other, table)
                && !dropped.contains(&other.oid)
                && other.keys.get(1).is_some_and(|second| key.attribute == table.tenant || is_ordered_as(key, second))
        };
        let Some(other) = indexes.iter().find(covers) else { continue };
        advice.push(Advice {
            table: table.oid,
            code: REDUNDANT,
            detail: if key.attribute == table.tenant {
                format!("{} begins with the same column as {}.", other.ident, index.ident)
            } else {
                format!(
                    "{} serves every query of a tenant that {} does; what reads across tenants loses it.",
                    other.ident, index.ident
                )
            },
            measured: index.oid,
            ddl: Some(sql::drop_index(&index.ident, !index.partitioned)),
        });
    }
    dropped.extend(advice.iter().map(|one| one.measured));
    advice
}

/// A plain btree on one column that nothing but queries depends on.
fn is_simple(index: &Index) -> bool {
    index.valid
        && !index.attached
        && !index.bound
        && !index.unique
        && index.method == "btree"
        && index.keys.len() == 1
        && index.included.is_empty()
        && index.predicate.is_none()
}

/// Whether rows that have the first column in common come in the order of `key`, forwards or backwards.
fn is_ordered_as(key: &Key, second: &Key) -> bool {
    let what = |key: &Key| (key.attribute, key.operator_class, key.collation, key.text.clone());
    what(key) == what(second) && [0, 3].contains(&(key.options ^ second.options))
}

const WAYS_OUT: &str = "Ways out: an index led by the tenant column finds the tenant's rows, and the condition is checked on \
     these (no risk; it takes as long as the tenant is large); partitioning by tenant does the same without an index (keys \
     must contain the column, and thousands of partitions slow planning down); an index on other columns WHERE the tenant \
     column is one large tenant's serves that tenant alone, in queries that name it as a constant, and not by these \
     conditions either; a superuser's ALTER FUNCTION ... LEAKPROOF lets the index be used (if the function can fail or log, \
     it may tell one tenant of another's values).";

/// An index that row security keeps conditions from, since it lets none see a row that is not leakproof before it has
/// judged the row itself.
fn unusable(operators: &HashMap<Oid, Operators>, index: &Index, table: &Table) -> Option<Advice> {
    if !index.valid || index.attached {
        return None;
    }
    let mut reasons = Vec::new();
    let mut usable = 0;
    for key in &index.keys {
        let none = Operators::default();
        let found = operators.get(&key.operator_class).unwrap_or(&none);
        if key.attribute == table.tenant || !key.leaky && found.leaky.is_empty() {
            usable += 1;
        } else if key.leaky {
            reasons.push(format!("{} calls a function that is not leakproof", key.text));
        } else if found.leakproof.is_empty() {
            reasons.push(format!("on {} no operator is leakproof ({})", key.text, found.leaky.join(" ")));
        } else {
            usable += 1;
            let (leaky, leakproof) = (found.leaky.join(" "), found.leakproof.join(" "));
            reasons.push(format!("on {} {leaky} are not leakproof, only {leakproof}", key.text));
        }
    }
    if reasons.is_empty() {
        return None;
    }
    let (code, what) = match usable {
        0 => (UNUSABLE, "every condition"),
        _ => (PARTLY_UNUSABLE, "some conditions"),
    };
    Some(Advice {
        table: table.oid,
        code,
        detail: format!(
            "Row security keeps {what} of a tenant's query from {}: {}. {WAYS_OUT}",
            index.ident,
            reasons.join("; ")
        ),
        measured: index.oid,
        ddl: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::Ident;
    use proptest::prelude::*;

    const TENANT: i16 = 1;

    fn table() -> Table {
        Table {
            oid: Oid::from(1),
            ident: Ident::quoted("app.t".into()),
            partitioned: false,
            parent: None,
            tenant: TENANT,
            tenant_collation: Oid::from(0),
            tenant_ident: Ident::quoted("c1".into()),
            shows_others: false,
        }
    }

    fn key(attribute: i16) -> Key {
        Key {
            attribute,
            operator_class: Oid::from(10),
            collation: Oid::from(0),
            options: 0,
            text: format!("c{attribute}"),
            leaky: false,
        }
    }

    fn on(oid: u32, columns: &[i16]) -> Index {
        Index {
            oid: Oid::from(oid),
            table: Oid::from(1),
            ident: Ident::quoted(format!("app.i{oid}")),
            method: "btree".into(),
            keys: columns.iter().copied().map(key).collect(),
            included: Vec::new(),
            expressions: None,
            predicate: None,
            unique: false,
            nulls_not_distinct: false,
            immediate: true,
            valid: true,
            bound: false,
            partitioned: false,
            attached: false,
        }
    }

    fn foreign_key(columns: &[i16], to_tenants: bool) -> ForeignKey {
        ForeignKey {
            table: Oid::from(1),
            name: Ident::quoted("fk".into()),
            columns: columns.to_vec(),
            idents: columns.iter().map(|column| format!("c{column}")).collect(),
            to_tenants,
        }
    }

    fn codes(indexes: Vec<Index>, foreign_keys: Vec<ForeignKey>) -> Vec<&'static str> {
        let facts = Facts { tables: vec![table()], indexes, foreign_keys, operators: HashMap::new() };
        decide(&facts).into_iter().map(|one| one.code).collect()
    }

    #[test]
    fn a_shared_table_keeps_the_index_that_has_all_it_shows_in_order() {
        let mut facts =
            Facts { tables: vec![table()], indexes: vec![on(1, &[2]), on(2, &[TENANT, 2])], ..Facts::default() };
        assert_eq!(decide(&facts).first().map(|one| one.code), Some(REDUNDANT));
        facts.tables[0].shows_others = true;
        assert!(!decide(&facts).iter().any(|one| one.code == REDUNDANT));
        facts.indexes.push(on(3, &[TENANT]));
        assert_eq!(
            decide(&facts).iter().filter(|one| one.code == REDUNDANT).map(|one| one.measured).collect::<Vec<_>>(),
            [Oid::from(3)]
        );
    }

    #[test]
    fn an_index_in_the_opposite_order_serves_as_well_and_one_with_nulls_elsewhere_does_not() {
        for (options, expected) in [(0, vec![REDUNDANT]), (3, vec![REDUNDANT]), (1, vec![]), (2, vec![])] {
            let mut single = on(1, &[2]);
            single.keys[0].options = options;
            assert_eq!(codes(vec![single, on(2, &[TENANT, 2])], vec![]), expected, "{options}");
        }
    }

    #[test]
    fn an_index_by_which_a_foreign_key_is_checked_is_kept() {
        let indexes = || vec![on(1, &[2]), on(2, &[TENANT, 2])];
        assert_eq!(codes(indexes(), vec![]), [REDUNDANT]);
        assert_eq!(codes(indexes(), vec![foreign_key(&[2], true)]), [""; 0]);
        assert_eq!(codes(indexes(), vec![foreign_key(&[TENANT, 2], true)]), [REDUNDANT]);
    }

    #[test]
    fn a_foreign_key_wants_the_tenant_in_front_where_both_tables_have_one() {
        let columns = |key: &ForeignKey| columns_for(key, &table());
        assert_eq!(columns(&foreign_key(&[2], true)), ["c1", "c2"]);
        assert_eq!(columns(&foreign_key(&[3, TENANT, 2], true)), ["c1", "c3", "c2"]);
        assert_eq!(columns(&foreign_key(&[3, 2], false)), ["c3", "c2"]);
    }

    #[test]
    fn an_index_that_is_not_complete_is_none() {
        let mut building = on(1, &[TENANT]);
        building.valid = false;
        assert_eq!(codes(vec![building.clone()], vec![]), [NOT_TENANT_LED]);
        assert_eq!(codes(vec![building, on(2, &[TENANT])], vec![]), [""; 0]);
    }

    #[test]
    fn the_reference_lists_every_code() {
        let reference = include_str!("../../docs/reference.md");
        for code in [NOT_TENANT_LED, NO_INDEX, DUPLICATE, REDUNDANT, UNUSABLE, PARTLY_UNUSABLE] {
            assert!(reference.contains(&format!("| `{code}` | ")), "docs/reference.md lacks {code}");
        }
    }

    fn any_index() -> impl Strategy<Value = Index> {
        let keys = proptest::collection::vec(1..4_i16, 1..4);
        (keys, any::<[bool; 4]>(), 0..4_i16).prop_map(|(columns, [unique, bound, partial, attached], options)| {
            let mut index = on(1, &columns);
            index.unique = unique;
            index.bound = bound;
            index.attached = attached;
            index.predicate = partial.then(|| "c1 > 0".into());
            if let Some(key) = index.keys.last_mut() {
                key.options = options;
            }
            index
        })
    }

    proptest! {
        /// Whatever is there: no index is dropped that something hangs on, none twice, and what is dropped is not
        /// missed, since the same advice is not given the other way round afterwards.
        #[test]
        fn following_the_advice_leads_to_an_end(
            mut indexes in proptest::collection::vec(any_index(), 0..8),
            foreign_keys in proptest::collection::vec((1..4_i16, any::<bool>()), 0..3),
        ) {
            for (index, oid) in indexes.iter_mut().zip(1..) {
                index.oid = Oid::from(oid);
                index.ident = Ident::quoted(format!("app.i{oid}"));
            }
            let foreign_keys: Vec<_> =
                foreign_keys.into_iter().map(|(column, to_tenants)| foreign_key(&[column], to_tenants)).collect();
            let facts = Facts { tables: vec![table()], indexes, foreign_keys, operators: HashMap::new() };
            let first = decide(&facts);
            let mut dropped: Vec<Oid> =
                first.iter().filter(|one| one.ddl.as_deref().is_some_and(|ddl| ddl.starts_with("DROP"))).map(|one| one.measured).collect();
            for index in facts.indexes.iter().filter(|index| dropped.contains(&index.oid)) {
                prop_assert!(!index.bound && !index.attached);
            }
            let count = dropped.len();
            dropped.sort_by_key(|oid| oid.to_u32());
            dropped.dedup();
            prop_assert_eq!(dropped.len(), count);

            let mut then = facts.clone();
            then.indexes.retain(|index| !dropped.contains(&index.oid));
            let made = first.iter().filter(|one| one.ddl.as_deref().is_some_and(|ddl| ddl.starts_with("CREATE")));
            let columns = made.filter_map(|one| one.ddl.as_ref()?.split(['(', ')']).nth(1).map(str::to_owned));
            for (columns, oid) in columns.zip(100..) {
                let columns: Vec<i16> = columns.split(", ").filter_map(|column| column[1..].parse().ok()).collect();
                then.indexes.push(on(oid, &columns));
            }
            for one in decide(&then) {
                // A new index can make another one superfluous, and two foreign keys may want the same one.
                prop_assert!(one.ddl.is_none() || [REDUNDANT, DUPLICATE].contains(&one.code), "{one:?}");
            }
        }
    }
}
