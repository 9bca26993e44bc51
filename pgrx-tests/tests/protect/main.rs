//! `tenancy.protect` and its kin: what they make, what they bring back, what they refuse.

mod column;
mod drift;
mod kinds;
mod names;
mod odd_tables;
mod owners;
mod planner;
mod refusals;
mod schema;
mod shape;

use tenancy_harness::{ACME, Fixture, GLOBEX, Session};

/// Everything about a table and its children that protecting it may change, one line per fact. `table` is an SQL
/// expression's text, quoted as SQL needs it.
fn catalog(session: &mut impl Session, table: &str) -> Vec<String> {
    session.texts(&format!(
        "with recursive family(oid) as (
           select '{0}'::regclass::oid
           union select inhrelid from pg_inherits join family on inhparent = family.oid
         ), facts(fact) as (
           select format('%s row security %s forced %s', oid::regclass, relrowsecurity, relforcerowsecurity)
             from pg_class join family using (oid)
           union all
           select format('%s policy %s %s %s to %s using %s check %s', polrelid::regclass, polname, polcmd,
                         case when polpermissive then 'permissive' else 'restrictive' end, polroles,
                         pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid))
             from pg_policy join family on polrelid = family.oid
           union all
           select format('%s column %s not null %s default %s', attrelid::regclass, attname, attnotnull,
                         pg_get_expr(adbin, adrelid))
             from pg_attribute join family on attrelid = family.oid
                  left join pg_attrdef on adrelid = attrelid and adnum = attnum
            where attnum > 0 and not attisdropped
           union all
           select format('%s index %s', indrelid::regclass, pg_get_indexdef(indexrelid))
             from pg_index join family on indrelid = family.oid
           union all
           select format('%s %s may %s', family.oid::regclass, acl.grantee, acl.privilege_type)
             from family join pg_class using (oid),
                  aclexplode(coalesce(relacl, acldefault('r', relowner))) acl
           union all
           select format('%s constraint %s', conrelid::regclass, pg_get_constraintdef(pg_constraint.oid))
             from pg_constraint join family on conrelid = family.oid where contype in ('f', 'c')
         )
         select fact from facts order by fact collate \"C\"",
        table.replace('\'', "''")
    ))
}

/// A database with tenants `acme` and `globex`, no tables, and an application role.
fn fixture_with_tenants() -> (Fixture<'static>, String) {
    let fixture = Fixture::new();
    let app = fixture.app();
    fixture.register(&[ACME, GLOBEX]);
    (fixture, app)
}

/// Makes table `orders` with one row of each tenant, not protected.
fn orders(fixture: &Fixture<'_>) {
    fixture.run(&format!(
        "create table orders (id integer primary key, tenant_id uuid, body text);
         insert into orders values (1, '{}', 'acme'), (2, '{}', 'globex')",
        ACME.id, GLOBEX.id
    ));
}

/// What tenant `acme` sees in column `body` of `table`.
#[track_caller]
fn seen_by_acme(fixture: &Fixture<'_>, role: &str, table: &str) -> Vec<String> {
    let mut client = fixture.connect(role);
    let mut tx = client.transaction().expect("a transaction begins");
    tx.run("select tenancy.set_tenant('acme')");
    tx.texts(&format!("select body from {table} order by 1"))
}
