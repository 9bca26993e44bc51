//! `tenancy.access`: which role may act for which tenants.

use super::{registry, spi, tenants::pg_uuid};
use crate::error::Result;
use crate::sys::scan::{self, Key};
use crate::sys::{Oid, role};
use uuid::Uuid;

// Attribute numbers of the table, fixed by its DDL; new columns come after these.
const TENANT_ID: i16 = 1;
const ROLE: i16 = 2;
const REQUIRE_MEMBERSHIP: i16 = 4;
const MODE: i16 = 5;

/// What proves that a role may act for a tenant, the strictest last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// The role is trusted to name the tenant.
    Direct,
    /// What PostgREST says of the request.
    Claims,
    /// A token.
    Signed,
}

impl Mode {
    const ALL: [Self; 3] = [Self::Direct, Self::Claims, Self::Signed];

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Claims => "claims",
            Self::Signed => "signed",
        }
    }
}

/// For whom a role may act for a tenant. Grants add up, so the greatest one counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grant {
    /// For members of the tenant.
    Members,
    /// For anybody.
    Everybody,
}

/// What a role is granted of one tenant, or of any: for each mode the greatest grant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Access {
    grants: [Option<Grant>; Mode::ALL.len()],
}

impl Access {
    fn add(&mut self, mode: Mode, grant: Grant) {
        let known = &mut self.grants[mode as usize];
        *known = (*known).max(Some(grant));
    }

    /// The strictest mode: who asks for a proof is not to be passed by with another row.
    pub fn mode(&self) -> Option<Mode> {
        Mode::ALL.into_iter().rev().find(|mode| self.grants[*mode as usize].is_some())
    }

    /// What counts of this access, which is to any tenant, with the best proof.
    pub fn greatest(&self) -> Option<Grant> {
        self.mode().and_then(|mode| self.grants[mode as usize])
    }

    /// For whom a role may act that has this access to a tenant, and that one to any, with a proof that does for `proof` and
    /// what is less strict. The mode is that of the tenant itself, where there is one; a grant that asks for less than that
    /// lends nothing to one that asks for more, and one that asks for more than is proved does not count.
    pub fn grant(&self, any: &Self, proof: Mode) -> Option<Grant> {
        let required = self.mode().or_else(|| any.mode())?;
        let counts = |mode: &Mode| required <= *mode && *mode <= proof;
        let of = |mode: Mode| self.grants[mode as usize].max(any.grants[mode as usize]);
        Mode::ALL.into_iter().filter(counts).filter_map(of).max()
    }
}

/// The access that `role` has, itself or by inheritance, to this tenant in particular.
pub fn to_tenant(role: Oid, tenant: Uuid) -> Result<Access> {
    granted(role, Key::Uuid(tenant))
}

/// The access that `role` has, itself or by inheritance, to any tenant.
pub fn to_any(role: Oid) -> Result<Access> {
    granted(role, Key::Null)
}

/// Whether any role has access to one tenant in particular. Where none has, nobody need be asked about each.
pub fn names_tenants() -> Result<bool> {
    let registry = registry::get()?;
    let mut any = false;
    scan::find(registry.access, registry.access_by_tenant, &[(TENANT_ID, Key::NotNull)], |_| {
        any = true;
        true
    });
    Ok(any)
}

fn granted(role: Oid, tenant: Key<'_>) -> Result<Access> {
    let registry = registry::get()?;
    let mut access = Access::default();
    scan::find(registry.access, registry.access_by_tenant, &[(TENANT_ID, tenant)], |row| {
        if row.oid(ROLE as usize).is_some_and(|grantee| role::has_privileges_of(role, grantee)) {
            // What is missing, or what nobody knows, asks for more.
            let members = row.boolean(REQUIRE_MEMBERSHIP as usize).unwrap_or(true);
            let mode = row.text(MODE as usize).and_then(|name| Mode::parse(&name)).unwrap_or(Mode::Signed);
            access.add(mode, if members { Grant::Members } else { Grant::Everybody });
        }
        false
    });
    Ok(access)
}

/// Records access to one tenant, or to any. Returns false when it is there already as it should be.
pub fn put(role: Oid, tenant: Option<Uuid>, mode: Mode, require_membership: bool) -> Result<bool> {
    let count = spi::run(
        "INSERT INTO tenancy.access AS a (tenant_id, role, mode, require_membership) \
         VALUES ($2, $1::pg_catalog.regrole, $3, $4) \
         ON CONFLICT (tenant_id, role) DO UPDATE \
         SET mode = excluded.mode, require_membership = excluded.require_membership \
         WHERE a.mode IS DISTINCT FROM excluded.mode \
            OR a.require_membership IS DISTINCT FROM excluded.require_membership",
        &[role.into(), tenant.map(pg_uuid).into(), mode.name().into(), require_membership.into()],
    )?;
    Ok(count > 0)
}

/// Whether access to one tenant, or to any, is recorded that asks for a member.
pub fn requires_membership(role: Oid, tenant: Option<Uuid>) -> Result<bool> {
    let required = spi::read(
        "SELECT require_membership FROM tenancy.access \
         WHERE role OPERATOR(pg_catalog.=) $1 AND tenant_id IS NOT DISTINCT FROM $2",
        &[role.into(), tenant.map(pg_uuid).into()],
        |row| row.require(1),
    )?;
    Ok(required.contains(&true))
}

/// Removes access to one tenant, or the access to any. Returns false when there was none.
pub fn delete(role: Oid, tenant: Option<Uuid>) -> Result<bool> {
    let count = spi::run(
        "DELETE FROM tenancy.access \
         WHERE role OPERATOR(pg_catalog.=) $1 \
         AND tenant_id IS NOT DISTINCT FROM $2",
        &[role.into(), tenant.map(pg_uuid).into()],
    )?;
    Ok(count > 0)
}

#[cfg(test)]
mod tests {
    use super::Grant::{Everybody, Members};
    use super::Mode::{Claims, Direct, Signed};
    use super::*;
    use proptest::prelude::*;

    fn access(rows: &[(Mode, Grant)]) -> Access {
        let mut access = Access::default();
        rows.iter().for_each(|(mode, grant)| access.add(*mode, *grant));
        access
    }

    fn granted(tenant: &[(Mode, Grant)], any: &[(Mode, Grant)], proof: Mode) -> Option<Grant> {
        access(tenant).grant(&access(any), proof)
    }

    #[test]
    fn grants_of_one_mode_add_up() {
        assert_eq!(granted(&[(Direct, Members)], &[(Direct, Everybody)], Direct), Some(Everybody));
        assert_eq!(granted(&[], &[(Direct, Members), (Direct, Everybody)], Direct), Some(Everybody));
        assert_eq!(granted(&[(Direct, Members)], &[(Direct, Members)], Direct), Some(Members));
        assert_eq!(granted(&[], &[], Signed), None);
    }

    #[test]
    fn what_asks_for_less_lends_nothing_to_what_asks_for_more() {
        assert_eq!(granted(&[(Signed, Members)], &[(Direct, Everybody)], Signed), Some(Members));
        assert_eq!(granted(&[(Signed, Members)], &[(Direct, Everybody)], Direct), None);
        assert_eq!(granted(&[(Claims, Members), (Direct, Everybody)], &[], Claims), Some(Members));
        assert_eq!(granted(&[(Claims, Members), (Direct, Everybody)], &[], Direct), None);
    }

    #[test]
    fn what_asks_for_more_counts_where_it_is_proved() {
        assert_eq!(granted(&[(Direct, Members)], &[(Signed, Everybody)], Direct), Some(Members));
        assert_eq!(granted(&[(Direct, Members)], &[(Signed, Everybody)], Signed), Some(Everybody));
    }

    fn rows() -> impl Strategy<Value = Vec<(Mode, Grant)>> {
        let mode = prop::sample::select(Mode::ALL.to_vec());
        let grant = prop::sample::select(vec![Members, Everybody]);
        prop::collection::vec((mode, grant), 0..4)
    }

    proptest! {
        #[test]
        fn a_better_proof_never_grants_less(tenant in rows(), any in rows()) {
            let by = |proof| granted(&tenant, &any, proof);
            prop_assert!(by(Direct) <= by(Claims) && by(Claims) <= by(Signed));
        }

        #[test]
        fn nothing_is_granted_without_the_proof_that_the_tenant_asks_for(tenant in rows(), any in rows()) {
            let strictest = |rows: &[(Mode, Grant)]| rows.iter().map(|(mode, _)| *mode).max();
            let required = strictest(&tenant).or(strictest(&any));
            for proof in Mode::ALL {
                prop_assert_eq!(granted(&tenant, &any, proof).is_some(), required.is_some_and(|required| required <= proof));
            }
        }

        #[test]
        fn everybody_is_granted_by_such_a_row_alone(tenant in rows(), any in rows(), proof in prop::sample::select(Mode::ALL.to_vec())) {
            if granted(&tenant, &any, proof) == Some(Everybody) {
                prop_assert!(tenant.iter().chain(&any).any(|(mode, grant)| *mode <= proof && *grant == Everybody));
            }
        }
    }
}
