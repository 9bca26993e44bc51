-- The guard's queries are of this version, and the tables not yet.
SET LOCAL tenancy.guard_ddl = off;

-- Schemas by name: pg_upgrade takes no regnamespace.
ALTER TABLE tenancy.managed_schema
    ALTER COLUMN schema TYPE name USING (pg_catalog.parse_ident(schema::text))[1]::name;

CREATE FUNCTION tenancy.follow_schema() RETURNS event_trigger
    LANGUAGE c VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'tenancy_follow_schema';
REVOKE EXECUTE ON FUNCTION tenancy.follow_schema() FROM PUBLIC;
COMMENT ON FUNCTION tenancy.follow_schema() IS
    'Event trigger: keeps what is recorded of a schema when it gets another name';
CREATE EVENT TRIGGER tenancy_follow_schema ON ddl_command_end WHEN TAG IN ('ALTER SCHEMA')
    EXECUTE FUNCTION tenancy.follow_schema();
ALTER EVENT TRIGGER tenancy_follow_schema ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER tenancy_follow_schema IS
    'Keeps the records of tenancy.managed_schema when schemas get other names';

CREATE FUNCTION tenancy.guard_removal() RETURNS event_trigger
    LANGUAGE c VOLATILE
    SET search_path = pg_catalog, pg_temp
    SET quote_all_identifiers = off
    SET standard_conforming_strings = on
    SET jit = off
    AS 'MODULE_PATHNAME', 'tenancy_guard_removal';
REVOKE EXECUTE ON FUNCTION tenancy.guard_removal() FROM PUBLIC;
COMMENT ON FUNCTION tenancy.guard_removal() IS
    'Event trigger: refuses to drop the extension while tables are protected, without CASCADE (2BP01); with it, closes the tables that policies of others would open';
CREATE EVENT TRIGGER tenancy_guard_removal ON ddl_command_start
    WHEN TAG IN ('DROP EXTENSION', 'DROP OWNED')
    EXECUTE FUNCTION tenancy.guard_removal();
ALTER EVENT TRIGGER tenancy_guard_removal ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER tenancy_guard_removal IS
    'Says which tables would lose their policies with the extension, and leaves them closed';

CREATE FUNCTION tenancy.publication_sql(tenant text, publication name DEFAULT NULL) RETURNS SETOF text
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET quote_all_identifiers = off
    SET standard_conforming_strings = on
    AS 'MODULE_PATHNAME', 'publication_sql_wrapper';
REVOKE EXECUTE ON FUNCTION tenancy.publication_sql(text, name) FROM PUBLIC;
COMMENT ON FUNCTION tenancy.publication_sql(text, name) IS
    'The statements, for \gexec, that publish the rows of one tenant in all protected tables for logical replication, under a name or one made of its id; a publication of that name that is the tenant''s is given these tables. Changes nothing itself. Raises 42704 unknown tenant, 55000 erased or of another region, 42710 a publication of that name that is not this tenant''s alone, 0A000 a tenant column of a type or collation that row filters don''t take, or, from PostgreSQL 18 on, a table with generated columns and without a key led by the tenant';
