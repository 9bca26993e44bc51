-- Guards: what keeps a protected table protected.

-- For everybody, since the owner of a table makes the trigger: as a trigger it can only refuse.
CREATE FUNCTION tenancy.guard_truncate() RETURNS trigger
    LANGUAGE c
    AS 'MODULE_PATHNAME', 'tenancy_guard_truncate';
COMMENT ON FUNCTION tenancy.guard_truncate() IS
    'Trigger: refuses TRUNCATE of a protected table (42501) under a tenant, and to roles that do not bypass row security';

-- Schemas by name: pg_upgrade takes no regnamespace.
CREATE TABLE tenancy.managed_schema (
    schema        name NOT NULL PRIMARY KEY,
    on_new        text NOT NULL CHECK (on_new IN ('protect', 'reject', 'warn', 'off')),
    tenant_column name NOT NULL DEFAULT 'tenant_id',
    recorded_at   timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE tenancy.managed_schema ENABLE ROW LEVEL SECURITY;
COMMENT ON TABLE tenancy.managed_schema IS
    'Schemas with what happens to tables that come into them, as tenancy.manage_schema() recorded it';
SELECT pg_extension_config_dump('tenancy.managed_schema', '');

CREATE FUNCTION tenancy.manage_schema(schema name, on_new text DEFAULT 'protect') RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'manage_schema_wrapper';
REVOKE EXECUTE ON FUNCTION tenancy.manage_schema(name, text) FROM PUBLIC;
COMMENT ON FUNCTION tenancy.manage_schema(name, text) IS
    'Says what happens to tables that come into a schema later: protect: those with the tenant column are protected; reject: so they are, and those without it are refused unless classified; warn: a warning; off: nothing. Raises 3F000 unknown schema, 22023 another on_new, 0A000 a system schema';

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

-- The DDL guard runs as whoever runs the DDL, with his settings: those that change how SQL text is read or
-- printed are pinned. Compiling a guard's query takes ten times as long as running it.
CREATE FUNCTION tenancy.guard_command() RETURNS event_trigger
    LANGUAGE c VOLATILE
    SET search_path = pg_catalog, pg_temp
    SET quote_all_identifiers = off
    SET standard_conforming_strings = on
    SET jit = off
    AS 'MODULE_PATHNAME', 'tenancy_guard_command';
REVOKE EXECUTE ON FUNCTION tenancy.guard_command() FROM PUBLIC;
COMMENT ON FUNCTION tenancy.guard_command() IS
    'Event trigger: refuses DDL that weakens a protected table (42501), protects partitions and children that come to one, and tables that come into a managed schema';

CREATE FUNCTION tenancy.guard_grant() RETURNS event_trigger
    LANGUAGE c VOLATILE
    SET search_path = pg_catalog, pg_temp
    SET quote_all_identifiers = off
    SET standard_conforming_strings = on
    SET jit = off
    AS 'MODULE_PATHNAME', 'tenancy_guard_grant';
REVOKE EXECUTE ON FUNCTION tenancy.guard_grant() FROM PUBLIC;
COMMENT ON FUNCTION tenancy.guard_grant() IS
    'Event trigger: refuses granting TRUNCATE, REFERENCES or TRIGGER on a protected table (42501)';

CREATE FUNCTION tenancy.guard_drop() RETURNS event_trigger
    LANGUAGE c VOLATILE
    SET search_path = pg_catalog, pg_temp
    SET quote_all_identifiers = off
    SET standard_conforming_strings = on
    SET jit = off
    AS 'MODULE_PATHNAME', 'tenancy_guard_drop';
REVOKE EXECUTE ON FUNCTION tenancy.guard_drop() FROM PUBLIC;
COMMENT ON FUNCTION tenancy.guard_drop() IS
    'Event trigger: refuses dropping a part of a table''s protection (42501)';

-- ALWAYS: session_replication_role = replica must not silence a guard. All tags: a table can be changed through
-- its type, its schema, or what an extension's script does.
CREATE EVENT TRIGGER tenancy_guard_command ON ddl_command_end EXECUTE FUNCTION tenancy.guard_command();
ALTER EVENT TRIGGER tenancy_guard_command ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER tenancy_guard_command IS
    'Refuses DDL that weakens a protected table; protects what comes to one, or into a managed schema';
-- GRANT reports no object, so every protected table is looked at. CREATE SCHEMA may have it among its elements.
CREATE EVENT TRIGGER tenancy_guard_grant ON ddl_command_end
    WHEN TAG IN ('GRANT', 'CREATE SCHEMA')
    EXECUTE FUNCTION tenancy.guard_grant();
ALTER EVENT TRIGGER tenancy_guard_grant ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER tenancy_guard_grant IS
    'Refuses privileges that weaken a protected table';
CREATE EVENT TRIGGER tenancy_guard_drop ON sql_drop EXECUTE FUNCTION tenancy.guard_drop();
ALTER EVENT TRIGGER tenancy_guard_drop ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER tenancy_guard_drop IS
    'Refuses dropping a part of a table''s protection';

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
