-- Context: the functions that policies and clients call.

CREATE FUNCTION tenancy.current_tenant() RETURNS uuid
    LANGUAGE c STABLE LEAKPROOF PARALLEL SAFE COST 1
    AS 'MODULE_PATHNAME', 'tenancy_current_tenant';
COMMENT ON FUNCTION tenancy.current_tenant() IS
    'The id of the tenant acted for, or NULL. Raises 42501 when the role has no access to the tenant that is set or the transaction has another one, 55000 when the tenant is not active';

CREATE FUNCTION tenancy.current_key() RETURNS text
    LANGUAGE c STABLE LEAKPROOF PARALLEL SAFE COST 1
    AS 'MODULE_PATHNAME', 'tenancy_current_key';
COMMENT ON FUNCTION tenancy.current_key() IS
    'The key of the tenant acted for, or NULL. Errors as for current_tenant()';

CREATE FUNCTION tenancy.current_key_int() RETURNS bigint
    LANGUAGE c STABLE LEAKPROOF PARALLEL SAFE COST 1
    AS 'MODULE_PATHNAME', 'tenancy_current_key_int';
COMMENT ON FUNCTION tenancy.current_key_int() IS
    'The key of the tenant acted for as a number, or NULL when it is no canonical decimal. Errors as for current_tenant()';

CREATE FUNCTION tenancy.require_tenant() RETURNS uuid
    LANGUAGE c STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'require_tenant_wrapper';
COMMENT ON FUNCTION tenancy.require_tenant() IS
    'The id of the tenant acted for; raises 42501 when there is none. Other errors as for current_tenant()';

CREATE FUNCTION tenancy.set_tenant(tenant text, is_local boolean DEFAULT true) RETURNS uuid
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'set_tenant_by_name_wrapper';
COMMENT ON FUNCTION tenancy.set_tenant(text, boolean) IS
    'Acts for a tenant, named by id or key, until the transaction (is_local) or the session ends. Returns its id. Raises 22023 malformed name, 42501 unknown tenant, no access or second tenant in the transaction, 55000 not active or of another region, 25P01 is_local outside a transaction block';

CREATE FUNCTION tenancy.set_tenant(tenant uuid, is_local boolean DEFAULT true) RETURNS uuid
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'set_tenant_by_id_wrapper';
COMMENT ON FUNCTION tenancy.set_tenant(uuid, boolean) IS
    'Acts for a tenant, named by id, until the transaction (is_local) or the session ends. Returns the id. Errors as for set_tenant(text)';

CREATE FUNCTION tenancy.clear_tenant(is_local boolean DEFAULT true) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'clear_tenant_wrapper';
COMMENT ON FUNCTION tenancy.clear_tenant(boolean) IS
    'Acts for no tenant until the transaction (is_local) or the session ends; another tenant stays refused in this transaction. Raises 25P01 for is_local outside a transaction block';

CREATE FUNCTION tenancy.seal(secret text) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'seal_wrapper';
COMMENT ON FUNCTION tenancy.seal(text) IS
    'Freezes the session''s tenant and user until unseal() is given the same secret, whatever is set, reset or rolled back meanwhile: the session acts for them or for nobody. Raises 22023 a secret of less than 16 bytes, 42501 sealed already or no tenant set for the session, other errors as for current_tenant()';

CREATE FUNCTION tenancy.unseal(secret text) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'unseal_wrapper';
COMMENT ON FUNCTION tenancy.unseal(text) IS
    'Lifts the seal; what is set stays set. Raises 42501 another secret, and any after ten wrong ones, 55000 not sealed';
