-- Protecting tables. These run as the caller, who must own the table. Settings that change how SQL
-- text is read or printed are pinned, since the plan compares expressions as PostgreSQL prints them.

CREATE FUNCTION tenancy.protect(
    tbl regclass,
    tenant_column name DEFAULT 'tenant_id',
    kind text DEFAULT 'tenant',
    create_index boolean DEFAULT true,
    reference_tenants boolean DEFAULT false,
    dry_run boolean DEFAULT false,
    statistics_target integer DEFAULT NULL
) RETURNS SETOF text
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET quote_all_identifiers = off
    SET standard_conforming_strings = on
    AS 'MODULE_PATHNAME', 'protect_wrapper';
REVOKE EXECUTE ON FUNCTION tenancy.protect(regclass, name, text, boolean, boolean, boolean, integer) FROM PUBLIC;
COMMENT ON FUNCTION tenancy.protect(regclass, name, text, boolean, boolean, boolean, integer) IS
    'Protects a table, its partitions and its inheritance children: policies, forced row security, default from the context, NOT NULL, index; with statistics_target also statistics on the tenant column, and fresher ones. Returns the DDL it ran (dry_run: would run); none when nothing is missing. Raises 42501 not the owner, 42809 or 0A000 unsuitable relation, 42703 or 42804 unsuitable column, 23502 rows without tenant, 55000 part of a table protected otherwise';

CREATE FUNCTION tenancy.protect_schema(
    schema name,
    tenant_column name DEFAULT 'tenant_id',
    dry_run boolean DEFAULT false
) RETURNS SETOF text
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET quote_all_identifiers = off
    SET standard_conforming_strings = on
    AS 'MODULE_PATHNAME', 'protect_schema_wrapper';
REVOKE EXECUTE ON FUNCTION tenancy.protect_schema(name, name, boolean) FROM PUBLIC;
COMMENT ON FUNCTION tenancy.protect_schema(name, name, boolean) IS
    'Protects every table of a schema that has the column and is not classified as global. Returns the DDL it ran (dry_run: would run). Raises 3F000 unknown schema, otherwise as protect()';

CREATE FUNCTION tenancy.unprotect(tbl regclass) RETURNS SETOF text
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET quote_all_identifiers = off
    SET standard_conforming_strings = on
    AS 'MODULE_PATHNAME', 'unprotect_wrapper';
REVOKE EXECUTE ON FUNCTION tenancy.unprotect(regclass) FROM PUBLIC;
COMMENT ON FUNCTION tenancy.unprotect(regclass) IS
    'Takes the policies of tenants, row security (unless others have made policies) and the context default from a table and its children, so that whoever may SELECT reads all rows; NOT NULL, index and revoked privileges stay. Returns the DDL it ran. Raises 42501 not the owner, 55000 not protected or part of a protected table';

CREATE FUNCTION tenancy.classify(tbl regclass, kind text) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'classify_wrapper';
REVOKE EXECUTE ON FUNCTION tenancy.classify(regclass, text) FROM PUBLIC;
COMMENT ON FUNCTION tenancy.classify(regclass, text) IS
    'Records that a table deliberately has no tenants (kind ''global''). Raises 22023 another kind, 42501 not the owner, 55000 the table is protected';

CREATE FUNCTION tenancy.add_tenant_column(
    tbl regclass,
    tenant text,
    tenant_column name DEFAULT 'tenant_id',
    column_type regtype DEFAULT 'uuid'
) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET quote_all_identifiers = off
    SET standard_conforming_strings = on
    AS 'MODULE_PATHNAME', 'add_tenant_column_wrapper';
REVOKE EXECUTE ON FUNCTION tenancy.add_tenant_column(regclass, text, name, regtype) FROM PUBLIC;
COMMENT ON FUNCTION tenancy.add_tenant_column(regclass, text, name, regtype) IS
    'Adds a tenant column to a table and its children, NOT NULL and with the default from the context, and gives the rows that are there to one tenant without rewriting them. Raises 42501 not the owner, 42809 or 0A000 unsuitable relation, 42704 unknown tenant, 42701 the column exists, 42804 the type does not hold the tenant, 55000 the table is protected';

CREATE FUNCTION tenancy.forget_dropped() RETURNS event_trigger
    LANGUAGE c VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'tenancy_forget_dropped';
REVOKE EXECUTE ON FUNCTION tenancy.forget_dropped() FROM PUBLIC;
COMMENT ON FUNCTION tenancy.forget_dropped() IS
    'Event trigger: removes the records of dropped tables';
CREATE EVENT TRIGGER tenancy_forget_dropped ON sql_drop
    WHEN TAG IN ('DROP TABLE', 'DROP SCHEMA', 'DROP OWNED', 'DROP EXTENSION', 'DROP TYPE')
    EXECUTE FUNCTION tenancy.forget_dropped();
ALTER EVENT TRIGGER tenancy_forget_dropped ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER tenancy_forget_dropped IS
    'Removes the records of dropped tables from tenancy.protection';
