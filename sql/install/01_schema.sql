-- Names pass between SQL and the library as UTF-8.
DO $$
BEGIN
    IF pg_catalog.getdatabaseencoding() OPERATOR(pg_catalog.<>) 'UTF8' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'feature_not_supported',
            MESSAGE = 'pg_tenancy needs a database with encoding UTF8',
            HINT = 'Create the database with ENCODING ''UTF8''.';
    END IF;
END
$$;

-- Schema and own tables. CREATE SCHEMA without IF NOT EXISTS: a schema that somebody else made and
-- owns must not become the extension's.
CREATE SCHEMA tenancy;
GRANT USAGE ON SCHEMA tenancy TO PUBLIC;
COMMENT ON SCHEMA tenancy IS 'Row-level tenant isolation: context, policies, registry';

CREATE FUNCTION tenancy.is_tenant_key(key text, id uuid DEFAULT NULL) RETURNS boolean
    LANGUAGE c IMMUTABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'is_tenant_key_wrapper';
COMMENT ON FUNCTION tenancy.is_tenant_key(text, uuid) IS
    'Whether a tenant with that id can have that key: 1 to 255 characters, no control characters, no space at either end, and, where it reads as a UUID, the id itself; NULL for NULL';

-- The library reads tenants and access by attribute number: new columns come last.
CREATE TABLE tenancy.plans (
    name       text COLLATE "C" NOT NULL PRIMARY KEY CHECK (name <> ''),
    settings   jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(settings) = 'object'),
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT plans_settings_are_few CHECK (octet_length(settings::text) <= 1048576)
);
COMMENT ON TABLE tenancy.plans IS 'Named sets of settings that tenants subscribe to';

CREATE TABLE tenancy.tenants (
    id                uuid NOT NULL PRIMARY KEY DEFAULT gen_random_uuid(),
    key               text COLLATE "C" NOT NULL UNIQUE,
    name              text,
    status            text NOT NULL DEFAULT 'active'
                      CHECK (status IN ('active', 'suspended', 'archived', 'erased')),
    plan              text COLLATE "C" REFERENCES tenancy.plans (name),
    region            text CHECK (region <> ''),
    settings          jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(settings) = 'object'),
    created_at        timestamptz NOT NULL DEFAULT now(),
    status_changed_at timestamptz NOT NULL DEFAULT now(),
    parent            uuid,
    CONSTRAINT tenants_key_is_valid CHECK (tenancy.is_tenant_key(key, id)),
    CONSTRAINT tenants_settings_are_few CHECK (octet_length(settings::text) <= 1048576)
);
CREATE INDEX tenants_plan_idx ON tenancy.tenants (plan);
CREATE INDEX tenants_parent_idx ON tenancy.tenants (parent) WHERE parent IS NOT NULL;
COMMENT ON TABLE tenancy.tenants IS
    'Registered tenants; a role sees the tenant it acts for, bypassing roles see all';
COMMENT ON COLUMN tenancy.tenants.id IS 'What uuid tenant columns hold';
COMMENT ON COLUMN tenancy.tenants.key IS 'What text and integer tenant columns hold: the name other systems use';
COMMENT ON COLUMN tenancy.tenants.name IS 'What people call it; nothing depends on it';
COMMENT ON COLUMN tenancy.tenants.plan IS
    'The plan whose settings and limits it has, unless it has its own';
COMMENT ON COLUMN tenancy.tenants.settings IS 'Its own settings, which tenancy.set_setting() sets';
COMMENT ON COLUMN tenancy.tenants.status IS 'active, suspended, archived or erased; only an active tenant can be acted for';
COMMENT ON COLUMN tenancy.tenants.region IS 'Where the tenant''s data may be used (setting tenancy.region); NULL means everywhere';
COMMENT ON COLUMN tenancy.tenants.parent IS
    'The tenant that it is placed below, and which reads its rows in tables of kind tree; NULL means none';

CREATE TABLE tenancy.access (
    tenant_id  uuid REFERENCES tenancy.tenants (id) ON DELETE CASCADE,
    role       regrole NOT NULL,
    granted_at timestamptz NOT NULL DEFAULT now(),
    require_membership boolean NOT NULL DEFAULT false,
    mode       text NOT NULL DEFAULT 'direct' CHECK (mode IN ('direct', 'claims', 'signed')),
    UNIQUE NULLS NOT DISTINCT (tenant_id, role)
);
COMMENT ON TABLE tenancy.access IS 'Which database role may act for which tenant; a NULL tenant means any';
COMMENT ON COLUMN tenancy.access.tenant_id IS 'The tenant; NULL means any';
COMMENT ON COLUMN tenancy.access.require_membership IS 'Whether the user must be a member of the tenant';
COMMENT ON COLUMN tenancy.access.mode IS
    'What proves it: direct (the role is trusted to name the tenant), claims (what PostgREST says of the request) or signed (a token)';

CREATE TABLE tenancy.protection (
    relation      regclass NOT NULL PRIMARY KEY,
    kind          text NOT NULL CHECK (kind IN ('tenant', 'shared', 'append_only', 'tree', 'global')),
    tenant_column name,
    recorded_at   timestamptz NOT NULL DEFAULT now(),
    CHECK ((kind = 'global') = (tenant_column IS NULL))
);
COMMENT ON TABLE tenancy.protection IS
    'Tables as protected or classified; the view tenancy.protected_tables shows their state';

CREATE TABLE tenancy.event_log (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    event        text NOT NULL,
    tenant_id    uuid,
    object       text,
    role_name    name NOT NULL DEFAULT current_user,
    session_role name NOT NULL DEFAULT session_user,
    user_id      text,
    request_id   text,
    reason       text,
    detail       jsonb,
    txid         xid8 NOT NULL DEFAULT pg_current_xact_id()
);
CREATE INDEX event_log_tenant_id_at_idx ON tenancy.event_log (tenant_id, at);
CREATE INDEX event_log_event_at_idx ON tenancy.event_log (event, at);
COMMENT ON TABLE tenancy.event_log IS
    'Lifecycle, access, administration and protection: who changed what, when and why';
COMMENT ON COLUMN tenancy.event_log.event IS 'What happened, as tenant.suspended or access.granted';
COMMENT ON COLUMN tenancy.event_log.tenant_id IS
    'The tenant that it is about; NULL for what is of the whole database';
COMMENT ON COLUMN tenancy.event_log.object IS
    'What it is about: a role, a table, a user, the path of a setting, a resource';
COMMENT ON COLUMN tenancy.event_log.session_role IS 'The role that the session logged in as';
COMMENT ON COLUMN tenancy.event_log.reason IS
    'The reason that was given, as to tenancy.suspend_tenant() or tenancy.bypass()';
COMMENT ON COLUMN tenancy.event_log.detail IS 'What else there is to say of it';
COMMENT ON COLUMN tenancy.event_log.txid IS 'The transaction, as pg_current_xact_id() names it';
COMMENT ON COLUMN tenancy.event_log.role_name IS 'The role acted as (SET ROLE counts)';
COMMENT ON COLUMN tenancy.event_log.user_id IS 'The setting tenancy.user_id: as trustworthy as the application';
COMMENT ON COLUMN tenancy.event_log.request_id IS 'The setting tenancy.request_id: as trustworthy as the application';
-- Entries made while a dump is being restored must not take the numbers of those that the dump brings: numbering starts at
-- the microsecond of installation, which no older database has counted up to.
SELECT setval('tenancy.event_log_id_seq', (extract(epoch FROM clock_timestamp()) * 1000000)::bigint);

-- The rows belong to the user: pg_dump takes them along.
SELECT pg_extension_config_dump('tenancy.plans', '');
-- Parents before those below them, for dumps of INSERT commands: each of these is checked by itself.
SELECT pg_extension_config_dump('tenancy.tenants', $$ORDER BY CASE WHEN tenants.parent IS NOT NULL THEN (
    WITH RECURSIVE above(id) AS (
        SELECT tenants.parent
      UNION
        SELECT t.parent FROM tenancy.tenants AS t JOIN above ON t.id OPERATOR(pg_catalog.=) above.id WHERE t.parent IS NOT NULL)
    SELECT pg_catalog.count(*) FROM above) ELSE 0 END$$);
-- Roles are dumped by name; that of a role that was dropped would come back as somebody else's number.
SELECT pg_extension_config_dump('tenancy.access',
    'WHERE EXISTS (SELECT FROM pg_catalog.pg_roles AS r WHERE r.oid OPERATOR(pg_catalog.=) role)');
SELECT pg_extension_config_dump('tenancy.protection', '');
SELECT pg_extension_config_dump('tenancy.event_log', '');
SELECT pg_extension_config_dump('tenancy.event_log_id_seq', '');
