-- Keys and foreign keys led by the tenant column. These run as the caller, who must own the tables. Settings that
-- change how SQL text is read or printed are pinned, and where new indexes go.

CREATE FUNCTION tenancy.scope_unique(
    tbl regclass,
    constraint_name name,
    dry_run boolean DEFAULT false
) RETURNS SETOF text
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET quote_all_identifiers = off
    SET standard_conforming_strings = on
    SET default_tablespace = ''
    AS 'MODULE_PATHNAME', 'scope_unique_wrapper';
REVOKE EXECUTE ON FUNCTION tenancy.scope_unique(regclass, name, boolean) FROM PUBLIC;
COMMENT ON FUNCTION tenancy.scope_unique(regclass, name, boolean) IS
    'Makes a primary key, unique or exclusion constraint, or unique index begin with the tenant column, and makes the foreign keys that refer to it composite. Returns the DDL it ran (dry_run: would run); none when nothing is missing. Raises 42501 not the owner of all the tables, 42704 unknown constraint, 55000 not protected, 42804 tenant columns of different types, 0A000 what such a key can''t express, 2BP01 something else depends on the key, 23503 rows refer across tenants';

CREATE FUNCTION tenancy.scope_foreign_key(
    tbl regclass,
    constraint_name name,
    dry_run boolean DEFAULT false
) RETURNS SETOF text
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET quote_all_identifiers = off
    SET standard_conforming_strings = on
    SET default_tablespace = ''
    AS 'MODULE_PATHNAME', 'scope_foreign_key_wrapper';
REVOKE EXECUTE ON FUNCTION tenancy.scope_foreign_key(regclass, name, boolean) FROM PUBLIC;
COMMENT ON FUNCTION tenancy.scope_foreign_key(regclass, name, boolean) IS
    'Makes a foreign key composite with the tenant column on both sides, with the unique index that it needs. Returns the DDL it ran (dry_run: would run); none when nothing is missing. Errors as for scope_unique()';

-- PostgreSQL prints literals as the session reads them, and the session is to run them: that setting stays the caller's.
CREATE FUNCTION tenancy.scope_plan(tbl regclass)
    RETURNS TABLE (step integer, ddl text, lock text)
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET quote_all_identifiers = off
    AS 'MODULE_PATHNAME', 'scope_plan_wrapper';
REVOKE EXECUTE ON FUNCTION tenancy.scope_plan(regclass) FROM PUBLIC;
COMMENT ON FUNCTION tenancy.scope_plan(regclass) IS
    'The script that puts the tenant column in front of all keys and foreign keys of a table in use, for \gexec: each step is a statement of its own, and holds strong locks for an instant alone. Changes nothing itself; after an interruption it gives what is left. Errors as for scope_unique()';

CREATE FUNCTION tenancy.validate_foreign_key(tbl regclass, constraint_name name) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET quote_all_identifiers = off
    SET standard_conforming_strings = on
    AS 'MODULE_PATHNAME', 'validate_foreign_key_wrapper';
REVOKE EXECUTE ON FUNCTION tenancy.validate_foreign_key(regclass, name) FROM PUBLIC;
COMMENT ON FUNCTION tenancy.validate_foreign_key(regclass, name) IS
    'ALTER TABLE ... VALIDATE CONSTRAINT of a foreign key, for all rows: PostgreSQL checks those that its caller sees, and forced row security leaves the owner none. Raises 42501 not the owner, 42704 unknown constraint, 23503 rows break it';
