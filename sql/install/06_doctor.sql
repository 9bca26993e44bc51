-- The doctor: reads, changes nothing. It shows other roles' rights, and so is for administrators. Its
-- queries are large and their estimates poor: compiling them would take longer than running them.

CREATE FUNCTION tenancy.doctor(schema name DEFAULT NULL)
    RETURNS TABLE (code text, severity text, object text, detail text, fix text)
    LANGUAGE c STABLE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET quote_all_identifiers = off
    SET standard_conforming_strings = on
    SET jit = off
    AS 'MODULE_PATHNAME', 'examine_wrapper';
REVOKE EXECUTE ON FUNCTION tenancy.doctor(name) FROM PUBLIC;
COMMENT ON FUNCTION tenancy.doctor(name) IS
    'Everything that weakens isolation or speed, in one schema or in all (NULL), the worst first. severity: critical, high, medium, low, info; fix: SQL that mends it, NULL where none can. Raises 3F000 unknown schema';
