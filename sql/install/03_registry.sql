-- Registry: row security of the own tables, announcing changes, and the functions of administrators.

ALTER TABLE tenancy.plans ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenancy.tenants ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenancy.access ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenancy.protection ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenancy.event_log ENABLE ROW LEVEL SECURITY;

CREATE POLICY own_tenant ON tenancy.tenants FOR SELECT TO PUBLIC
    USING (id = tenancy.current_tenant());
CREATE POLICY own_tenant ON tenancy.event_log FOR SELECT TO PUBLIC
    USING (tenant_id = tenancy.current_tenant());
GRANT SELECT ON tenancy.tenants, tenancy.event_log TO PUBLIC;

CREATE FUNCTION tenancy.registry_changed() RETURNS trigger
    LANGUAGE c
    AS 'MODULE_PATHNAME', 'tenancy_registry_changed';
REVOKE EXECUTE ON FUNCTION tenancy.registry_changed() FROM PUBLIC;
COMMENT ON FUNCTION tenancy.registry_changed() IS
    'Trigger: tells every session that tenants or accesses changed';

-- ALWAYS and for each row: a change that is restored or replicated counts at once as well, and those who
-- apply a subscription fire no triggers for a statement. A new tenant takes nothing from anybody, but it may
-- be rolled back after it was used. A new access is waited for by sessions that know of having none.
CREATE TRIGGER registry_changed
    AFTER UPDATE OR DELETE ON tenancy.tenants
    FOR EACH ROW EXECUTE FUNCTION tenancy.registry_changed();
CREATE TRIGGER registry_changed_in_bulk
    AFTER INSERT OR TRUNCATE ON tenancy.tenants
    FOR EACH STATEMENT EXECUTE FUNCTION tenancy.registry_changed();
ALTER TABLE tenancy.tenants ENABLE ALWAYS TRIGGER registry_changed, ENABLE ALWAYS TRIGGER registry_changed_in_bulk;
CREATE TRIGGER registry_changed
    AFTER INSERT OR UPDATE OR DELETE ON tenancy.access
    FOR EACH ROW EXECUTE FUNCTION tenancy.registry_changed();
CREATE TRIGGER registry_changed_in_bulk
    AFTER TRUNCATE ON tenancy.access
    FOR EACH STATEMENT EXECUTE FUNCTION tenancy.registry_changed();
ALTER TABLE tenancy.access ENABLE ALWAYS TRIGGER registry_changed, ENABLE ALWAYS TRIGGER registry_changed_in_bulk;

CREATE FUNCTION tenancy.create_tenant(
    key text,
    id uuid DEFAULT NULL,
    name text DEFAULT NULL,
    plan text DEFAULT NULL,
    region text DEFAULT NULL,
    settings jsonb DEFAULT '{}',
    parent text DEFAULT NULL
) RETURNS uuid
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'create_tenant_wrapper';
REVOKE EXECUTE ON FUNCTION tenancy.create_tenant(text, uuid, text, text, text, jsonb, text) FROM PUBLIC;
COMMENT ON FUNCTION tenancy.create_tenant(text, uuid, text, text, text, jsonb, text) IS
    'Registers an active tenant, below a parent if one is named, and returns its id; a NULL key becomes the id. Raises 22023 malformed key or settings, 42704 unknown plan or parent, 42710 id or key taken, 55000 parent archived or erased, 54000 more levels than a tree can have';

CREATE FUNCTION tenancy.suspend_tenant(tenant text, reason text DEFAULT NULL) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'suspend_tenant_wrapper';
REVOKE EXECUTE ON FUNCTION tenancy.suspend_tenant(text, text) FROM PUBLIC;
COMMENT ON FUNCTION tenancy.suspend_tenant(text, text) IS
    'Stops an active tenant, in open sessions at their next statement. Raises 42704 unknown tenant, 55000 not active';

CREATE FUNCTION tenancy.resume_tenant(tenant text, reason text DEFAULT NULL) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'resume_tenant_wrapper';
REVOKE EXECUTE ON FUNCTION tenancy.resume_tenant(text, text) FROM PUBLIC;
COMMENT ON FUNCTION tenancy.resume_tenant(text, text) IS
    'Makes a suspended tenant active again. Raises 42704 unknown tenant, 55000 not suspended';

CREATE FUNCTION tenancy.archive_tenant(tenant text, reason text DEFAULT NULL) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'archive_tenant_wrapper';
REVOKE EXECUTE ON FUNCTION tenancy.archive_tenant(text, text) FROM PUBLIC;
COMMENT ON FUNCTION tenancy.archive_tenant(text, text) IS
    'Archives a suspended tenant, for good. Raises 42704 unknown tenant, 55000 not suspended';

CREATE FUNCTION tenancy.create_plan(name text, settings jsonb DEFAULT '{}') RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'create_plan_wrapper';
REVOKE EXECUTE ON FUNCTION tenancy.create_plan(text, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION tenancy.create_plan(text, jsonb) IS
    'Makes a plan that tenants can subscribe to. Raises 22023 settings that are no object, 42710 name taken';

CREATE FUNCTION tenancy.grant_access(
    role name,
    tenant text DEFAULT NULL,
    mode text DEFAULT 'direct',
    require_membership boolean DEFAULT false
) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'grant_access_wrapper';
REVOKE EXECUTE ON FUNCTION tenancy.grant_access(name, text, text, boolean) FROM PUBLIC;
COMMENT ON FUNCTION tenancy.grant_access(name, text, text, boolean) IS
    'Lets a role, and those that inherit its privileges, act for a tenant, or for any (NULL); with require_membership only while the user is a member of it. mode: direct, the role is trusted to name the tenant; signed, only a token counts; claims, what PostgREST says of the request. Called again, it sets the mode and whether that is required. Raises 42704 unknown role or tenant, 22023 unknown mode';

CREATE FUNCTION tenancy.revoke_access(role name, tenant text DEFAULT NULL) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'revoke_access_wrapper';
REVOKE EXECUTE ON FUNCTION tenancy.revoke_access(name, text) FROM PUBLIC;
COMMENT ON FUNCTION tenancy.revoke_access(name, text) IS
    'Takes back what grant_access() gave for that tenant, or for any (NULL); open sessions are stopped at their next statement. Raises 42704 unknown role or tenant';

CREATE FUNCTION tenancy.grant_admin(role name) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'grant_admin_wrapper';
REVOKE EXECUTE ON FUNCTION tenancy.grant_admin(name) FROM PUBLIC;
COMMENT ON FUNCTION tenancy.grant_admin(name) IS
    'Makes a role an administrator: lets it execute the functions that change things. It acts for no tenant by that. Raises 42704 unknown role';

CREATE FUNCTION tenancy.revoke_admin(role name) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'revoke_admin_wrapper';
REVOKE EXECUTE ON FUNCTION tenancy.revoke_admin(name) FROM PUBLIC;
COMMENT ON FUNCTION tenancy.revoke_admin(name) IS
    'Takes back what grant_admin() gave. Raises 42704 unknown role';
