//! Privileges, comments and search paths of everything the extension installs.

use tenancy_harness::{Fixture, Session};

use crate::fixture_with_tenants;

/// Functions that everybody may execute: they read, or set what is checked at use, count for the tenant in force, or can only
/// refuse.
const FOR_EVERYBODY: [&str; 42] = [
    "accept_invitation",
    "audit_chain_json",
    "audit_history",
    "audit_json",
    "audit_revert",
    "audit_row_hash",
    "authenticate",
    "bypass",
    "cache_key",
    "check_quota",
    "clear_tenant",
    "consume",
    "count_rows",
    "current_key",
    "current_key_int",
    "current_tenant",
    "feature",
    "guard_truncate",
    "has_role",
    "is_member",
    "is_tenant_key",
    "next_number",
    "normalize_host",
    "release",
    "require_tenant",
    "reserve_numbers",
    "resolve_host",
    "seal",
    "set_tenant",
    "set_tenant_by_host",
    "setting",
    "setting_bool",
    "setting_int",
    "setting_text",
    "settings",
    "tenant_stats",
    "unseal",
    "usage_in_memory",
    "visible_key_ints",
    "visible_keys",
    "visible_tenants",
    "why",
];

/// The extension's own functions: `(oid, proname, ...)` of `pg_proc`.
const OWN_FUNCTIONS: &str =
    "(select p.* from pg_proc p join pg_depend d on d.classid = 'pg_proc'::regclass and d.objid = p.oid
      join pg_extension e on d.refclassid = 'pg_extension'::regclass and d.refobjid = e.oid
     where d.deptype = 'e' and e.extname = 'pg_tenancy') own";

#[test]
fn no_function_that_changes_something_may_be_executed_by_everybody() {
    let fixture = Fixture::new();
    let open = fixture.superuser().texts(&format!(
        "select distinct proname from {OWN_FUNCTIONS}, aclexplode(coalesce(proacl, acldefault('f', proowner))) acl
          where acl.grantee = 0 and acl.privilege_type = 'EXECUTE' order by 1"
    ));
    assert_eq!(open, FOR_EVERYBODY);
}

#[test]
fn every_function_table_and_view_has_a_comment() {
    let fixture = Fixture::new();
    let silent = fixture.superuser().texts(&format!(
        "select oid::regprocedure::text from {OWN_FUNCTIONS} where obj_description(oid, 'pg_proc') is null
         union all
         select oid::regclass::text from pg_class where relnamespace = 'tenancy'::regnamespace
            and relkind in ('r', 'p', 'v', 'm') and obj_description(oid, 'pg_class') is null
         union all
         select 'schema tenancy' where obj_description('tenancy'::regnamespace, 'pg_namespace') is null"
    ));
    assert_eq!(silent, Vec::<String>::new());
}

#[test]
fn every_definer_function_pins_its_search_path() {
    let fixture = Fixture::new();
    let loose = fixture.superuser().texts(&format!(
        "select oid::regprocedure from {OWN_FUNCTIONS} where prosecdef and not exists (
           select from unnest(proconfig) setting where setting ~ '^search_path=pg_catalog, (tenancy, )?pg_temp$')"
    ));
    assert_eq!(loose, Vec::<String>::new());
}

#[test]
fn everything_lives_in_the_extensions_own_schema() {
    let fixture = Fixture::new();
    let mut superuser = fixture.superuser();
    let elsewhere = superuser
        .texts(&format!("select oid::regprocedure from {OWN_FUNCTIONS} where pronamespace <> 'tenancy'::regnamespace"));
    assert_eq!(elsewhere, Vec::<String>::new());
    superuser.refuses("alter extension pg_tenancy set schema public", "0A000");
}

#[test]
fn an_application_role_can_neither_write_nor_create_in_the_schema() {
    let (fixture, app) = fixture_with_tenants();
    let mut superuser = fixture.superuser();
    let writable = superuser.texts(&format!(
        "select oid::regclass || ' ' || privilege
           from pg_class, unnest(array['insert', 'update', 'delete', 'truncate', 'references', 'trigger']) privilege
          where relnamespace = 'tenancy'::regnamespace and relkind in ('r', 'p', 'v', 'm')
            and has_table_privilege('{app}', oid, privilege)"
    ));
    assert_eq!(writable, Vec::<String>::new());
    let sequences = superuser.texts(&format!(
        "select oid::regclass from pg_class where relnamespace = 'tenancy'::regnamespace
            and case when relkind = 'S' then has_sequence_privilege('{app}', oid, 'usage, update') end"
    ));
    assert_eq!(sequences, Vec::<String>::new());
    let create = format!("select has_schema_privilege('{app}', 'tenancy', 'create')");
    assert_eq!(superuser.value(&create).as_deref(), Some("f"));
    let mut client = fixture.connect(&app);
    client.refuses("update tenancy.tenants set status = 'active'", "42501");
}

#[test]
fn the_registrys_own_tables_are_under_row_security() {
    let fixture = Fixture::new();
    let open = fixture.superuser().texts(
        "select oid::regclass from pg_class where relnamespace = 'tenancy'::regnamespace
            and relkind in ('r', 'p') and not relrowsecurity and has_table_privilege('public', oid, 'select')",
    );
    assert_eq!(open, Vec::<String>::new());
}

#[test]
fn the_registrys_rows_are_part_of_a_dump() {
    let fixture = Fixture::new();
    // A partitioned table has no rows of its own, and keys are secrets.
    let forgotten = fixture.superuser().texts(
        "select c.oid::regclass from pg_class c, pg_extension e
          where extname = 'pg_tenancy' and c.relnamespace = 'tenancy'::regnamespace and c.relkind = 'r'
            and c.relpersistence = 'p' and c.relname <> 'jwt_keys' and not c.oid = any (coalesce(e.extconfig, '{}'))",
    );
    assert_eq!(forgotten, Vec::<String>::new());
}
