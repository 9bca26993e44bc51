-- Hardening roles. It runs as the caller, who must be a superuser: it takes attributes from roles, and privileges on
-- what belongs to PostgreSQL.

CREATE FUNCTION tenancy.harden_role(
    role name,
    profile text DEFAULT 'standard',
    dry_run boolean DEFAULT false
) RETURNS SETOF text
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET quote_all_identifiers = off
    SET standard_conforming_strings = on
    SET jit = off
    AS 'MODULE_PATHNAME', 'harden_role_wrapper';
REVOKE EXECUTE ON FUNCTION tenancy.harden_role(name, text, boolean) FROM PUBLIC;
COMMENT ON FUNCTION tenancy.harden_role(name, text, boolean) IS
    'Takes from a role what leads beyond the tenant it acts for: attributes, memberships, privileges, also those that it has through groups or PUBLIC. Profile strict adds a guard on statements; none lifts it. Returns the DDL it ran (dry_run: would run); none when nothing is missing. Raises 42501 not a superuser (but for dry_run), 42704 unknown role, 22023 unknown profile or a role that can''t be hardened, 55000 the role owns objects in this database';
