//! The same as a script for a table in use: each step is a statement of its own, holds strong locks for an instant
//! alone, and leaves the table as safe as it was, so that the script may stop anywhere and be made anew. Pure.

use super::scope_check::{self as check, Scene, Scopable, named, stand_in_name};
use super::scope_ddl as ddl;
use crate::catalog::scope::{ForeignKey, Index, Key, KeyKind, Table, Tenant};
use crate::error::{Error, Result};
use crate::sql::{Ident, scope as text};
use crate::sys::Oid;

/// What a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    Scope,
    /// A call that needs the tables to be protected, and holds them until it is done.
    Call,
    /// An index that nothing else brings.
    Index,
    /// What stays as it is.
    Remark,
}

/// A statement, and the locks that it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub ddl: String,
    pub lock: String,
    pub sort: Sort,
}

/// Who runs the script, and what names are free.
pub struct Setting<'a> {
    /// PostgreSQL checks a foreign key by a query, which forced row security would leave no rows.
    pub bypasses: bool,
    /// A free name in a table's schema, quoted, for what stands in for an index.
    pub free_name: &'a dyn Fn(Oid, &str) -> Result<Ident>,
    /// Calls, too, give way to others until they have their locks.
    pub patient: bool,
}

/// All that scopes the keys and foreign keys of a table, and the foreign keys that refer to those keys. What can't be
/// scoped is said in a remark.
pub fn plan(scene: &Scene, setting: &Setting<'_>) -> Result<Vec<Step>> {
    let mut script = Script::new(scene, setting, Vec::new());
    script.superseded()?;
    script.keys()?;
    script.own_foreign_keys()?;
    Ok(script.steps)
}

/// The same for several tables at once, and the indexes that they then still lack: one led by the tenant column, and one
/// for each foreign key. Keys come first, since they take their foreign keys along.
pub fn plan_all(scenes: &[Scene], setting: &Setting<'_>) -> Result<Vec<Step>> {
    let Some(first) = scenes.first() else { return Ok(Vec::new()) };
    let mut script = Script::new(first, setting, scenes.iter().flat_map(to_come).collect());
    let stages: [fn(&mut Script<'_>) -> Result<()>; 4] = [
        |script| script.superseded(),
        |script| script.keys(),
        |script| script.own_foreign_keys(),
        |script| script.indexes(),
    ];
    for stage in stages {
        for scene in scenes {
            script.scene = scene;
            stage(&mut script)?;
        }
    }
    Ok(script.steps)
}

/// The statements that make the indexes which a table lacks, while nobody else uses it.
///
/// # Errors
/// As for `plan`.
pub fn lacking(scene: &Scene) -> Result<Vec<String>> {
    let free_name = |_, name: &str| Ok(text::quoted(name));
    let setting = Setting { bypasses: true, free_name: &free_name, patient: false };
    let mut script = Script::new(scene, &setting, Vec::new());
    script.at_once = true;
    script.indexes()?;
    Ok(script.steps.into_iter().map(|step| step.ddl).collect())
}

/// The indexes of columns that the keys of a table are to become.
fn to_come(scene: &Scene) -> Vec<(Oid, Vec<i16>)> {
    let Ok(table) = scene.table_of(scene.table) else { return Vec::new() };
    let can_be = |key: &&Key| {
        !key.part
            && !check::is_scoped(key, table)
            && key.kind != KeyKind::Exclusion
            && key.predicate.is_empty()
            && !key.attnums.contains(&0)
            && scene.referring(key).iter().all(|fk| check::check_foreign_key(fk, scene).is_ok())
    };
    let led = |key: &Key| {
        let tenant = check::check_key(key, table).ok()?;
        Some((table.oid, [tenant.attnum].into_iter().chain(key.attnums.iter().copied()).collect()))
    };
    scene.keys.iter().filter(can_be).filter_map(led).collect()
}

/// The foreign keys that a plan for the table replaces.
pub fn replaced(scene: &Scene) -> Vec<&ForeignKey> {
    let Ok(table) = scene.table_of(scene.table) else { return Vec::new() };
    let of_keys = scene.keys.iter().filter(|key| !check::is_scoped(key, table)).flat_map(|key| scene.referring(key));
    let own = scene.foreign_keys.iter().filter(|fk| fk.child == scene.table && !fk.part);
    let mut all: Vec<&ForeignKey> = Vec::new();
    for fk in of_keys.chain(own) {
        if !scene.is_scoped(fk) && !all.iter().any(|known| std::ptr::eq(*known, fk)) {
            all.push(fk);
        }
    }
    all
}

struct Script<'a> {
    scene: &'a Scene,
    setting: &'a Setting<'a>,
    steps: Vec<Step>,
    /// Foreign keys that have their steps.
    done: Vec<(Oid, String)>,
    /// Unique indexes that an earlier step builds: table and columns.
    built: Vec<(Oid, Vec<i16>)>,
    /// Indexes that are there in the end, but for those that are there now: table and columns.
    to_come: Vec<(Oid, Vec<i16>)>,
    /// Nobody else uses the tables.
    at_once: bool,
}

impl<'a> Script<'a> {
    fn new(scene: &'a Scene, setting: &'a Setting<'a>, to_come: Vec<(Oid, Vec<i16>)>) -> Self {
        Self { scene, setting, steps: Vec::new(), done: Vec::new(), built: Vec::new(), to_come, at_once: false }
    }

    /// Drops what stands in for keys that need it no more: two scripts ran at once, or one a second time.
    fn superseded(&mut self) -> Result<()> {
        let scene = self.scene;
        let table = scene.table_of(scene.table)?;
        let own = |fk: &&ForeignKey| fk.child == table.oid && !fk.part && scene.is_scoped(fk);
        for fk in scene.foreign_keys.iter().filter(own) {
            let name = stand_in_name(&fk.name);
            let is_left = |other: &&ForeignKey| other.name == name && other.pairs == fk.pairs;
            let parent = scene.table_of(fk.parent)?;
            for left in scene.foreign_keys.iter().filter(own).filter(is_left) {
                let drop = text::alter(&table.ident, &[text::drop_constraint(&left.ident)]);
                self.brief(&[drop], "ACCESS EXCLUSIVE", &[&table.ident, &parent.ident]);
            }
        }
        let own = |key: &&Key| !key.part && check::is_scoped(key, table);
        for key in scene.keys.iter().filter(own) {
            let name = stand_in_name(&key.name);
            let is_left = |other: &&Key| {
                other.kind == KeyKind::Index
                    && other.name == name
                    && other.attnums == key.attnums
                    && scene.referring(other).is_empty()
            };
            for left in scene.keys.iter().filter(own).filter(is_left) {
                self.step(
                    text::drop_index(&left.index_ident, true),
                    format!("SHARE UPDATE EXCLUSIVE on {}", table.ident),
                );
            }
        }
        Ok(())
    }

    fn keys(&mut self) -> Result<()> {
        let scene = self.scene;
        let table = scene.table_of(scene.table)?;
        scene
            .keys
            .iter()
            .filter(|key| !key.part && !check::is_scoped(key, table))
            .try_for_each(|key| self.key(key, table))
    }

    fn own_foreign_keys(&mut self) -> Result<()> {
        let scene = self.scene;
        let own = |fk: &&ForeignKey| fk.child == scene.table && !fk.part && !scene.is_scoped(fk);
        scene.foreign_keys.iter().filter(own).try_for_each(|fk| self.own_foreign_key(fk))
    }

    fn step(&mut self, ddl: String, lock: impl Into<String>) {
        self.steps.push(Step { ddl, lock: lock.into(), sort: Sort::Scope });
    }

    fn skip(&mut self, object: String, why: &Error) {
        let ddl = text::remark(&format!("{object} stays as it is: {why}"));
        self.steps.push(Step { ddl, lock: "none".into(), sort: Sort::Remark });
    }

    /// A call of ours on a constraint, which holds the tables until it is done.
    fn call(&mut self, function: &str, relation: &Ident, constraint: &str, tables: &[&Ident]) {
        let call = text::call(function, relation, constraint);
        let ddl = if self.setting.patient {
            text::retried(&[format!("PERFORM {call};")], "ACCESS EXCLUSIVE", &distinct(tables))
        } else {
            format!("SELECT {call};")
        };
        let lock = format!("ACCESS EXCLUSIVE on {}, until it is done", tables_text(tables));
        self.steps.push(Step { ddl, lock, sort: Sort::Call });
    }

    /// Whether there will be an index led by these columns, in whatever order.
    fn will_be_led(&self, table: Oid, columns: &[i16]) -> bool {
        let led_by = |attnums: &[i16]| attnums.get(..columns.len()).is_some_and(|led| ddl::same_set(led, columns));
        self.to_come.iter().any(|(on, attnums)| *on == table && led_by(attnums))
    }

    fn brief(&mut self, statements: &[String], mode: &str, tables: &[&Ident]) {
        let lock = format!("{mode} on {}, for an instant", tables_text(tables));
        self.step(text::retried(statements, mode, &distinct(tables)), lock);
    }

    fn is_done(&self, fk: &ForeignKey) -> bool {
        self.done.iter().any(|(child, name)| *child == fk.child && *name == fk.name)
    }

    fn key(&mut self, key: &'a Key, table: &'a Table) -> Result<()> {
        let scene = self.scene;
        let referring = scene.referring(key);
        let checked = check::check_key(key, table).and_then(|tenant| {
            let scopable = referring.iter().map(|fk| check::check_foreign_key(fk, scene)).collect::<Result<Vec<_>>>();
            scopable.map(|scopable| (tenant, scopable))
        });
        let (tenant, scopable) = match checked {
            Ok(checked) => checked,
            Err(why) => {
                self.skip(named(&key.ident, table), &why);
                return Ok(());
            }
        };
        let live = !table.partitioned
            && matches!(key.kind, KeyKind::Primary | KeyKind::Unique | KeyKind::Index)
            && !key.period
            && !key.deferrable
            && scopable.iter().all(is_live);
        if !live {
            let mut tables = vec![&table.ident];
            tables.extend(scopable.iter().map(|scopable| &scopable.child.ident));
            self.call("scope_unique", &table.ident, &key.name, &tables);
            self.done.extend(scopable.iter().map(|scopable| (scopable.fk.child, scopable.fk.name.clone())));
            return Ok(());
        }
        let index = self.build_index(key, table, tenant)?;
        for scopable in &scopable {
            self.foreign_key(scopable);
        }
        self.swap_key(key, table, tenant, &index);
        Ok(())
    }

    /// The steps that build the index which is to become the key. Returns its name.
    fn build_index(&mut self, key: &'a Key, table: &'a Table, tenant: &'a Tenant) -> Result<Ident> {
        let scene = self.scene;
        let attnums: Vec<i16> = [tenant.attnum].into_iter().chain(key.attnums.iter().copied()).collect();
        self.built.push((table.oid, attnums.clone()));
        let stand_in = stand_in_name(&key.name);
        let is_stand_in = |ident: &Ident| *ident == text::quoted(&stand_in);
        let found = scene.indexes.iter().find(|index| match key.kind {
            KeyKind::Index => {
                index.table == table.oid && index.unique && index.attnums == attnums && is_stand_in(&index.ident)
            }
            _ => ddl::has_shape(index, key, table, tenant),
        });
        let weak = format!("SHARE UPDATE EXCLUSIVE on {}", table.ident);
        match found {
            Some(index) if index.valid => return Ok(index.ident.clone()),
            Some(index) => self.step(text::drop_index(&index.full_ident, true), weak.clone()),
            None => {}
        }
        let name = (self.setting.free_name)(table.oid, &stand_in)?;
        let create = match key.kind {
            KeyKind::Index => ddl::unique_index(key, table, tenant, &name).create(true),
            _ => ddl::constraint(key, table, tenant).concurrent_index(&name, &table.ident),
        };
        self.step(create, weak);
        Ok(name)
    }

    fn swap_key(&mut self, key: &Key, table: &Table, tenant: &Tenant, index: &Ident) {
        let mut statements = match key.kind {
            KeyKind::Index => {
                let full = key.index_ident.to_string();
                let schema = full.strip_suffix(&key.ident.to_string()).unwrap_or_default();
                let built = Ident::quoted(format!("{schema}{index}"));
                // Should the step before have failed, it left an index that enforces nothing.
                vec![
                    text::require_valid(&built),
                    text::drop_index(&key.index_ident, false),
                    text::rename_index(&built, &key.ident),
                ]
            }
            _ => {
                let using = ddl::constraint(key, table, tenant).using(index);
                vec![text::alter(
                    &table.ident,
                    &[text::drop_constraint(&key.ident), text::add_constraint(&key.ident, &using)],
                )]
                .into_iter()
                .chain(key.options.iter().map(|options| text::set_options(&key.index_ident, options)))
                .collect()
            }
        };
        statements.extend(ddl::marks(key, table, false));
        self.brief(&statements, "ACCESS EXCLUSIVE", &[&table.ident]);
    }

    fn own_foreign_key(&mut self, fk: &'a ForeignKey) -> Result<()> {
        if self.is_done(fk) {
            return Ok(());
        }
        let scene = self.scene;
        let parent = scene.table_of(fk.parent)?;
        let scopable = match check::check_foreign_key(fk, scene) {
            Ok(scopable) => scopable,
            // What refers to a table without tenants is right as it is.
            Err(_) if parent.tenant.is_none() => return Ok(()),
            Err(why) => {
                self.skip(named(&fk.ident, scene.table_of(fk.child)?), &why);
                return Ok(());
            }
        };
        let columns: Vec<i16> =
            [scopable.parent_tenant.attnum].into_iter().chain(fk.pairs.iter().map(|pair| pair.parent_attnum)).collect();
        let has_key = scopable.has_parent_key(scene)
            || self.built.iter().any(|(table, built)| *table == fk.parent && ddl::same_set(built, &columns));
        if !is_live(&scopable) || (parent.partitioned && !has_key) {
            let (child, parent) = (&scopable.child.ident, &parent.ident);
            self.call("scope_foreign_key", child, &fk.name, &[child, parent]);
            return Ok(());
        }
        if !has_key {
            self.built.push((fk.parent, columns));
            let create = text::index_on(&parent.ident, &scopable.parent_columns(), true, true);
            self.step(create, format!("SHARE UPDATE EXCLUSIVE on {}", parent.ident));
        }
        self.foreign_key(&scopable);
        Ok(())
    }

    fn foreign_key(&mut self, scopable: &Scopable<'_>) {
        let (fk, scene) = (scopable.fk, self.scene);
        if self.is_done(fk) {
            return;
        }
        self.done.push((fk.child, fk.name.clone()));
        let (child, parent) = (&scopable.child.ident, &scopable.parent.ident);
        let wide = scopable.child_columns();
        if let Some(columns) = scopable.lost_support(scene).filter(|_| !self.will_be_led(fk.child, &wide)) {
            self.to_come.push((fk.child, wide));
            let create = text::index_on(child, &columns, false, true);
            // Two foreign keys of the same columns need one index.
            if !self.steps.iter().any(|step| step.ddl == create) {
                self.step(create, format!("SHARE UPDATE EXCLUSIVE on {child}"));
            }
        }
        let definition = scopable.reference().definition(false);
        let comment = fk.comment.as_ref().map(|comment| text::comment_on_constraint(&fk.ident, child, comment));
        if !fk.validated {
            // Not valid, or not enforced: there is nothing to check.
            let swap = [text::drop_constraint(&fk.ident), text::add_constraint(&fk.ident, &definition)];
            let statements: Vec<String> = [text::alter(child, &swap)].into_iter().chain(comment).collect();
            self.brief(&statements, "ACCESS EXCLUSIVE", &[child, parent]);
            return;
        }
        let found = scene.stand_in(fk);
        let stand_in = found.filter(|other| scopable.is_done_by(other));
        let name = stand_in_name(&fk.name);
        let ident = found.map_or_else(|| text::quoted(&name), |other| other.ident.clone());
        if stand_in.is_none() {
            let mut actions = vec![text::add_constraint(&ident, &definition)];
            // The former key has changed since.
            let mode = match found {
                Some(_) => {
                    actions.insert(0, text::drop_constraint(&ident));
                    "ACCESS EXCLUSIVE"
                }
                None => "SHARE ROW EXCLUSIVE",
            };
            self.brief(&[text::alter(child, &actions)], mode, &[child, parent]);
        }
        let weak = format!("SHARE UPDATE EXCLUSIVE on {child}, ROW SHARE on {parent}");
        let check = text::call("validate_foreign_key", child, &name);
        if !stand_in.is_some_and(|other| other.validated) {
            let validate = if self.setting.bypasses {
                text::alter(child, &[text::validate_constraint(&ident)])
            } else {
                format!("SELECT {check};")
            };
            self.step(validate, weak);
        }
        // Should the step before have failed, the former key must not go: valid is what is valid already.
        let mut statements = vec![text::require_foreign_key(child, &name, parent)];
        let mut actions = vec![text::drop_constraint(&fk.ident)];
        if self.setting.bypasses {
            actions.insert(0, text::validate_constraint(&ident));
        } else {
            statements.push(format!("PERFORM {check};"));
        }
        statements.push(text::alter(child, &actions));
        statements.push(text::rename_constraint(child, &ident, &fk.ident));
        statements.extend(comment);
        self.brief(&statements, "ACCESS EXCLUSIVE", &[child, parent]);
    }
}

impl Script<'_> {
    /// The indexes that a table lacks in the end.
    fn indexes(&mut self) -> Result<()> {
        let scene = self.scene;
        let table = scene.table_of(scene.table)?;
        let Some(tenant) = &table.tenant else { return Ok(()) };
        for fk in scene.foreign_keys.iter().filter(|fk| fk.child == table.oid && !fk.part) {
            let old: Vec<i16> = fk.pairs.iter().map(|pair| pair.child_attnum).collect();
            let mut wide: Vec<(i16, &Ident)> = fk.pairs.iter().map(|pair| (pair.child_attnum, &pair.child)).collect();
            let to_tenants = scene.table_of(fk.parent).is_ok_and(|parent| parent.tenant.is_some());
            if to_tenants && !old.contains(&tenant.attnum) {
                wide.insert(0, (tenant.attnum, &tenant.ident));
            }
            let (attnums, columns): (Vec<i16>, Vec<&Ident>) = wide.into_iter().unzip();
            self.drop_left_over(table, &attnums);
            if !self.is_led(table, &old) && !self.is_led(table, &attnums) {
                self.index(table, attnums, &columns);
            }
        }
        self.drop_left_over(table, &[tenant.attnum]);
        if !table.part && !self.is_led(table, &[tenant.attnum]) {
            self.index(table, vec![tenant.attnum], &[&tenant.ident]);
        }
        Ok(())
    }

    fn is_led(&self, table: &Table, columns: &[i16]) -> bool {
        let leads = |index: &Index| {
            index.table == table.oid
                && index.valid
                && index.plain
                && index.default_order
                && index.attnums.get(..columns.len()).is_some_and(|led| ddl::same_set(led, columns))
        };
        self.scene.indexes.iter().any(leads) || self.will_be_led(table.oid, columns)
    }

    /// Drops the indexes of these columns that interrupted steps left.
    fn drop_left_over(&mut self, table: &Table, attnums: &[i16]) {
        let left_over = |index: &&Index| {
            index.table == table.oid && !index.valid && index.plain && !index.unique && index.attnums == attnums
        };
        if table.partitioned || self.at_once {
            return;
        }
        for index in self.scene.indexes.iter().filter(left_over) {
            let (ddl, lock) =
                (text::drop_index(&index.full_ident, true), format!("SHARE UPDATE EXCLUSIVE on {}", table.ident));
            // Two foreign keys may have the same columns.
            if !self.steps.iter().any(|step| step.ddl == ddl) {
                self.steps.push(Step { ddl, lock, sort: Sort::Index });
            }
        }
    }

    fn index(&mut self, table: &Table, attnums: Vec<i16>, columns: &[&Ident]) {
        let weak = format!("SHARE UPDATE EXCLUSIVE on {}", table.ident);
        let create = text::index_on(&table.ident, columns, false, !table.partitioned && !self.at_once);
        let (ddl, lock) = if table.partitioned && !self.at_once {
            let lock = format!("SHARE on {} and its partitions, until it is done", table.ident);
            (text::retried(&[create], "SHARE", &[&table.ident]), lock)
        } else {
            (create, weak)
        };
        self.steps.push(Step { ddl, lock, sort: Sort::Index });
        self.to_come.push((table.oid, attnums));
    }
}

fn distinct<'a>(tables: &[&'a Ident]) -> Vec<&'a Ident> {
    let mut distinct: Vec<&Ident> = Vec::new();
    for table in tables {
        if !distinct.contains(table) {
            distinct.push(table);
        }
    }
    distinct
}

/// Whether a foreign key can be replaced while both tables are in use.
fn is_live(scopable: &Scopable<'_>) -> bool {
    !scopable.child.partitioned
        && !scopable.parent.partitioned
        && !scopable.fk.period
        && scopable.full_check().is_none()
}

fn tables_text(tables: &[&Ident]) -> String {
    let mut names: Vec<String> = tables.iter().map(ToString::to_string).collect();
    names.sort();
    names.dedup();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::scope_ddl::tests::scene;
    use super::*;

    fn planned(change: impl FnOnce(&mut Scene)) -> Vec<String> {
        let mut scene = scene();
        change(&mut scene);
        let free_name = |_, name: &str| Ok(text::quoted(name));
        let setting = Setting { bypasses: true, free_name: &free_name, patient: false };
        plan(&scene, &setting).unwrap().into_iter().map(|step| step.ddl).collect()
    }

    fn index(valid: bool) -> Index {
        Index {
            table: Oid::from(1),
            ident: Ident::quoted("ready".into()),
            full_ident: Ident::quoted("app.ready".into()),
            unique: true,
            immediate: true,
            valid,
            plain: true,
            nulls_not_distinct: false,
            of_constraint: false,
            default_order: true,
            attnums: vec![9, 1],
            include: vec![],
        }
    }

    #[test]
    fn a_script_builds_checks_and_swaps() {
        let steps = planned(|_| ());
        let parts = [
            "CREATE UNIQUE INDEX CONCURRENTLY p_pkey__scoping ON app.p (tenant_id, id);",
            "ADD CONSTRAINT c_x_fkey__scoping FOREIGN KEY (tenant_id, x) REFERENCES app.p (tenant_id, id) NOT VALID;",
            "VALIDATE CONSTRAINT c_x_fkey__scoping;",
            "VALIDATE CONSTRAINT c_x_fkey__scoping, DROP CONSTRAINT c_x_fkey;",
            "ADD CONSTRAINT p_pkey PRIMARY KEY USING INDEX p_pkey__scoping;",
        ];
        assert_eq!(steps.len(), parts.len(), "{steps:#?}");
        for (step, part) in steps.iter().zip(parts) {
            assert!(step.contains(part), "{step}");
        }
    }

    #[test]
    fn what_is_there_already_is_used() {
        let steps = planned(|scene| scene.indexes.push(index(true)));
        assert!(!steps.iter().any(|step| step.contains("CONCURRENTLY")), "{steps:#?}");
        assert!(steps.last().is_some_and(|step| step.contains("USING INDEX ready")));
        let steps = planned(|scene| scene.indexes.push(index(false)));
        assert_eq!(steps[0], "DROP INDEX CONCURRENTLY app.ready;");
    }

    #[test]
    fn what_can_not_be_done_in_use_is_left_to_the_helper() {
        let steps = planned(|scene| scene.keys[0].deferrable = true);
        assert_eq!(steps, ["SELECT tenancy.scope_unique('app.p', 'p_pkey');"]);
        let steps = planned(|scene| {
            scene.tables.get_mut(&Oid::from(1)).unwrap().partitioned = true;
        });
        assert_eq!(steps, ["SELECT tenancy.scope_unique('app.p', 'p_pkey');"]);
    }

    #[test]
    fn a_stand_in_that_says_something_else_is_made_anew() {
        let steps = |on_delete: &str| {
            planned(|scene| {
                let mut other = scene.foreign_keys[0].clone();
                let mut tenants = other.pairs[0].clone();
                (tenants.child_attnum, tenants.parent_attnum) = (9, 9);
                other.pairs.insert(0, tenants);
                other.name = stand_in_name(&other.name);
                other.ident = text::quoted(&other.name);
                other.index = Oid::from(101);
                scene.foreign_keys.push(other);
                scene.foreign_keys[0].on_delete = on_delete.into();
            })
        };
        assert!(!steps("a").iter().any(|step| step.contains("NOT VALID")));
        let drop = "DROP CONSTRAINT c_x_fkey__scoping, ADD CONSTRAINT c_x_fkey__scoping FOREIGN KEY";
        assert!(steps("c").iter().any(|step| step.contains(drop)), "{:#?}", steps("c"));
    }

    #[test]
    fn what_stays_is_said() {
        let steps = planned(|scene| scene.keys[0].users.push("view\nv".into()));
        assert_eq!(steps.len(), 1);
        assert!(steps[0].starts_with("-- p_pkey ON app.p stays as it is: "), "{steps:?}");
    }
}
