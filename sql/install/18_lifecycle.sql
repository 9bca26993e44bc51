-- Lifecycle: code of the application's own that runs when something becomes of a tenant, a tenant's end, and taking
-- it elsewhere.

-- Handlers by name: a number would mean another function after a dump, and pg_upgrade takes no regprocedure.
CREATE TABLE tenancy.lifecycle_handlers (
    event         text COLLATE "C" NOT NULL
                  CHECK (event IN ('created', 'suspended', 'resumed', 'archived', 'erased', 'settings', 'plan')),
    handler       text COLLATE "C" NOT NULL CHECK (handler <> ''),
    registered_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (event, handler)
);
ALTER TABLE tenancy.lifecycle_handlers ENABLE ROW LEVEL SECURITY;
COMMENT ON TABLE tenancy.lifecycle_handlers IS
    'Functions that are called when something becomes of a tenant, as tenancy.on_lifecycle() registered them';
COMMENT ON COLUMN tenancy.lifecycle_handlers.handler IS
    'Schema and name, quoted where they must be; its arguments are (uuid, jsonb)';
SELECT pg_extension_config_dump('tenancy.lifecycle_handlers', '');

CREATE FUNCTION tenancy.on_lifecycle(event text, handler regprocedure) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'on_lifecycle_wrapper';
REVOKE EXECUTE ON FUNCTION tenancy.on_lifecycle(text, regprocedure) FROM PUBLIC;
COMMENT ON FUNCTION tenancy.on_lifecycle(text, regprocedure) IS
    'Has a function of (uuid, jsonb) called, as its owner and in the same transaction, whenever a tenant is created, suspended, resumed, archived or erased, or its settings or plan change. Raises 22023 unknown event, 42501 not the function''s owner, 42809 another kind of function, 42710 registered already';

CREATE FUNCTION tenancy.off_lifecycle(event text, handler regprocedure DEFAULT NULL) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'off_lifecycle_wrapper';
REVOKE EXECUTE ON FUNCTION tenancy.off_lifecycle(text, regprocedure) FROM PUBLIC;
COMMENT ON FUNCTION tenancy.off_lifecycle(text, regprocedure) IS
    'Takes back what on_lifecycle() did; without a handler, for all functions of the event, also those that exist no longer. Raises 22023 unknown event, 42704 not registered';

-- A plan is changed by plain DML. What is replicated has been decided elsewhere.
CREATE FUNCTION tenancy.plan_moved() RETURNS trigger
    LANGUAGE c SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'tenancy_plan_moved';
REVOKE EXECUTE ON FUNCTION tenancy.plan_moved() FROM PUBLIC;
COMMENT ON FUNCTION tenancy.plan_moved() IS
    'Trigger: writes a tenant''s change of plan to the event log, and calls the handlers of it';
CREATE TRIGGER plan_moved
    AFTER UPDATE OF plan ON tenancy.tenants
    FOR EACH ROW WHEN (OLD.plan IS DISTINCT FROM NEW.plan)
    EXECUTE FUNCTION tenancy.plan_moved();

-- What is left of entries of the audit log that were erased with their tenant: enough for the chain over them to hold.
-- Their table as in the log, so that a dump takes both to the same one.
CREATE TABLE tenancy.audit_erased (
    id         bigint NOT NULL PRIMARY KEY,
    txid       xid8 NOT NULL,
    tbl        regclass NOT NULL,
    table_name text COLLATE "C" NOT NULL,
    month      text COLLATE "C" NOT NULL,
    hash       bytea NOT NULL
);
ALTER TABLE tenancy.audit_erased ENABLE ROW LEVEL SECURITY;
COMMENT ON TABLE tenancy.audit_erased IS
    'Hashes of entries of tenancy.audit_log that were erased with their tenants, by which the chain is still verified';
SELECT pg_extension_config_dump('tenancy.audit_erased', '');
CREATE TRIGGER guard_audit_log BEFORE UPDATE OR DELETE OR TRUNCATE ON tenancy.audit_erased
    FOR EACH STATEMENT EXECUTE FUNCTION tenancy.guard_audit_log();
ALTER TABLE tenancy.audit_erased ENABLE ALWAYS TRIGGER guard_audit_log;

CREATE FUNCTION tenancy.erase_tenant(
    tenant text,
    confirm text DEFAULT NULL,
    dry_run boolean DEFAULT true,
    erase_audit boolean DEFAULT false
) RETURNS TABLE (tbl regclass, rows bigint)
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET quote_all_identifiers = off
    SET standard_conforming_strings = on
    AS 'MODULE_PATHNAME', 'erase_tenant_wrapper';
REVOKE EXECUTE ON FUNCTION tenancy.erase_tenant(text, text, boolean, boolean) FROM PUBLIC;
COMMENT ON FUNCTION tenancy.erase_tenant(text, text, boolean, boolean) IS
    'Removes every row of an archived tenant, those that refer to others first, and leaves its id and a certificate in tenancy.event_log; with erase_audit also what tenancy.audit_log tells of it. Returns how many rows of each table; a dry run counts them and changes nothing. Raises 42704 unknown tenant, 22023 confirm is not its key, 55000 not archived, published, tables with a tenant column that are not protected or classified, or rows that remain';

-- The settings that change how values are written are pinned: a digest is the same wherever it is made.
CREATE FUNCTION tenancy.tenant_digest(tenant text) RETURNS TABLE (tbl regclass, rows bigint, digest text)
    LANGUAGE c STABLE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET quote_all_identifiers = off
    SET standard_conforming_strings = on
    SET DateStyle = 'ISO, YMD'
    SET IntervalStyle = 'postgres'
    SET TimeZone = 'UTC'
    SET extra_float_digits = 1
    SET bytea_output = 'hex'
    SET xmlbinary = 'base64'
    SET lc_monetary = 'C'
    AS 'MODULE_PATHNAME', 'tenant_digest_wrapper';
REVOKE EXECUTE ON FUNCTION tenancy.tenant_digest(text) FROM PUBLIC;
COMMENT ON FUNCTION tenancy.tenant_digest(text) IS
    'How many rows each table has of a tenant, and the SHA-256 of what they hold besides their tenant and generated columns, whatever their order. Raises 42704 unknown tenant, 55000 erased or of another region, or tables with a tenant column that are not protected or classified';

-- All names are quoted: a newer version has more words that must be.
CREATE FUNCTION tenancy.export_tenant(tenant text) RETURNS SETOF text
    LANGUAGE c STABLE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET quote_all_identifiers = on
    SET standard_conforming_strings = on
    AS 'MODULE_PATHNAME', 'export_tenant_wrapper';
REVOKE EXECUTE ON FUNCTION tenancy.export_tenant(text) FROM PUBLIC;
COMMENT ON FUNCTION tenancy.export_tenant(text) IS
    'A script that psql runs in this database, and that writes another one: that one makes the tenant with all its rows in another database, or under another id and key. Errors as for tenant_digest()';

CREATE FUNCTION tenancy.clone_tenant(tenant text, new_key text, id uuid DEFAULT NULL, name text DEFAULT NULL) RETURNS uuid
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET quote_all_identifiers = off
    SET standard_conforming_strings = on
    AS 'MODULE_PATHNAME', 'clone_tenant_wrapper';
REVOKE EXECUTE ON FUNCTION tenancy.clone_tenant(text, text, uuid, text) FROM PUBLIC;
COMMENT ON FUNCTION tenancy.clone_tenant(text, text, uuid, text) IS
    'Makes a tenant with copies of another one''s rows, members, numbers and quotas, and with its plan, region and settings; returns its id. Raises 42704 unknown tenant, 22023 malformed key, or one that a tenant column can''t hold, 42710 id or key taken, 55000 erased or of another region, tables with a tenant column that are not protected or classified, or rows with a key that the tenant is no part of';
