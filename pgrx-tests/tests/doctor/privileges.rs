//! Privileges that lead round row security.

use crate::heals;

heals! {
    truncate: "DANGEROUS_PRIV" on "app.orders" by "grant truncate on app.orders to {app}";
    everything_to_all: "DANGEROUS_PRIV" on "app.events_2025" by "grant all on app.events_2025 to public";
    references_to_a_column: "DANGEROUS_PRIV" on "app.orders" by "grant references (id, note) on app.orders to {other}";
    dangerous_defaults: "DEFAULT_PRIV" on "app of postgres"
        by "alter default privileges in schema app grant all on tables to {app};
            alter default privileges in schema app grant select on tables to {other}";
    defaults_for_all: "DEFAULT_PRIV" on "tables of {other}"
        by "alter default privileges for role {other} grant select on tables to public";
    objects_of_all: "SCHEMA_CREATE" on "app" by "grant create on schema app to public";
    objects_of_tenants: "SCHEMA_CREATE" on "public" by "grant create on schema public to {app}";
    a_tenants_schema: "SCHEMA_CREATE" on "app" by "alter schema app owner to {app}";
    schemas_of_tenants: "DATABASE_CREATE" on "{db}" by "grant create on database {db} to {app}";
    a_tenants_database: "DATABASE_CREATE" on "{db}" by "alter table app.journal owner to {other}; alter database {db} owner to {app}";
    temporary_tables: "TEMP_FOR_TENANTS" on "{db}" by "grant temporary on database {db} to public";
    temporary_tables_through_membership: "TEMP_FOR_TENANTS" on "{db}"
        by "grant temporary on database {db} to {other}; grant {other} to {app}";
    a_superusers_setting: "PARAMETER_GRANT" on "session_replication_role"
        by "grant set, alter system on parameter session_replication_role to {app}";
    a_setting_of_the_extension: "PARAMETER_GRANT" on "tenancy.allow_switch"
        by "grant set on parameter tenancy.allow_switch to {other}; grant {other} to {app}";
    writing_the_registry: "REGISTRY_GRANT" on "tenancy.access" by "grant insert, delete on tenancy.access to {other}";
    all_catalogs: "CATALOG_GRANT" on "pg_catalog.pg_authid"
        by "grant select on all tables in schema pg_catalog to {app}";
    a_column_of_the_statistics: "CATALOG_GRANT" on "pg_catalog.pg_statistic"
        by "grant select (stavalues1) on pg_statistic to {other}; grant {other} to {app}";
    values_stored_apart: "CATALOG_GRANT" on "pg_toast" by "grant usage on schema pg_toast to public";
    administration_for_tenants: "ADMIN_FOR_TENANTS" on "{app}" by "select tenancy.grant_admin('{app}')";
    administration_for_all: "ADMIN_FOR_TENANTS" on "PUBLIC"
        by "grant execute on all functions in schema tenancy to public";
}
