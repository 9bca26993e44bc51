//! Counting what a statement has written, per tenant: what the triggers on counted tables do.

use super::escrow;
use crate::catalog::quotas::{self, Counted, Kind};
use crate::catalog::{registry, tenants};
use crate::error::{Error, Result};
use crate::sql;
use crate::sys::slots::Key;
use crate::sys::transition::{Event, Fired, Side};
use crate::sys::weight::{self, Moment, Owner};
use crate::sys::{INVALID_OID, Oid, relation};
use crate::tenant::{TenantKey, TenantRef};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use uuid::Uuid;

/// Tenants that a session remembers by what their rows' tenant columns hold.
const REMEMBERED: usize = 4096;

/// An owner that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Name {
    Id([u8; 16]),
    Key(Box<str>),
    Number(i64),
}

impl Name {
    fn of(owner: &Owner<'_>) -> Option<Self> {
        Some(match owner {
            Owner::Nobody => return None,
            Owner::Id(id) => Self::Id(*id),
            Owner::Key(key) => Self::Key((*key).into()),
            Owner::Number(number) => Self::Number(*number),
        })
    }

    fn is(&self, owner: &Owner<'_>) -> bool {
        match (self, owner) {
            (Self::Id(own), Owner::Id(id)) => own == id,
            (Self::Key(own), Owner::Key(key)) => **own == **key,
            (Self::Number(own), Owner::Number(number)) => own == number,
            _ => false,
        }
    }
}

thread_local! {
    static TENANTS: RefCell<HashMap<Name, Uuid>> = RefCell::default();
}

/// Called when a relation changed; an invalid OID stands for any. Can't fail.
pub fn relation_changed(relation: Oid) {
    if relation == INVALID_OID || registry::is_part(relation) {
        TENANTS.with_borrow_mut(HashMap::clear);
    }
}

/// The registered tenant that a row belongs to.
fn tenant_of(name: &Name) -> Result<Option<Uuid>> {
    if let Some(tenant) = TENANTS.with_borrow(|tenants| tenants.get(name).copied()) {
        return Ok(Some(tenant));
    }
    let reference = match name {
        Name::Id(id) => TenantRef::Id(Uuid::from_bytes(*id)),
        Name::Key(key) => TenantRef::Key(TenantKey::stored(key.to_string())),
        Name::Number(number) => TenantRef::Key(TenantKey::stored(number.to_string())),
    };
    let Some(found) = tenants::find(&reference)? else { return Ok(None) };
    TENANTS.with_borrow_mut(|tenants| {
        if tenants.len() >= REMEMBERED {
            tenants.clear();
        }
        tenants.insert(name.clone(), found.id);
    });
    Ok(Some(found.id))
}

/// Rows and bytes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Amounts {
    rows: i64,
    bytes: i64,
}

impl Amounts {
    fn add(&mut self, rows: i64, bytes: i64) {
        self.rows += rows;
        self.bytes += bytes;
    }
}

/// What is added per owner. Rows of one owner mostly come together, so the last one is at hand.
#[derive(Debug, Default)]
pub struct Sums {
    last: Option<(Name, Amounts)>,
    others: HashMap<Name, Amounts>,
}

impl Sums {
    /// A row more, or, with a `sign` of -1, one less. Rows of nobody count for nobody.
    pub fn add(&mut self, owner: Owner<'_>, sign: i64, weight: i64) {
        self.add_amounts(owner, sign, sign * weight);
    }

    /// So many rows, unweighed.
    fn add_rows(&mut self, owner: Owner<'_>, rows: i64) {
        self.add_amounts(owner, rows, 0);
    }

    fn add_amounts(&mut self, owner: Owner<'_>, rows: i64, bytes: i64) {
        if let Some((name, amounts)) = &mut self.last
            && name.is(&owner)
        {
            amounts.add(rows, bytes);
            return;
        }
        let Some(name) = Name::of(&owner) else { return };
        if let Some((before, amounts)) = self.last.take() {
            self.others.entry(before).or_default().add(amounts.rows, amounts.bytes);
        }
        let mut amounts = self.others.remove(&name).unwrap_or_default();
        amounts.add(rows, bytes);
        self.last = Some((name, amounts));
    }

    /// What that comes to for registered tenants, in the order of their ids, without what comes to nothing. Rows of others
    /// can be taken away, and where `strict` says so not be added.
    ///
    /// # Errors
    /// 23503.
    pub fn settled(self, resources: &[(i32, Kind)], strict: bool) -> Result<BTreeMap<Key, i64>> {
        let mut settled = BTreeMap::new();
        for (name, amounts) in self.others.into_iter().chain(self.last) {
            if amounts == Amounts::default() {
                continue;
            }
            let Some(tenant) = tenant_of(&name)? else {
                if strict && (amounts.rows > 0 || amounts.bytes > 0) {
                    return Err(Error::UnregisteredTenant);
                }
                continue;
            };
            for (resource, kind) in resources {
                let amount = match kind {
                    Kind::Rows => amounts.rows,
                    Kind::Bytes => amounts.bytes,
                    Kind::Counter | Kind::Rate | Kind::Sessions => 0,
                };
                if amount != 0 {
                    *settled.entry(Key { tenant, resource: *resource }).or_insert(0) += amount;
                }
            }
        }
        Ok(settled)
    }
}

/// After a statement has written to a counted table, and before TRUNCATE. Does nothing as another trigger than those that count: the
/// table's owner may make more of them.
///
/// # Errors
/// 53400 when a tenant's limit is reached; 23503 for rows of an unregistered tenant.
pub fn rows_written(fired: Fired<'_>) -> Result<()> {
    let table = fired.table();
    if !sql::COUNT_TRIGGERS.iter().any(|trigger| trigger.name.as_bytes() == fired.name().to_bytes()) {
        return Ok(());
    }
    let Some(counted) = quotas::counted(table)? else { return Ok(()) };
    let mut sums = Sums::default();
    let weighs = counted.weighs();
    let told = match fired.event() {
        Event::Insert => {
            !weighs && fired.rows_of_one_tenant(counted.attribute, |owner, rows| sums.add_rows(owner, rows))
                || fired.rows(Side::New, counted.attribute, weighs, |owner, weight| sums.add(owner, 1, weight))
        }
        Event::Delete => fired.rows(Side::Old, counted.attribute, weighs, |owner, weight| sums.add(owner, -1, weight)),
        Event::Update => {
            fired.rows(Side::Old, counted.attribute, weighs, |owner, weight| sums.add(owner, -1, weight))
                && fired.rows(Side::New, counted.attribute, weighs, |owner, weight| sums.add(owner, 1, weight))
        }
        Event::Truncate => {
            let moment = Moment::now();
            let told = weight::of_rows(table, &counted.column, weighs, moment, |owner, weight| {
                sums.add(owner, -1, weight);
            });
            moment.release();
            told
        }
    };
    if !told {
        return Err(Error::Uncountable(relation::name(table).unwrap_or_default()));
    }
    book(sums.settled(&counted.resources, true)?)
}

/// Takes what was added and gives back what was removed, always in the same order.
pub fn book(amounts: BTreeMap<Key, i64>) -> Result<()> {
    for (key, amount) in amounts {
        if amount > 0 {
            escrow::take(&key, amount)?;
        } else {
            escrow::give(&key, -amount)?;
        }
    }
    Ok(())
}

/// The rows of a table itself, which the caller has locked.
pub fn rows_of(table: Oid, counted: &Counted, moment: Moment, sums: &mut Sums) -> Result<()> {
    let told = weight::of_rows(table, &counted.column, counted.weighs(), moment, |owner, weight| {
        sums.add(owner, 1, weight);
    });
    if told { Ok(()) } else { Err(Error::Uncountable(relation::name(table).unwrap_or_default())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_summed_up_per_owner() {
        let mut sums = Sums::default();
        let (a, b) = (Owner::Key("a"), Owner::Key("b"));
        for (owner, sign, weight) in [(a, 1, 10), (b, 1, 5), (Owner::Nobody, 1, 9), (a, 1, 10), (a, -1, 4), (b, -1, 5)]
        {
            sums.add(owner, sign, weight);
        }
        let all: HashMap<Name, Amounts> = sums.others.into_iter().chain(sums.last).collect();
        assert_eq!(all[&Name::Key("a".into())], Amounts { rows: 1, bytes: 16 });
        assert_eq!(all[&Name::Key("b".into())], Amounts { rows: 0, bytes: 0 });
        assert_eq!(all.len(), 2);
    }
}
