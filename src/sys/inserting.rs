//! What the plan of an INSERT that has run says of the rows it has written: those of one tenant alone, where row security has
//! asked of each that it be the current tenant's, and the transaction has had no other.

use crate::sys::backend::BackendCell;
use crate::sys::counting::trigger_depth;
use crate::sys::flag::Flag;
use crate::sys::list::{elements, only, only_integer};
use pgrx::pg_sys;

/// An INSERT whose triggers are being fired, and how deep in triggers it is itself.
#[derive(Clone, Copy)]
pub struct Finishing {
    plan: *mut pg_sys::PlannedStmt,
    depth: i32,
}

const NONE: Finishing = Finishing { plan: std::ptr::null_mut(), depth: 0 };

/// The innermost one. Whatever fires triggers changes it first, so that it is never one that has ended.
static FINISHING: BackendCell<Finishing> = BackendCell::new(NONE);

/// A query's triggers are about to be fired. What is returned is to be given to `finished` after that, unless an error jumps
/// over it. Can't fail.
///
/// # Safety
/// `query` is the descriptor of a query that has run.
#[inline]
pub unsafe fn finishes(query: *mut pg_sys::QueryDesc) -> Finishing {
    // SAFETY: by the contract above.
    let one = unsafe {
        match (*query).operation {
            pg_sys::CmdType::CMD_INSERT => Finishing { plan: (*query).plannedstmt, depth: trigger_depth() },
            _ => NONE,
        }
    };
    FINISHING.replace(one)
}

/// They have been fired. Can't fail.
#[inline]
pub fn finished(outer: Finishing) {
    FINISHING.set(outer);
}

/// An error has ended whatever was running, or COPY is about to fire triggers without any plan. Can't fail.
#[inline]
pub fn forget() {
    FINISHING.set(NONE);
}

/// Whether all rows that the statement has inserted, for which a trigger of the table now fires, are of one tenant.
/// `attribute` is the tenant column's number. False where that is not certain.
pub fn is_of_one_tenant(table: pg_sys::Oid, attribute: i16) -> bool {
    let finishing = FINISHING.get();
    if finishing.plan.is_null() || finishing.depth + 1 != trigger_depth() || Flag::SwitchUsed.get() {
        return false;
    }
    // SAFETY: the trigger that fires is one of the innermost query that is finishing, whose plan lives until it has ended.
    // Its nodes are read as what their tags say.
    unsafe {
        let plan = finishing.plan;
        let modify = (*plan).planTree.cast::<pg_sys::ModifyTable>();
        if (*plan).hasModifyingCTE
            || modify.is_null()
            || (*modify).plan.type_ != pg_sys::NodeTag::T_ModifyTable
            || (*modify).operation != pg_sys::CmdType::CMD_INSERT
            || (*modify).onConflictAction != pg_sys::OnConflictAction::ONCONFLICT_NONE
        {
            return false;
        }
        let Some(target) = only_integer((*modify).resultRelations) else { return false };
        let Some(checks) = only::<pg_sys::List>((*modify).withCheckOptionLists) else { return false };
        let entry = elements::<pg_sys::RangeTblEntry>((*plan).rtable).nth(target as usize - 1);
        // Not of a partitioned table: what goes to a foreign partition is not checked, and old minor releases collect it.
        if !entry.is_some_and(|entry| (*entry).relid == table && (*entry).relkind as u8 == pg_sys::RELKIND_RELATION) {
            return false;
        }
        elements::<pg_sys::WithCheckOption>(checks).any(|check| {
            let condition = (*check).qual;
            (*check).kind == pg_sys::WCOKind::WCO_RLS_INSERT_CHECK
                && !condition.is_null()
                && (*condition).type_ == pg_sys::NodeTag::T_List
                && elements(condition.cast()).any(|condition| is_of_tenant(condition, target, attribute))
        })
    }
}

/// Whether the condition is that the table's tenant column equals the current tenant, by a function of the extension's own.
///
/// # Safety
/// `condition` is a valid expression of a plan.
unsafe fn is_of_tenant(condition: *mut pg_sys::Node, target: i32, attribute: i16) -> bool {
    // SAFETY: by the contract above; nodes are read as what their tags say.
    unsafe {
        if condition.is_null() || (*condition).type_ != pg_sys::NodeTag::T_OpExpr {
            return false;
        }
        let operation = condition.cast::<pg_sys::OpExpr>();
        let mut operands = elements::<pg_sys::Node>((*operation).args);
        let (Some(column), Some(tenant)) = (operands.next(), operands.next()) else { return false };
        let collation = (*operation).inputcollid;
        if !EQUALITY.contains(&(*operation).opno.to_u32())
            // By another collation, one tenant's key could be spelled in several ways.
            || collation != pg_sys::InvalidOid && !pg_sys::get_collation_isdeterministic(collation)
            || (*tenant).type_ != pg_sys::NodeTag::T_FuncExpr
        {
            return false;
        }
        // A varchar is compared as text, without a call.
        let column = match (*column).type_ {
            pg_sys::NodeTag::T_RelabelType => (*column.cast::<pg_sys::RelabelType>()).arg.cast::<pg_sys::Node>(),
            _ => column,
        };
        if (*column).type_ != pg_sys::NodeTag::T_Var {
            return false;
        }
        let column = column.cast::<pg_sys::Var>();
        let call = tenant.cast::<pg_sys::FuncExpr>();
        (*column).varno == target
            && (*column).varattno == attribute
            && (*column).varlevelsup == 0
            && (*call).args.is_null()
            && tells_tenant((*call).funcid)
    }
}

/// `=` between the types that a tenant column may have and those of the functions: `uuid`, `text`, `bigint`, and of
/// `smallint` and `integer` with `bigint`. Fixed in pg_operator.dat.
const EQUALITY: [u32; 5] = [2972, 98, 410, 1862, 15];

/// Whether the function, which takes nothing, is one that tells the tenant. The schema is the extension's, where nobody else
/// may create anything.
fn tells_tenant(function: pg_sys::Oid) -> bool {
    // SAFETY: syscache look-ups; a name is NULL where there is none, and lives as long as the context.
    unsafe {
        let name = pg_sys::get_func_name(function);
        if name.is_null()
            || pg_sys::get_func_namespace(function) != pg_sys::get_namespace_oid(c"tenancy".as_ptr(), true)
        {
            return false;
        }
        let name = std::ffi::CStr::from_ptr(name);
        [c"current_tenant", c"current_key", c"current_key_int"].contains(&name)
    }
}
