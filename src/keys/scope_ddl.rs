//! The DDL that leads keys and foreign keys by the tenant column, all in one transaction. Pure.

use super::scope_check::{SHARED, Scene, Scopable, check_foreign_key, check_key, is_scoped, named};
use crate::catalog::scope::{ForeignKey, Index, Key, KeyKind, Table, Tenant};
use crate::error::{Error, Result};
use crate::sql::{self, Ident, scope as text};
use crate::sys::INVALID_OID;

impl<'a> Scopable<'a> {
    /// The foreign key with the tenant columns in front. MATCH FULL would refuse NULL in what was a single column,
    /// since the tenant is never NULL; where no column may be NULL, it is the same as MATCH SIMPLE.
    pub fn reference(&self) -> text::Reference<'a> {
        let fk = self.fk;
        let sets = matches!(fk.on_delete.as_str(), "n" | "d");
        let set_columns: Vec<&Ident> = match &fk.set_columns {
            Some(columns) => columns.iter().collect(),
            None => fk.pairs.iter().map(|pair| &pair.child).collect(),
        };
        text::Reference {
            child_columns: [&self.child_tenant.ident].into_iter().chain(fk.pairs.iter().map(|p| &p.child)).collect(),
            parent: &self.parent.ident,
            parent_columns: [&self.parent_tenant.ident].into_iter().chain(fk.pairs.iter().map(|p| &p.parent)).collect(),
            period: fk.period,
            match_full: fk.match_full && !fk.nullable && self.child_tenant.not_null,
            on_update: text::action(&fk.on_update),
            on_delete: text::action(&fk.on_delete),
            set_columns: if sets { set_columns } else { Vec::new() },
            deferrable: fk.deferrable,
            deferred: fk.deferred,
            enforced: fk.enforced,
        }
    }

    /// Whether another foreign key of the same columns does what the scoped one is to do.
    pub fn is_done_by(&self, other: &ForeignKey) -> bool {
        let wanted = self.reference();
        let set_columns: Vec<&Ident> = other.set_columns.iter().flatten().collect();
        (text::action(&other.on_update), text::action(&other.on_delete)) == (wanted.on_update, wanted.on_delete)
            && (other.deferrable, other.deferred) == (wanted.deferrable, wanted.deferred)
            && (other.match_full, other.enforced) == (wanted.match_full, wanted.enforced)
            && set_columns == wanted.set_columns
    }

    /// What MATCH FULL said of several columns, as a condition of its own.
    pub fn full_check(&self) -> Option<String> {
        let columns: Vec<&Ident> = self.fk.pairs.iter().map(|pair| &pair.child).collect();
        let wanted = self.fk.match_full && self.fk.nullable && columns.len() > 1;
        wanted.then(|| text::all_or_none(&columns) + if self.fk.validated { "" } else { " NOT VALID" })
    }

    /// What is counted before anything is changed.
    pub fn references(&self) -> text::References<'a> {
        let only = |table: &Table| {
            if table.partitioned { table.ident.to_string() } else { format!("ONLY {}", table.ident) }
        };
        let differ = self.parent_tenant.collation != self.child_tenant.collation;
        text::References {
            child: only(self.child),
            parent: only(self.parent),
            pairs: self
                .fk
                .pairs
                .iter()
                .map(|pair| text::Comparison {
                    child: &pair.child,
                    parent: &pair.parent,
                    operator: &pair.operator,
                    child_cast: &pair.child_cast,
                    parent_cast: &pair.parent_cast,
                    collation: &pair.collation,
                })
                .collect(),
            child_tenant: &self.child_tenant.ident,
            parent_tenant: &self.parent_tenant.ident,
            tenant_collation: if differ && self.parent_tenant.collation != INVALID_OID {
                format!(" COLLATE {}", self.parent_tenant.collation_name)
            } else {
                String::new()
            },
            period: self.fk.period,
        }
    }

    /// The columns of the parent's key, with the tenant's in front.
    pub fn parent_columns(&self) -> Vec<&'a Ident> {
        [&self.parent_tenant.ident].into_iter().chain(self.fk.pairs.iter().map(|pair| &pair.parent)).collect()
    }

    /// The columns of an index that supports it.
    pub fn child_columns(&self) -> Vec<i16> {
        [self.child_tenant.attnum].into_iter().chain(self.fk.pairs.iter().map(|pair| pair.child_attnum)).collect()
    }

    /// Whether the parent has a unique index that such a foreign key can refer to.
    pub fn has_parent_key(&self, scene: &Scene) -> bool {
        let mut wanted: Vec<i16> = self.fk.pairs.iter().map(|pair| pair.parent_attnum).collect();
        wanted.push(self.parent_tenant.attnum);
        scene.indexes.iter().any(|index| {
            index.table == self.parent.oid
                && index.unique
                && index.immediate
                && index.valid
                && index.plain
                && same_set(&index.attnums, &wanted)
        })
    }

    /// The columns of an index that the new foreign key lacks and the old one had.
    pub fn lost_support(&self, scene: &Scene) -> Option<Vec<&'a Ident>> {
        let old: Vec<i16> = self.fk.pairs.iter().map(|pair| pair.child_attnum).collect();
        let wide: Vec<i16> = old.iter().copied().chain([self.child_tenant.attnum]).collect();
        let led_by = |wanted: &[i16]| {
            scene.indexes.iter().any(|index| {
                index.table == self.child.oid
                    && index.valid
                    && index.plain
                    && index.attnums.get(..wanted.len()).is_some_and(|led| same_set(led, wanted))
            })
        };
        (led_by(&old) && !led_by(&wide))
            .then(|| [&self.child_tenant.ident].into_iter().chain(self.fk.pairs.iter().map(|p| &p.child)).collect())
    }
}

fn without(attnums: &[i16], attnum: i16) -> Vec<i16> {
    attnums.iter().copied().filter(|other| *other != attnum).collect()
}

/// Whether two lists have the same columns, in whatever order.
pub fn same_set(a: &[i16], b: &[i16]) -> bool {
    a.len() == b.len() && b.iter().all(|attnum| a.contains(attnum))
}

/// The DDL that takes a foreign key away, and that puts its successor in its place.
fn replace(scopable: &Scopable<'_>, scene: &Scene) -> (Vec<String>, Vec<String>) {
    let (fk, child) = (scopable.fk, &scopable.child.ident);
    let mut drops = vec![text::drop_constraint(&fk.ident)];
    drops.extend(scene.stand_in(fk).map(|other| text::drop_constraint(&other.ident)));
    let mut adds = Vec::new();
    if let Some(columns) = scopable.lost_support(scene) {
        adds.push(text::index_on(child, &columns, false, false));
    }
    let mut actions = vec![text::add_constraint(&fk.ident, &scopable.reference().definition(fk.validated))];
    actions.extend(scopable.full_check().map(|check| format!("ADD {check}")));
    adds.push(text::alter(child, &actions));
    adds.extend(fk.comment.as_ref().map(|comment| text::comment_on_constraint(&fk.ident, child, comment)));
    (vec![text::alter(child, &drops)], adds)
}

/// The DDL that scopes one foreign key; none when it is so already.
///
/// # Errors
/// As for `check_foreign_key`.
pub fn foreign_key(fk: &ForeignKey, scene: &Scene) -> Result<Vec<String>> {
    if scene.is_scoped(fk) {
        return Ok(Vec::new());
    }
    let scopable = check_foreign_key(fk, scene)?;
    let (mut ddl, adds) = replace(&scopable, scene);
    if !scopable.has_parent_key(scene) {
        if fk.period {
            return Err(Error::KeyNotReady {
                key: named(&fk.ident, scopable.child),
                reason: "the key it refers to is not led by the tenant column".into(),
                hint: "Call tenancy.scope_unique() for that key: it takes the foreign key along.",
            });
        }
        ddl.push(text::index_on(&scopable.parent.ident, &scopable.parent_columns(), true, false));
    }
    ddl.extend(adds);
    Ok(ddl)
}

/// The DDL that leads a key by the tenant column, with all foreign keys that refer to it; none when it contains the
/// tenant column already.
///
/// # Errors
/// As for `check_key` and `check_foreign_key`.
pub fn unique(key: &Key, scene: &Scene) -> Result<Vec<String>> {
    let table = scene.table_of(scene.table)?;
    if is_scoped(key, table) {
        return Ok(Vec::new());
    }
    let tenant = check_key(key, table)?;
    let referring =
        scene.referring(key).into_iter().map(|fk| check_foreign_key(fk, scene)).collect::<Result<Vec<_>>>()?;
    let (mut ddl, mut adds): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    for scopable in &referring {
        let (drop, add) = replace(scopable, scene);
        ddl.extend(drop);
        // Two foreign keys of the same columns need one index.
        let is_new = |line: &String| !adds.contains(line);
        let add: Vec<String> = add.into_iter().filter(is_new).collect();
        adds.extend(add);
    }
    ddl.extend(replace_key(key, table, tenant, scene));
    ddl.extend(marks(key, table, key.kind == KeyKind::Exclusion));
    ddl.extend(adds);
    Ok(ddl)
}

/// The key as a constraint, with the tenant column in front.
pub fn constraint<'a>(key: &'a Key, table: &Table, tenant: &'a Tenant) -> text::Unique<'a> {
    text::Unique {
        primary: key.kind == KeyKind::Primary,
        nulls_not_distinct: nulls_not_distinct(key, table),
        columns: [&tenant.ident].into_iter().chain(&key.columns).collect(),
        period: key.period,
        include: key.include.iter().filter(|column| **column != tenant.ident).collect(),
        options: key.options.as_deref(),
        tablespace: key.tablespace.as_ref(),
        deferrable: key.deferrable,
        deferred: key.deferred,
    }
}

/// Of the rows that belong to nobody, too, one alone has a value.
fn nulls_not_distinct(key: &Key, table: &Table) -> bool {
    key.kind != KeyKind::Primary && (key.nulls_not_distinct || table.kind.as_deref() == Some(SHARED))
}

/// A unique index, led by the tenant column, by that name.
pub fn unique_index<'a>(key: &'a Key, table: &'a Table, tenant: &'a Tenant, name: &'a Ident) -> text::UniqueIndex<'a> {
    text::UniqueIndex {
        name,
        relation: &table.ident,
        method: &key.method,
        tenant: &tenant.ident,
        definition: key.definition.as_deref().unwrap_or_default(),
        tablespace: key.tablespace.as_ref(),
        predicate: &key.predicate,
    }
}

fn replace_key(key: &Key, table: &Table, tenant: &Tenant, scene: &Scene) -> Vec<String> {
    let drop = text::drop_constraint(&key.ident);
    let added = match key.kind {
        KeyKind::Index => {
            let create = unique_index(key, table, tenant, &key.ident).create(false);
            return vec![text::drop_index(&key.index_ident, false), create];
        }
        KeyKind::Exclusion => {
            text::exclusion(&key.method, &tenant.ident, key.definition.as_deref().unwrap_or_default())
        }
        _ => match ready_index(key, table, tenant, scene) {
            Some(ready) => {
                let using = constraint(key, table, tenant).using(&ready.ident);
                let swap = text::alter(&table.ident, &[drop, text::add_constraint(&key.ident, &using)]);
                let options = key.options.iter().map(|options| text::set_options(&key.index_ident, options));
                let moved = key.tablespace.iter().map(|space| text::set_tablespace(&key.index_ident, space));
                return [swap].into_iter().chain(options).chain(moved).collect();
            }
            None => constraint(key, table, tenant).definition(),
        },
    };
    vec![text::alter(&table.ident, &[drop, text::add_constraint(&key.ident, &added)])]
}

/// A unique index that can become the key: made for a foreign key, or by a script.
pub fn ready_index<'a>(key: &Key, table: &Table, tenant: &Tenant, scene: &'a Scene) -> Option<&'a Index> {
    if key.deferrable || key.period || table.partitioned || !matches!(key.kind, KeyKind::Primary | KeyKind::Unique) {
        return None;
    }
    scene.indexes.iter().find(|index| index.valid && has_shape(index, key, table, tenant))
}

/// Whether an index is what a key is to become, valid or not.
pub fn has_shape(index: &Index, key: &Key, table: &Table, tenant: &Tenant) -> bool {
    let wanted: Vec<i16> = [tenant.attnum].into_iter().chain(key.attnums.iter().copied()).collect();
    index.table == table.oid
        && index.unique
        && index.immediate
        && index.plain
        && index.default_order
        && !index.of_constraint
        && index.attnums == wanted
        && same_set(&index.include, &without(&key.include_attnums, tenant.attnum))
        && index.nulls_not_distinct == nulls_not_distinct(key, table)
}

/// What goes with a key, and has to be said anew of its successor.
pub fn marks(key: &Key, table: &Table, moves: bool) -> Vec<String> {
    let mut ddl = Vec::new();
    if moves && let Some(tablespace) = &key.tablespace {
        ddl.push(text::set_tablespace(&key.index_ident, tablespace));
    }
    if key.replica_identity {
        ddl.push(sql::alter_table(&table.ident, &format!("REPLICA IDENTITY USING INDEX {}", key.ident)));
    }
    if key.clustered {
        ddl.push(sql::alter_table(&table.ident, &format!("CLUSTER ON {}", key.ident)));
    }
    ddl.extend(key.comment.as_ref().map(|comment| text::comment_on_constraint(&key.ident, &table.ident, comment)));
    ddl.extend(key.index_comment.as_ref().map(|comment| text::comment_on_index(&key.index_ident, comment)));
    ddl
}

#[cfg(test)]
pub mod tests {
    use super::super::scope_check::{MAX_NAME, STAND_IN, stand_in_name};
    use super::*;
    use crate::catalog::relations::Family;
    use crate::catalog::scope::Pair;
    use crate::sys::Oid;
    use pgrx::PgSqlErrorCode::{self, *};
    use proptest::prelude::*;

    fn ident(text: &str) -> Ident {
        Ident::quoted(text.into())
    }

    fn table(oid: u32, name: &str) -> Table {
        Table {
            oid: Oid::from(oid),
            ident: ident(name),
            partitioned: false,
            part: false,
            kind: Some("tenant".into()),
            tenant: Some(Tenant {
                ident: ident("tenant_id"),
                attnum: 9,
                type_name: "uuid".into(),
                base_type: Oid::from(2950),
                family: Some(Family::Id),
                not_null: true,
                collation: INVALID_OID,
                collation_name: ".".into(),
            }),
        }
    }

    fn primary_key() -> Key {
        Key {
            index: Oid::from(100),
            kind: KeyKind::Primary,
            name: "p_pkey".into(),
            ident: ident("p_pkey"),
            index_ident: ident("app.p_pkey"),
            method: ident("btree"),
            attnums: vec![1],
            columns: vec![ident("id")],
            include: vec![],
            include_attnums: vec![],
            nullable: false,
            valid: true,
            deferrable: false,
            deferred: false,
            nulls_not_distinct: false,
            period: false,
            options: None,
            tablespace: None,
            replica_identity: false,
            clustered: false,
            comment: None,
            index_comment: None,
            part: false,
            definition: None,
            predicate: String::new(),
            users: vec![],
            parts_marked: false,
            multicolumn: true,
            takes_tenant: true,
        }
    }

    fn foreign_key_x() -> ForeignKey {
        ForeignKey {
            name: "c_x_fkey".into(),
            ident: ident("c_x_fkey"),
            child: Oid::from(2),
            parent: Oid::from(1),
            index: Oid::from(100),
            part: false,
            pairs: vec![Pair {
                child: ident("x"),
                parent: ident("id"),
                child_attnum: 3,
                parent_attnum: 1,
                operator: "OPERATOR(pg_catalog.=)".into(),
                child_cast: String::new(),
                parent_cast: String::new(),
                collation: String::new(),
            }],
            nullable: true,
            on_update: "a".into(),
            on_delete: "a".into(),
            set_columns: None,
            match_full: false,
            deferrable: false,
            deferred: false,
            validated: true,
            enforced: true,
            period: false,
            comment: None,
            cast_owners: vec![],
        }
    }

    /// `app.p (id primary key)` and `app.c (x references app.p)`, seen from the parent.
    pub fn scene() -> Scene {
        let tables = [table(1, "app.p"), table(2, "app.c")];
        Scene {
            table: Oid::from(1),
            tables: tables.into_iter().map(|table| (table.oid, table)).collect(),
            keys: vec![primary_key()],
            foreign_keys: vec![foreign_key_x()],
            indexes: vec![],
        }
    }

    /// The DDL for the parent's key, or the SQLSTATE.
    fn planned(change: impl FnOnce(&mut Scene)) -> std::result::Result<Vec<String>, PgSqlErrorCode> {
        let mut scene = scene();
        change(&mut scene);
        unique(&scene.keys[0], &scene).map_err(|error| error.sqlstate())
    }

    fn tenant_of(scene: &mut Scene, oid: u32) -> &mut Tenant {
        scene.tables.get_mut(&Oid::from(oid)).and_then(|table| table.tenant.as_mut()).unwrap()
    }

    fn set_kind(scene: &mut Scene, oid: u32, kind: &str) {
        scene.tables.get_mut(&Oid::from(oid)).unwrap().kind = Some(kind.into());
    }

    #[test]
    fn a_key_takes_its_foreign_keys_along() {
        assert_eq!(
            planned(|_| ()).unwrap(),
            [
                "ALTER TABLE app.c DROP CONSTRAINT c_x_fkey;",
                "ALTER TABLE app.p DROP CONSTRAINT p_pkey, ADD CONSTRAINT p_pkey PRIMARY KEY (tenant_id, id);",
                "ALTER TABLE app.c ADD CONSTRAINT c_x_fkey FOREIGN KEY (tenant_id, x) REFERENCES app.p (tenant_id, id);",
            ]
        );
    }

    #[test]
    fn foreign_keys_of_the_same_columns_share_an_index() {
        let ddl = planned(|scene| {
            let mut other = scene.foreign_keys[0].clone();
            (other.name, other.ident) = ("again".into(), ident("again"));
            scene.foreign_keys.push(other);
            scene.indexes.push(Index {
                table: Oid::from(2),
                ident: ident("c_x_idx"),
                full_ident: ident("app.c_x_idx"),
                unique: false,
                immediate: true,
                valid: true,
                plain: true,
                nulls_not_distinct: false,
                of_constraint: false,
                default_order: true,
                attnums: vec![3],
                include: vec![],
            });
        });
        let ddl = ddl.unwrap();
        assert_eq!(ddl.iter().filter(|line| line.starts_with("CREATE INDEX")).count(), 1, "{ddl:#?}");
        assert_eq!(
            ddl.iter().filter(|line| line.contains("ADD CONSTRAINT") && line.contains("FOREIGN KEY")).count(),
            2
        );
    }

    #[test]
    fn what_is_scoped_needs_nothing() {
        assert_eq!(planned(|scene| scene.keys[0].attnums = vec![9, 1]), Ok(vec![]));
        let mut scoped = scene();
        let mut tenants = scoped.foreign_keys[0].pairs[0].clone();
        (tenants.child_attnum, tenants.parent_attnum) = (9, 9);
        scoped.foreign_keys[0].pairs.insert(0, tenants);
        assert_eq!(foreign_key(&scoped.foreign_keys[0], &scoped), Ok(vec![]));
    }

    #[test]
    fn what_cannot_be_scoped_is_refused() {
        let refused = |change: fn(&mut Scene)| planned(change).unwrap_err();
        assert_eq!(refused(|scene| set_kind(scene, 1, "shared")), ERRCODE_FEATURE_NOT_SUPPORTED);
        assert_eq!(refused(|scene| set_kind(scene, 2, "global")), ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE);
        assert_eq!(refused(|scene| tenant_of(scene, 2).not_null = false), ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE);
        assert_eq!(refused(|scene| tenant_of(scene, 2).family = Some(Family::Key)), ERRCODE_DATATYPE_MISMATCH);
        assert_eq!(refused(|scene| scene.keys[0].part = true), ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE);
        assert_eq!(refused(|scene| scene.keys[0].users.push("view v".into())), ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST);
        assert_eq!(refused(|scene| scene.keys[0].multicolumn = false), ERRCODE_FEATURE_NOT_SUPPORTED);
        assert_eq!(refused(|scene| scene.foreign_keys[0].on_update = "n".into()), ERRCODE_FEATURE_NOT_SUPPORTED);
        assert_eq!(refused(|scene| scene.foreign_keys[0].pairs[0].child_attnum = 9), ERRCODE_FEATURE_NOT_SUPPORTED);
    }

    #[test]
    fn a_long_name_stays_one() {
        let name = stand_in_name(&"ä".repeat(31));
        assert!(name.len() <= MAX_NAME && name.ends_with(STAND_IN), "{name}");
        assert_ne!(stand_in_name("a"), stand_in_name("b"));
        let long = "a".repeat(62);
        assert_ne!(stand_in_name(&format!("{long}x")), stand_in_name(&format!("{long}y")));
    }

    proptest! {
        /// Whatever a foreign key says, its successor says it of the same columns, pairs the tenants, and never sets them.
        #[test]
        fn a_foreign_key_keeps_what_it_says(
            on_update in "[arc]", on_delete in "[arcnd]", full: bool, nullable: bool, deferrable: bool,
            deferred: bool, validated: bool, enforced: bool, comment: Option<String>,
        ) {
            let ddl = planned(|scene| {
                let fk = &mut scene.foreign_keys[0];
                (fk.on_update, fk.on_delete) = (on_update.clone(), on_delete.clone());
                (fk.match_full, fk.nullable, fk.deferrable, fk.deferred) = (full, nullable, deferrable, deferrable && deferred);
                (fk.validated, fk.enforced, fk.comment) = (validated && enforced, enforced, comment.clone());
            }).unwrap();
            let added = ddl.iter().find(|line| line.contains("ADD CONSTRAINT c_x_fkey")).unwrap();
            prop_assert!(added.contains("FOREIGN KEY (tenant_id, x) REFERENCES app.p (tenant_id, id)"));
            prop_assert_eq!(added.contains("ON DELETE"), on_delete != "a");
            prop_assert_eq!(added.contains("SET NULL (x)"), on_delete == "n");
            prop_assert_eq!(added.contains("SET DEFAULT (x)"), on_delete == "d");
            prop_assert_eq!(added.contains("ON UPDATE CASCADE"), on_update == "c");
            prop_assert_eq!(added.contains("DEFERRABLE"), deferrable);
            prop_assert_eq!(added.contains("INITIALLY DEFERRED"), deferrable && deferred);
            prop_assert_eq!(added.contains("MATCH FULL"), full && !nullable);
            prop_assert_eq!(added.contains("NOT ENFORCED"), !enforced);
            prop_assert_eq!(added.contains("NOT VALID"), enforced && !validated);
            prop_assert_eq!(ddl.iter().any(|line| line.starts_with("COMMENT")), comment.is_some());
        }
    }
}
