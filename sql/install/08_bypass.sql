-- Reading across tenants, with a reason.

-- For everybody, since what it declares is refused to roles that have nothing to bypass.
CREATE FUNCTION tenancy.bypass(reason text) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'bypass_wrapper';
COMMENT ON FUNCTION tenancy.bypass(text) IS
    'Declares, for this transaction, why a superuser or a role with BYPASSRLS reads across tenants, and writes it to tenancy.event_log whether the transaction commits or not. Raises 42501 for a role that row security binds, 22023 an empty reason or one of several lines, 55000 when it can''t be recorded';
