-- Hosts: under which names tenants are served. And keys for caches.

CREATE FUNCTION tenancy.normalize_host(host text) RETURNS text
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'normalize_host_wrapper';
COMMENT ON FUNCTION tenancy.normalize_host(text) IS
    'The form in which a host, or *.example.com, is kept and compared: lower case, in ASCII, without port and trailing dot; NULL for what is no host';

-- The library reads hosts by attribute number: new columns come last.
CREATE TABLE tenancy.hosts (
    host      text COLLATE "C" NOT NULL PRIMARY KEY
              CONSTRAINT hosts_host_is_normal CHECK (host IS NOT DISTINCT FROM tenancy.normalize_host(host)),
    tenant_id uuid NOT NULL REFERENCES tenancy.tenants (id) ON DELETE CASCADE,
    added_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX hosts_tenant_id_idx ON tenancy.hosts (tenant_id);
COMMENT ON TABLE tenancy.hosts IS
    'Hosts under which tenants are served; a role sees those of the tenant it acts for, bypassing roles see all';
COMMENT ON COLUMN tenancy.hosts.host IS
    'Lower case, in ASCII, without port and trailing dot; *.example.com stands for every host directly in example.com';
SELECT pg_extension_config_dump('tenancy.hosts', '');
ALTER TABLE tenancy.hosts ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON tenancy.hosts FOR SELECT TO PUBLIC
    USING (tenant_id = tenancy.current_tenant());
GRANT SELECT ON tenancy.hosts TO PUBLIC;

CREATE FUNCTION tenancy.add_host(host text, tenant text) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'add_host_wrapper';
REVOKE EXECUTE ON FUNCTION tenancy.add_host(text, text) FROM PUBLIC;
COMMENT ON FUNCTION tenancy.add_host(text, text) IS
    'Has a tenant served under a host, or, as *.example.com, under every host directly in a domain. Raises 22023 malformed host, 42704 unknown tenant, 42710 host taken';

CREATE FUNCTION tenancy.remove_host(host text) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'remove_host_wrapper';
REVOKE EXECUTE ON FUNCTION tenancy.remove_host(text) FROM PUBLIC;
COMMENT ON FUNCTION tenancy.remove_host(text) IS
    'Takes a host away. Raises 22023 malformed host, 42704 unknown host';

CREATE FUNCTION tenancy.resolve_host(host text) RETURNS uuid
    LANGUAGE c STABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'resolve_host_wrapper';
COMMENT ON FUNCTION tenancy.resolve_host(text) IS
    'The id of the tenant that is served under a host; NULL when it is unknown, or the tenant is not active here, not the role''s to act for, or another one than the transaction''s. Raises 22023 malformed host';

CREATE FUNCTION tenancy.set_tenant_by_host(host text, is_local boolean DEFAULT true) RETURNS uuid
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'set_tenant_by_host_wrapper';
COMMENT ON FUNCTION tenancy.set_tenant_by_host(text, boolean) IS
    'Acts for the tenant that is served under a host, as set_tenant() does. Returns its id. Raises 22023 malformed host, 42501 unknown host, tenant not active here or no access, other errors as for set_tenant()';

CREATE FUNCTION tenancy.cache_key(parts text[]) RETURNS text
    LANGUAGE c STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'cache_key_wrapper';
COMMENT ON FUNCTION tenancy.cache_key(text[]) IS
    'A key for caches that tenants share: tenant:<id>:<part>:..., with the parts percent-encoded. Raises 42501 without a tenant, 22023 a part is null or the array has several dimensions, other errors as for current_tenant()';
