//! Settings that hold for the tenant in force: read once, then kept in the session's memory.

use super::{cache, hot};
use crate::catalog::settings;
use crate::catalog::tree::{Path, Stacked, Tree};
use crate::error::{Error, Result};
use crate::sys::backend::BackendCell;
use crate::sys::json::{Jsonb, JsonbImage};
use crate::sys::{invalidation, role};
use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::CStr;
use std::rc::Rc;
use uuid::Uuid;

/// Tenants kept, with settings of so many bytes together, and plans; a miss costs an index look-up.
const CAPACITY: usize = 1024;
const MAX_BYTES: usize = 4 << 20;

/// Values kept of one tenant, in the form in which they are handed out.
const MAX_IMAGES: usize = 256;

struct Effective {
    /// The defaults, with the plan's over them: one for all tenants of a plan.
    base: Rc<Tree>,
    own: Tree,
    images: RefCell<HashMap<Box<str>, Option<JsonbImage>>>,
}

impl Effective {
    fn all(&self) -> Stacked<'_> {
        Stacked { under: &self.base, over: &self.own }
    }
}

#[derive(Default)]
struct Cache {
    /// `None` stands for no tenant.
    settings: HashMap<Option<Uuid>, Rc<Effective>>,
    /// `None` stands for no plan.
    bases: HashMap<Option<Box<str>>, Rc<Tree>>,
    /// Those that were asked for last.
    last: Option<Rc<Effective>>,
    /// Whether anybody has settings of PostgreSQL's own.
    any_postgres: Option<bool>,
    bytes: usize,
}

thread_local! {
    static CACHE: RefCell<Cache> = RefCell::default();
}

/// Set by invalidation callbacks, which come in the middle of other work and may do no more.
static STALE: BackendCell<bool> = BackendCell::new(false);

/// No cached setting holds any more. Can't fail.
pub fn discard() {
    STALE.set(true);
}

fn effective() -> Result<Rc<Effective>> {
    if hot::knows_settings()
        && let Some(known) = CACHE.with_borrow(|cache| cache.last.clone())
    {
        return Ok(known);
    }
    invalidation::accept();
    let found = of(hot::id()?)?;
    CACHE.with_borrow_mut(|cache| cache.last = Some(Rc::clone(&found)));
    // What arrives later forgets it, and what has arrived meanwhile has forgotten the context.
    if hot::is_resolved() && !STALE.get() {
        hot::remember_settings(role::outer());
    }
    Ok(found)
}

/// Whether any tenant is to have settings of PostgreSQL's own.
pub fn any_postgres() -> Result<bool> {
    loop {
        refresh();
        if let Some(any) = CACHE.with_borrow(|cache| cache.any_postgres) {
            return Ok(any);
        }
        let any = settings::any_postgres()?;
        if !STALE.get() {
            CACHE.with_borrow_mut(|cache| cache.any_postgres = Some(any));
            return Ok(any);
        }
    }
}

/// The settings of PostgreSQL's own that a tenant is to have.
pub fn postgres(tenant: Uuid) -> Result<Vec<(&'static CStr, String)>> {
    Ok(settings::postgres_of(&of(Some(tenant))?.all()))
}

fn refresh() {
    if STALE.replace(false) {
        CACHE.set(Cache::default());
    }
}

fn of(tenant: Option<Uuid>) -> Result<Rc<Effective>> {
    // A change may arrive while the tables are being read, and is announced only once.
    loop {
        refresh();
        if let Some(known) = CACHE.with_borrow(|cache| cache.settings.get(&tenant).cloned()) {
            return Ok(known);
        }
        let (plan, own, bytes) = match tenant {
            Some(tenant) => settings::of_tenant(tenant, cache::place_of(tenant))?,
            None => (None, Tree::default(), 0),
        };
        let (base, base_bytes) = base(plan.as_deref())?;
        let bytes = bytes + base_bytes;
        if STALE.get() {
            continue;
        }
        let found = Rc::new(Effective { base: Rc::clone(&base), own, images: RefCell::default() });
        CACHE.with_borrow_mut(|cache| {
            if cache.settings.len() >= CAPACITY || cache.bytes + bytes > MAX_BYTES {
                cache.settings.clear();
                cache.bases.clear();
                cache.bytes = 0;
            }
            cache.bases.insert(plan.map(Into::into), base);
            cache.settings.insert(tenant, Rc::clone(&found));
            cache.bytes += bytes;
        });
        return Ok(found);
    }
}

/// What the tenants of a plan have, or those without one; and how many bytes that is more than what is kept.
fn base(plan: Option<&str>) -> Result<(Rc<Tree>, usize)> {
    let plan_key = plan.map(Into::into);
    if let Some(known) = CACHE.with_borrow(|cache| cache.bases.get(&plan_key).cloned()) {
        return Ok((known, 0));
    }
    let (tree, bytes) = settings::of_plan(plan)?;
    Ok((Rc::new(tree), bytes))
}

/// What stands at the path; `None` where nothing does.
///
/// # Errors
/// 22023 malformed path; otherwise as for `resolve`.
pub fn setting(path: &str) -> Result<Option<Jsonb>> {
    let effective = effective()?;
    if let Some(image) = effective.images.borrow().get(path) {
        return Ok(image.as_ref().map(JsonbImage::copy));
    }
    let image = effective.all().get(&Path::parse(path)?).map(|tree| JsonbImage::new(&tree.to_json()));
    let value = image.as_ref().map(JsonbImage::copy);
    let mut images = effective.images.borrow_mut();
    if images.len() >= MAX_IMAGES {
        images.clear();
    }
    images.insert(path.into(), image);
    Ok(value)
}

/// All settings, as one object.
///
/// # Errors
/// As for `resolve`.
pub fn settings() -> Result<Jsonb> {
    Ok(JsonbImage::new(&effective()?.all().merged().to_json()).copy())
}

/// What `read` makes of a setting; `None` where nothing stands there, or null.
fn typed<T>(path: &str, kind: &str, read: impl Fn(&Tree) -> Option<T>) -> Result<Option<T>> {
    let effective = effective()?;
    match effective.all().get(&Path::parse(path)?).filter(|tree| !tree.is_null()) {
        None => Ok(None),
        Some(tree) => read(&tree)
            .map(Some)
            .ok_or_else(|| Error::InvalidArgument { what: "setting", reason: format!("\"{path}\" is no {kind}") }),
    }
}

/// A setting as text: that of a string, or how JSON writes it.
///
/// # Errors
/// As for `setting`.
pub fn setting_text(path: &str) -> Result<Option<String>> {
    typed(path, "text", |tree| Some(tree.text()))
}

/// A setting that is a whole number.
///
/// # Errors
/// 22023 when it is something else; otherwise as for `setting`.
pub fn setting_int(path: &str) -> Result<Option<i64>> {
    typed(path, "integer", Tree::integer)
}

/// A setting that is true or false.
///
/// # Errors
/// 22023 when it is something else; otherwise as for `setting`.
pub fn setting_bool(path: &str) -> Result<Option<bool>> {
    typed(path, "boolean", Tree::boolean)
}
