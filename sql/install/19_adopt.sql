-- Giving a schema that knew no tenants to one. These run as the caller, who must own the tables. Settings that change how
-- SQL text is read or printed are pinned, and where new indexes go.

-- PostgreSQL prints literals as the session reads them, and the session is to run them: that setting stays the caller's.
CREATE FUNCTION tenancy.adopt_plan(schema name, tenant text, global_tables regclass[] DEFAULT '{}')
    RETURNS TABLE (step integer, phase text, ddl text, lock text)
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET quote_all_identifiers = off
    AS 'MODULE_PATHNAME', 'adopt_plan_wrapper';
REVOKE EXECUTE ON FUNCTION tenancy.adopt_plan(name, text, regclass[]) FROM PUBLIC;
COMMENT ON FUNCTION tenancy.adopt_plan(name, text, regclass[]) IS
    'The script that gives the tables of a schema in use to one tenant, but for the global ones, and protects them, for \gexec: each step is a statement of its own, and lock says what it locks. Changes nothing itself; after an interruption it gives what is left, and after the end no row. Raises 3F000 unknown schema, 0A000 system schema, 42704 unknown tenant, 55000 the tenant is not active or a global table is protected, 42501 not the owner of all the tables, 42804 a tenant column does not hold the tenant, 22023 a global table is not in the schema';

CREATE FUNCTION tenancy.adopt(schema name, tenant text, global_tables regclass[] DEFAULT '{}') RETURNS SETOF text
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET quote_all_identifiers = off
    SET standard_conforming_strings = on
    SET default_tablespace = ''
    AS 'MODULE_PATHNAME', 'adopt_wrapper';
REVOKE EXECUTE ON FUNCTION tenancy.adopt(name, text, regclass[]) FROM PUBLIC;
COMMENT ON FUNCTION tenancy.adopt(name, text, regclass[]) IS
    'Does at once what adopt_plan() gives a script for, with the tables locked until the transaction ends. Returns the DDL it ran, and remarks on what stays as it is. Raises 23503 rows that refer across tenants, other errors as for adopt_plan()';

-- The path is the caller's own, for what the owner made of the table to find what it names; a default is evaluated before the
-- function's setting counts.
CREATE FUNCTION tenancy.adopt_rows(tbl regclass, tenant text, first_page bigint DEFAULT 0, pages bigint DEFAULT NULL,
        path text DEFAULT pg_catalog.current_setting('search_path')) RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'adopt_rows_wrapper';
REVOKE EXECUTE ON FUNCTION tenancy.adopt_rows(regclass, text, bigint, bigint, text) FROM PUBLIC;
COMMENT ON FUNCTION tenancy.adopt_rows(regclass, text, bigint, bigint, text) IS
    'Gives the rows of one table that belong to nobody to a tenant, as the table''s owner, and without setting off triggers: all, or those in some pages that nobody else holds. path is the search path by which functions in its conditions and generated columns find names. Returns how many. The steps of adopt_plan() call it. Raises 42501 not the owner, 42703 no column tenant_id, 42804 it does not hold the tenant, 55000 the table is protected, the tenant is not active, or a foreign key has the column that the rows would break';
