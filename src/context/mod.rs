//! The tenant that the current transaction acts for: parsed by the settings, authorised here at first
//! use in each transaction, then read on the hot path. May import `catalog`, `guc` and what is below.

mod aside;
mod cache;
mod cache_key;
mod claims;
mod cursors;
mod given;
mod hosts;
mod hot;
mod leftovers;
mod membership;
mod own;
mod pin;
mod presence;
mod resolve;
mod seal;
mod set;
mod settings;
mod status;
mod token;
mod visible;

pub use aside::set_aside;
pub use cache_key::cache_key;
pub use hosts::{resolve_host, set_tenant_by_host};
pub use hot::id as current;
pub use hot::{copied_id, copied_key, copied_number, current_id, current_key, current_number};
pub use membership::{has_rank, has_role, is_current_member, is_member, is_member_of, may_join};
pub use presence::count_sessions;
pub use resolve::resolve;
pub use seal::{seal, unseal};
pub use set::{acting, authenticate, clear_tenant, require, set_tenant};
pub use settings::{setting, setting_bool, setting_int, setting_text, settings};
pub use status::{Status, status};
pub use visible::{copied_ids, copied_keys, copied_numbers as copied_visible_numbers, expected_count};
pub use visible::{current_ids, current_keys, current_numbers as current_visible_numbers};

use crate::error::{Error, Result};
use crate::guc::{self, Listener};
use crate::sys::backend::Raised;
use crate::sys::hooks::{self, Checks};
use crate::sys::{backend, counting, discretion, invalidation, procedure, subject, tally, xact};

/// Connects the context to PostgreSQL. Called once per backend, when the library loads.
pub fn init() {
    backend::withhold_backtraces();
    discretion::install();
    guc::init(Listener {
        tenant_set: pin::set,
        tenant_chosen: seal::check_tenant,
        token_set: pin::set_token,
        token_becomes: |token| {
            token::changed();
            // The user is another one with it.
            cache::doubt();
            presence::token_becomes(token);
        },
        proven_user: resolve::proven_user,
        user_chosen: seal::check_user,
        user_counts: seal::admits_user,
        user_changed: cache::doubt,
        context_changed,
        tenant_becomes: presence::tenant_becomes,
        region_changed: cache::discard,
    });
    xact::on_end(transaction_ended);
    xact::on_rollback_to_savepoint(savepoint_rolled_back);
    xact::on_release_of_savepoint(leftovers::savepoint_released);
    invalidation::on_relation(cache::relation_changed);
    invalidation::on_role(cache::role_changed);
    hooks::install(Checks {
        is_another_role: own::is_another_role,
        has_to_check: |parallel| {
            parallel
                || cache::is_unconfirmed()
                || leftovers::is_pending()
                || own::is_pending()
                || claims::have_changed()
        },
        before_run,
        is_new_to: leftovers::is_pending,
        before_utility: leftovers::before_run,
        procedure_begins: hot::close_fast_path,
        set_local: check_set_local,
        opens: cursors::opens,
        piece_begins: cursors::begins,
        piece_ended: cursors::ended,
        may_fetch_held: cursors::may_fetch_held,
        fetched_held: cursors::fetched_held,
    });
}

/// Whether a tenant is named, authorised or not.
pub fn is_set() -> bool {
    given::look_up();
    resolve::effective_name().is_some()
}

/// What the session left is not looked for, and what comes meanwhile not noted, until what is returned is
/// dropped: for subtransactions whose rollback brings nothing back.
pub fn leave_leftovers() -> Raised<'static> {
    leftovers::set_aside()
}

/// A setting that the context rests on has changed. Can't fail.
fn context_changed() {
    counting::context_changed();
    hot::forget();
    cursors::context_changed();
    leftovers::context_changed();
    own::context_changed();
}

/// A statement that runs on locks it already holds, and a cursor that is fetched from, would not hear
/// of a suspended tenant or a revoked access otherwise.
fn before_run(parallel: bool) -> Result<()> {
    if claims::have_changed() {
        context_changed();
        cache::doubt();
    }
    leftovers::before_run()?;
    own::before_run()?;
    if cache::is_unconfirmed() {
        resolve::recheck()?;
    }
    if xact::in_parallel_worker() && subject::is_to_be_found() {
        resolve::tell_log_of_worker();
    }
    if !parallel {
        return Ok(());
    }
    resolve::prepare_workers()?;
    pin::check_before_parallel()
}

fn transaction_ended(committed: bool) {
    tally::transaction_ended(committed);
    subject::transaction_ended(committed);
    own::transaction_ended(committed);
    hooks::transaction_ended();
    cursors::transaction_ended(committed);
    leftovers::transaction_ended(committed);
    procedure::transaction_ended();
    hot::forget();
    pin::release();
    token::transaction_ended();
    cache::transaction_ended();
    visible::transaction_ended();
    presence::transaction_ended();
    given::transaction_ended();
}

fn savepoint_rolled_back() {
    tally::savepoint_rolled_back();
    hooks::savepoint_rolled_back();
    cursors::savepoint_rolled_back();
    leftovers::savepoint_rolled_back();
}

/// SET LOCAL outside a transaction block would be a mere warning, and leave an earlier value of the
/// session in force.
fn check_set_local(name: &str) -> Result<()> {
    let ours = name.get(..guc::PREFIX.len()).is_some_and(|prefix| prefix.eq_ignore_ascii_case(guc::PREFIX));
    if ours && !xact::in_block() {
        return Err(Error::NoTransactionBlock("SET LOCAL"));
    }
    Ok(())
}
