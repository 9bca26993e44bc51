-- Looking at isolation from both sides: why one row can or can't be reached, and whether attacks succeed.

-- For everybody: it tells its caller nothing that he can't see by asking the table himself. It runs as him, and
-- what it reads as the table's owner it reads for administrators alone. The settings are those under which
-- policies are printed, and read again; the search path is pinned but where policies need the caller's.
CREATE FUNCTION tenancy.why(tbl regclass, row_key jsonb)
    RETURNS TABLE (check_name text, passed boolean, detail text)
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    SET quote_all_identifiers = off
    SET standard_conforming_strings = on
    AS 'MODULE_PATHNAME', 'explain_wrapper';
COMMENT ON FUNCTION tenancy.why(regclass, jsonb) IS
    'Explains, without showing it, why the current role and context can or cannot see or change the row whose columns have the values of the object row_key. Administrators are also told of rows that the role does not see. passed is NULL where a check does not apply. Raises 22023 malformed key, 42703 unknown column, 42809 or 0A000 no table of a user';

-- Attacks run as roles that are made for it and bound by row security; what is planted, as the table's owner.
-- Only roles, tenants and grants are made with the rights of the extension's owner. Triggers of users stay silent:
-- they may do what can't be rolled back.
CREATE FUNCTION tenancy.prove(tbl regclass DEFAULT NULL)
    RETURNS TABLE (tbl regclass, attack text, blocked boolean, detail text)
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET quote_all_identifiers = off
    SET standard_conforming_strings = on
    SET session_replication_role = replica
    SET row_security = on
    SET lock_timeout = '2s'
    SET client_min_messages = error
    SET jit = off
    AS 'MODULE_PATHNAME', 'prove_wrapper';
REVOKE EXECUTE ON FUNCTION tenancy.prove(regclass) FROM PUBLIC;
COMMENT ON FUNCTION tenancy.prove(regclass) IS
    'Attacks a protected table, or all of them (NULL), as an unprivileged role with two made-up tenants, and rolls everything back. blocked: whether the attack failed; NULL where it could not be tried, detail says why. Raises 55000 not protected, 25006 read-only transaction';
