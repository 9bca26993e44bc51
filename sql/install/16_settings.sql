-- Settings: defaults, over them the plan's, over them the tenant's own.

-- One row at most.
CREATE TABLE tenancy.default_settings (
    is_only    boolean NOT NULL PRIMARY KEY DEFAULT true CHECK (is_only),
    settings   jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(settings) = 'object'),
    CONSTRAINT default_settings_are_few CHECK (octet_length(settings::text) <= 1048576)
);
COMMENT ON TABLE tenancy.default_settings IS 'Settings of every tenant, unless its plan or it itself has others';
SELECT pg_extension_config_dump('tenancy.default_settings', '');
ALTER TABLE tenancy.default_settings ENABLE ROW LEVEL SECURITY;

CREATE TRIGGER registry_changed
    AFTER INSERT OR UPDATE OR DELETE ON tenancy.default_settings
    FOR EACH ROW EXECUTE FUNCTION tenancy.registry_changed();
CREATE TRIGGER registry_changed_in_bulk
    AFTER TRUNCATE ON tenancy.default_settings
    FOR EACH STATEMENT EXECUTE FUNCTION tenancy.registry_changed();
ALTER TABLE tenancy.default_settings
    ENABLE ALWAYS TRIGGER registry_changed, ENABLE ALWAYS TRIGGER registry_changed_in_bulk;
CREATE TRIGGER registry_changed
    AFTER INSERT OR UPDATE OR DELETE ON tenancy.plans
    FOR EACH ROW EXECUTE FUNCTION tenancy.registry_changed();
CREATE TRIGGER registry_changed_in_bulk
    AFTER TRUNCATE ON tenancy.plans
    FOR EACH STATEMENT EXECUTE FUNCTION tenancy.registry_changed();
ALTER TABLE tenancy.plans ENABLE ALWAYS TRIGGER registry_changed, ENABLE ALWAYS TRIGGER registry_changed_in_bulk;

-- Where these are empty, nobody need be asked for settings of PostgreSQL's own.
CREATE INDEX tenants_with_postgres_idx ON tenancy.tenants (id) WHERE settings ? 'postgres';
CREATE INDEX plans_with_postgres_idx ON tenancy.plans (name) WHERE settings ? 'postgres';
CREATE INDEX default_settings_with_postgres_idx ON tenancy.default_settings (is_only) WHERE settings ? 'postgres';

CREATE FUNCTION tenancy.set_setting(path text, value jsonb, tenant text DEFAULT NULL, plan text DEFAULT NULL) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'set_setting_wrapper';
REVOKE EXECUTE ON FUNCTION tenancy.set_setting(text, jsonb, text, text) FROM PUBLIC;
COMMENT ON FUNCTION tenancy.set_setting(text, jsonb, text, text) IS
    'Sets a setting of a tenant, of a plan, or, without either, the default; a NULL value removes it. The path is dotted. Raises 22023 malformed path, or through a setting that is no object, or both tenant and plan, or a setting of PostgreSQL (postgres.work_mem) that is not allowed or has no such value, or more than 1048576 bytes on one level, 42704 unknown tenant or plan';

CREATE FUNCTION tenancy.setting(path text, fallback jsonb DEFAULT NULL) RETURNS jsonb
    LANGUAGE c STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'setting_wrapper';
COMMENT ON FUNCTION tenancy.setting(text, jsonb) IS
    'A setting of the tenant acted for, else of its plan, else the default, else the fallback; objects are merged. Raises 22023 malformed path, other errors as for current_tenant()';

CREATE FUNCTION tenancy.setting_text(path text, fallback text DEFAULT NULL) RETURNS text
    LANGUAGE c STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'setting_text_wrapper';
COMMENT ON FUNCTION tenancy.setting_text(text, text) IS
    'A setting as text, as ->> gives it; the fallback where it is null or not set. Errors as for setting()';

CREATE FUNCTION tenancy.setting_int(path text, fallback bigint DEFAULT NULL) RETURNS bigint
    LANGUAGE c STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'setting_int_wrapper';
COMMENT ON FUNCTION tenancy.setting_int(text, bigint) IS
    'A setting that is a whole number; the fallback where it is null or not set. Raises 22023 for another value, other errors as for setting()';

CREATE FUNCTION tenancy.setting_bool(path text, fallback boolean DEFAULT NULL) RETURNS boolean
    LANGUAGE c STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'setting_bool_wrapper';
COMMENT ON FUNCTION tenancy.setting_bool(text, boolean) IS
    'A setting that is true or false; the fallback where it is null or not set. Raises 22023 for another value, other errors as for setting()';

CREATE FUNCTION tenancy.feature(name text) RETURNS boolean
    LANGUAGE c STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'feature_wrapper';
COMMENT ON FUNCTION tenancy.feature(text) IS
    'Whether a feature is on: the setting features.<name>, false where it is not set. Errors as for setting_bool()';

CREATE FUNCTION tenancy.settings() RETURNS jsonb
    LANGUAGE c STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'settings_wrapper';
COMMENT ON FUNCTION tenancy.settings() IS
    'All settings of the tenant acted for, merged over those of its plan and the defaults; without a tenant the defaults. Errors as for current_tenant()';
