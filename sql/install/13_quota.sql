-- Quotas: resources, limits, which tables count for them, and the slots in which usage is kept.

CREATE TABLE tenancy.resources (
    id          integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text COLLATE "C" NOT NULL UNIQUE
                CHECK (char_length(name) BETWEEN 1 AND 255 AND name = btrim(name) AND name !~ '[[:cntrl:]]'),
    kind        text NOT NULL CHECK (kind IN ('rows', 'bytes', 'counter', 'rate', 'sessions')),
    description text,
    created_at  timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE tenancy.resources IS 'What is limited per tenant';
COMMENT ON COLUMN tenancy.resources.kind IS
    'rows or bytes of the tables attached to it; counter: what tenancy.consume() takes; rate: the same, so many per interval; sessions: those that act for the tenant at a time';

CREATE TABLE tenancy.quotas (
    tenant_id   uuid NOT NULL REFERENCES tenancy.tenants (id) ON DELETE CASCADE,
    resource_id integer NOT NULL REFERENCES tenancy.resources (id) ON DELETE CASCADE,
    max_amount  bigint CHECK (max_amount >= 0),
    mode        text NOT NULL DEFAULT 'enforce' CHECK (mode IN ('enforce', 'track')),
    warn_at     real CHECK (warn_at > 0 AND warn_at <= 1),
    per         interval CHECK (per > interval '0' AND per <= interval '366 days'),
    set_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, resource_id)
);
CREATE INDEX quotas_resource_id_idx ON tenancy.quotas (resource_id);
COMMENT ON TABLE tenancy.quotas IS 'Tenants'' own limits, which win over their plan''s; a NULL max_amount means unlimited';
COMMENT ON COLUMN tenancy.quotas.max_amount IS 'How much there may be; NULL means unlimited';
COMMENT ON COLUMN tenancy.quotas.mode IS 'enforce: more is refused; track: it is only counted';
COMMENT ON COLUMN tenancy.quotas.warn_at IS 'At which part of the limit to warn; NULL means not at all';
COMMENT ON COLUMN tenancy.quotas.per IS 'The interval of a rate; NULL for other kinds';

CREATE TABLE tenancy.plan_quotas (
    plan        text COLLATE "C" NOT NULL REFERENCES tenancy.plans (name) ON DELETE CASCADE,
    resource_id integer NOT NULL REFERENCES tenancy.resources (id) ON DELETE CASCADE,
    max_amount  bigint CHECK (max_amount >= 0),
    mode        text NOT NULL DEFAULT 'enforce' CHECK (mode IN ('enforce', 'track')),
    warn_at     real CHECK (warn_at > 0 AND warn_at <= 1),
    per         interval CHECK (per > interval '0' AND per <= interval '366 days'),
    set_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (plan, resource_id)
);
CREATE INDEX plan_quotas_resource_id_idx ON tenancy.plan_quotas (resource_id);
COMMENT ON TABLE tenancy.plan_quotas IS 'Limits of every tenant on a plan that has none of its own';
COMMENT ON COLUMN tenancy.plan_quotas.max_amount IS 'How much there may be; NULL means unlimited';
COMMENT ON COLUMN tenancy.plan_quotas.mode IS 'enforce: more is refused; track: it is only counted';
COMMENT ON COLUMN tenancy.plan_quotas.warn_at IS
    'At which part of the limit to warn; NULL means not at all';
COMMENT ON COLUMN tenancy.plan_quotas.per IS 'The interval of a rate; NULL for other kinds';

CREATE TABLE tenancy.quota_tables (
    relation      regclass NOT NULL,
    resource_id   integer NOT NULL REFERENCES tenancy.resources (id) ON DELETE CASCADE,
    tenant_column name NOT NULL,
    PRIMARY KEY (relation, resource_id)
);
CREATE INDEX quota_tables_resource_id_idx ON tenancy.quota_tables (resource_id);
COMMENT ON TABLE tenancy.quota_tables IS
    'Tables, partitions included, whose rows count for a resource, as tenancy.attach_quota() recorded them';

-- The library reads and writes the columns by number, and those from `used` to `taken_before` in place: the fixed-length
-- ones come first, in this order. Room on the page keeps updates from touching the index.
CREATE TABLE tenancy.quota_slots (
    tenant_id    uuid NOT NULL REFERENCES tenancy.tenants (id) ON DELETE CASCADE,
    slot         bigint NOT NULL,
    used         bigint NOT NULL,
    taken        bigint NOT NULL,
    hour         timestamptz NOT NULL,
    used_before  bigint NOT NULL,
    taken_before bigint NOT NULL,
    resource_id  integer NOT NULL REFERENCES tenancy.resources (id) ON DELETE CASCADE,
    warned       boolean NOT NULL,
    share        bigint,
    PRIMARY KEY (tenant_id, resource_id, slot)
) WITH (fillfactor = 25, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
COMMENT ON TABLE tenancy.quota_slots IS
    'Usage, over several rows for a tenant and resource that many sessions write for: its sum counts. Written by the library alone';
COMMENT ON COLUMN tenancy.quota_slots.used IS 'What was taken from this slot, less what was given back to it';
COMMENT ON COLUMN tenancy.quota_slots.taken IS 'All that was ever taken from it';
COMMENT ON COLUMN tenancy.quota_slots.hour IS 'When the hour began that it was last changed in';
COMMENT ON COLUMN tenancy.quota_slots.used_before IS 'What used was then';
COMMENT ON COLUMN tenancy.quota_slots.taken_before IS 'What taken was then';
COMMENT ON COLUMN tenancy.quota_slots.share IS
    'How much may be taken from it: over all slots the limit, or what is used before a warning is due; NULL means unlimited';
COMMENT ON COLUMN tenancy.quota_slots.warned IS
    'Whether the warning was given that is due at a part of the limit';

-- Without foreign keys: each would lock the tenant's row.
CREATE TABLE tenancy.consumptions (
    tenant_id       uuid NOT NULL,
    resource_id     integer NOT NULL,
    idempotency_key text COLLATE "C" NOT NULL,
    amount          bigint NOT NULL,
    at              timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, resource_id, idempotency_key)
);
CREATE INDEX consumptions_at_idx ON tenancy.consumptions (tenant_id, resource_id, at);
ALTER TABLE tenancy.consumptions ENABLE ROW LEVEL SECURITY;
COMMENT ON TABLE tenancy.consumptions IS
    'Idempotency keys of tenancy.consume(), kept for as long as tenancy.keep_idempotency_keys says';

-- Without foreign keys: what is billed must not go with the tenant.
CREATE TABLE tenancy.usage_history (
    tenant_id   uuid NOT NULL,
    resource_id integer NOT NULL,
    resource    text COLLATE "C" NOT NULL,
    hour        timestamptz NOT NULL,
    used        bigint NOT NULL,
    peak        bigint NOT NULL,
    added       bigint NOT NULL,
    removed     bigint NOT NULL,
    reading     bigint NOT NULL,
    PRIMARY KEY (tenant_id, resource_id, hour)
);
CREATE INDEX usage_history_hour_idx ON tenancy.usage_history (hour);
COMMENT ON TABLE tenancy.usage_history IS
    'What tenants used of resources by the hour, as tenancy.meter_usage() writes it down: a role sees the tenant it acts for, bypassing roles see all. An hour in which nothing changed has no row';
COMMENT ON COLUMN tenancy.usage_history.resource IS 'Its name when it was written';
COMMENT ON COLUMN tenancy.usage_history.hour IS 'When the hour began';
COMMENT ON COLUMN tenancy.usage_history.used IS 'What was used when it ended; of the hour that runs, when it was written';
COMMENT ON COLUMN tenancy.usage_history.peak IS 'The most that a call of tenancy.meter_usage() found in it, its beginning and end included';
COMMENT ON COLUMN tenancy.usage_history.added IS 'What was taken in that hour';
COMMENT ON COLUMN tenancy.usage_history.removed IS 'What was given back in that hour';
COMMENT ON COLUMN tenancy.usage_history.reading IS 'All that was ever taken by its end';
SELECT pg_extension_config_dump('tenancy.consumptions', '');
SELECT pg_extension_config_dump('tenancy.usage_history', '');
SELECT pg_extension_config_dump('tenancy.resources', '');
SELECT pg_extension_config_dump('tenancy.resources_id_seq', '');
SELECT pg_extension_config_dump('tenancy.quotas', '');
SELECT pg_extension_config_dump('tenancy.plan_quotas', '');
SELECT pg_extension_config_dump('tenancy.quota_tables', '');
SELECT pg_extension_config_dump('tenancy.quota_slots', '');

-- What there is to limit every tenant may know; how far, and how much is used, each of itself.
ALTER TABLE tenancy.resources ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenancy.quotas ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenancy.plan_quotas ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenancy.quota_tables ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenancy.quota_slots ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenancy.usage_history ENABLE ROW LEVEL SECURITY;
CREATE POLICY any_tenant ON tenancy.resources FOR SELECT TO PUBLIC USING (tenancy.current_tenant() IS NOT NULL);
CREATE POLICY own_tenant ON tenancy.quotas FOR SELECT TO PUBLIC USING (tenant_id = tenancy.current_tenant());
CREATE POLICY own_plan ON tenancy.plan_quotas FOR SELECT TO PUBLIC
    USING (plan = (SELECT t.plan FROM tenancy.tenants AS t WHERE t.id = tenancy.current_tenant()));
CREATE POLICY own_tenant ON tenancy.quota_slots FOR SELECT TO PUBLIC USING (tenant_id = tenancy.current_tenant());
CREATE POLICY own_tenant ON tenancy.usage_history FOR SELECT TO PUBLIC USING (tenant_id = tenancy.current_tenant());
GRANT SELECT ON tenancy.resources, tenancy.quotas, tenancy.plan_quotas, tenancy.quota_slots, tenancy.usage_history TO PUBLIC;

-- For everybody: it tells of the tenant in force alone.
CREATE FUNCTION tenancy.usage_in_memory(tenant_id uuid, resource_id integer) RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL RESTRICTED
    AS 'MODULE_PATHNAME', 'usage_in_memory_wrapper';
COMMENT ON FUNCTION tenancy.usage_in_memory(uuid, integer) IS
    'What the tenant in force has spent of a rate, or how many sessions act for it; a bypassing role may ask for any tenant. NULL for other tenants and resources, and without shared memory';

CREATE VIEW tenancy.quota_usage WITH (security_invoker, security_barrier) AS
SELECT t.key AS tenant,
       r.name AS resource,
       u.used,
       q.max_amount AS max,
       q.per,
       q.mode,
       round(100.0 * u.used / nullif(q.max_amount, 0), 1) AS percent
FROM tenancy.tenants AS t
CROSS JOIN tenancy.resources AS r
LEFT JOIN (SELECT s.tenant_id, s.resource_id, sum(s.used) AS used
           FROM tenancy.quota_slots AS s GROUP BY s.tenant_id, s.resource_id) AS c
       ON c.tenant_id = t.id AND c.resource_id = r.id
LEFT JOIN LATERAL (
    SELECT l.max_amount, l.per, l.mode
    FROM (SELECT o.max_amount, o.per, o.mode, 0 AS rank
          FROM tenancy.quotas AS o WHERE o.tenant_id = t.id AND o.resource_id = r.id
          UNION ALL
          SELECT p.max_amount, p.per, p.mode, 1
          FROM tenancy.plan_quotas AS p WHERE p.plan = t.plan AND p.resource_id = r.id) AS l
    ORDER BY l.rank LIMIT 1) AS q ON true
CROSS JOIN LATERAL (
    SELECT coalesce(CASE WHEN r.kind IN ('rate', 'sessions') THEN tenancy.usage_in_memory(t.id, r.id) ELSE c.used END,
                    0)::bigint AS used) AS u
WHERE c.tenant_id IS NOT NULL OR q.mode IS NOT NULL;
GRANT SELECT ON tenancy.quota_usage TO PUBLIC;
COMMENT ON VIEW tenancy.quota_usage IS
    'What tenants use of resources, and how far they are limited; a role sees the tenant it acts for, bypassing roles see all';
COMMENT ON COLUMN tenancy.quota_usage.tenant IS 'Its key';
COMMENT ON COLUMN tenancy.quota_usage.max IS 'The limit that holds, its own or its plan''s; NULL means unlimited';
COMMENT ON COLUMN tenancy.quota_usage.per IS 'The interval of a rate; NULL for other kinds';
COMMENT ON COLUMN tenancy.quota_usage.mode IS 'enforce: more is refused; track: it is only counted; NULL without a limit';
COMMENT ON COLUMN tenancy.quota_usage.percent IS 'What is used, of the limit';

-- For everybody, since the owner of a table makes the trigger: on a table that is not attached it does nothing.
CREATE FUNCTION tenancy.count_rows() RETURNS trigger
    LANGUAGE c
    AS 'MODULE_PATHNAME', 'tenancy_count_rows';
COMMENT ON FUNCTION tenancy.count_rows() IS
    'Trigger: counts the rows that a statement wrote for the quotas that their table is attached to. Raises 53400 when a tenant''s limit is reached, 23503 for rows of an unregistered tenant';

CREATE FUNCTION tenancy.limits_changed() RETURNS trigger
    LANGUAGE c
    AS 'MODULE_PATHNAME', 'tenancy_limits_changed';
REVOKE EXECUTE ON FUNCTION tenancy.limits_changed() FROM PUBLIC;
COMMENT ON FUNCTION tenancy.limits_changed() IS
    'Trigger: has a limit that was set, changed or removed hold for what is counted already. Raises 22023 for a rate that is limited without an interval';
CREATE TRIGGER limits_changed
    AFTER INSERT OR UPDATE OR DELETE ON tenancy.quotas
    FOR EACH ROW EXECUTE FUNCTION tenancy.limits_changed();
CREATE TRIGGER limits_changed
    AFTER INSERT OR UPDATE OR DELETE ON tenancy.plan_quotas
    FOR EACH ROW EXECUTE FUNCTION tenancy.limits_changed();
CREATE TRIGGER limits_truncated
    AFTER TRUNCATE ON tenancy.quotas
    FOR EACH STATEMENT EXECUTE FUNCTION tenancy.limits_changed();
CREATE TRIGGER limits_truncated
    AFTER TRUNCATE ON tenancy.plan_quotas
    FOR EACH STATEMENT EXECUTE FUNCTION tenancy.limits_changed();
ALTER TABLE tenancy.quotas ENABLE ALWAYS TRIGGER limits_changed;
ALTER TABLE tenancy.plan_quotas ENABLE ALWAYS TRIGGER limits_changed;
ALTER TABLE tenancy.quotas ENABLE ALWAYS TRIGGER limits_truncated;
ALTER TABLE tenancy.plan_quotas ENABLE ALWAYS TRIGGER limits_truncated;

CREATE FUNCTION tenancy.resources_changed() RETURNS trigger
    LANGUAGE c
    AS 'MODULE_PATHNAME', 'tenancy_resources_changed';
REVOKE EXECUTE ON FUNCTION tenancy.resources_changed() FROM PUBLIC;
COMMENT ON FUNCTION tenancy.resources_changed() IS
    'Trigger: tells every session that resources or limits changed. Raises 22023 for what becomes a rate and is limited without an interval';
CREATE TRIGGER resources_changed
    AFTER INSERT OR UPDATE OR DELETE ON tenancy.resources
    FOR EACH ROW EXECUTE FUNCTION tenancy.resources_changed();
ALTER TABLE tenancy.resources ENABLE ALWAYS TRIGGER resources_changed;
CREATE TRIGGER limits_announced
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON tenancy.quotas
    FOR EACH STATEMENT EXECUTE FUNCTION tenancy.resources_changed();
CREATE TRIGGER limits_announced
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON tenancy.plan_quotas
    FOR EACH STATEMENT EXECUTE FUNCTION tenancy.resources_changed();
ALTER TABLE tenancy.quotas ENABLE ALWAYS TRIGGER limits_announced;
ALTER TABLE tenancy.plan_quotas ENABLE ALWAYS TRIGGER limits_announced;

CREATE FUNCTION tenancy.plan_changed() RETURNS trigger
    LANGUAGE c
    AS 'MODULE_PATHNAME', 'tenancy_plan_changed';
REVOKE EXECUTE ON FUNCTION tenancy.plan_changed() FROM PUBLIC;
COMMENT ON FUNCTION tenancy.plan_changed() IS
    'Trigger: has the limits of a tenant''s new plan hold for what is counted already';
CREATE TRIGGER plan_changed
    AFTER UPDATE OF plan ON tenancy.tenants
    FOR EACH ROW WHEN (OLD.plan IS DISTINCT FROM NEW.plan) EXECUTE FUNCTION tenancy.plan_changed();
ALTER TABLE tenancy.tenants ENABLE ALWAYS TRIGGER plan_changed;

CREATE FUNCTION tenancy.count_parts() RETURNS event_trigger
    LANGUAGE c VOLATILE
    SET search_path = pg_catalog, pg_temp
    SET quote_all_identifiers = off
    SET standard_conforming_strings = on
    SET jit = off
    AS 'MODULE_PATHNAME', 'tenancy_count_parts';
REVOKE EXECUTE ON FUNCTION tenancy.count_parts() FROM PUBLIC;
COMMENT ON FUNCTION tenancy.count_parts() IS
    'Event trigger: has partitions and children that come to a table count for the quotas that it is attached to';
-- After the guard, by its name: the parts are protected by then.
CREATE EVENT TRIGGER tenancy_quota_parts ON ddl_command_end
    WHEN TAG IN ('CREATE TABLE', 'ALTER TABLE', 'CREATE TABLE AS', 'SELECT INTO', 'CREATE SCHEMA', 'CREATE FOREIGN TABLE',
                 'ALTER FOREIGN TABLE', 'IMPORT FOREIGN SCHEMA')
    EXECUTE FUNCTION tenancy.count_parts();
ALTER EVENT TRIGGER tenancy_quota_parts ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER tenancy_quota_parts IS
    'Has what comes to a counted table count as well';

CREATE FUNCTION tenancy.create_resource(name text, kind text, description text DEFAULT NULL) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'create_resource_wrapper';
REVOKE EXECUTE ON FUNCTION tenancy.create_resource(text, text, text) FROM PUBLIC;
COMMENT ON FUNCTION tenancy.create_resource(text, text, text) IS
    'Makes something that can be limited per tenant, of a kind: rows or bytes (of the tables attached to it), counter (what is consumed and released), rate (what is consumed per interval), sessions (that act for the tenant at a time). Raises 22023 malformed name or unknown kind, 42710 name taken';

CREATE FUNCTION tenancy.set_quota(
    tenant text,
    resource text,
    max_amount bigint,
    per interval DEFAULT NULL,
    mode text DEFAULT 'enforce',
    warn_at real DEFAULT 0.8
) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'set_quota_wrapper';
REVOKE EXECUTE ON FUNCTION tenancy.set_quota(text, text, bigint, interval, text, real) FROM PUBLIC;
COMMENT ON FUNCTION tenancy.set_quota(text, text, bigint, interval, text, real) IS
    'Sets a tenant''s own limit (NULL: unlimited), for a rate per interval, kept (mode enforce) or only watched (track), with a warning at a part of it (warn_at; NULL: none). Raises 42704 unknown tenant or resource, 22023 for what can''t be a limit';

CREATE FUNCTION tenancy.set_plan_quota(
    plan text,
    resource text,
    max_amount bigint,
    per interval DEFAULT NULL,
    mode text DEFAULT 'enforce',
    warn_at real DEFAULT 0.8
) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'set_plan_quota_wrapper';
REVOKE EXECUTE ON FUNCTION tenancy.set_plan_quota(text, text, bigint, interval, text, real) FROM PUBLIC;
COMMENT ON FUNCTION tenancy.set_plan_quota(text, text, bigint, interval, text, real) IS
    'Sets the limit of every tenant on a plan that has none of its own; as set_quota(). Raises 42704 unknown plan or resource, 22023 for what can''t be a limit';

-- These run as the caller, who must own the table.
CREATE FUNCTION tenancy.attach_quota(tbl regclass, resource text) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET quote_all_identifiers = off
    SET standard_conforming_strings = on
    AS 'MODULE_PATHNAME', 'attach_quota_wrapper';
REVOKE EXECUTE ON FUNCTION tenancy.attach_quota(regclass, text) FROM PUBLIC;
COMMENT ON FUNCTION tenancy.attach_quota(regclass, text) IS
    'Has the rows of a protected table, its partitions and its inheritance children count for a resource of kind rows or bytes, those that are there included; writers wait meanwhile. Raises 42501 not the owner, 42704 unknown resource, 22023 a resource of another kind, 42710 attached already, 55000 not protected, or a part of a table that does not count or has less columns, 23503 rows of unregistered tenants';

CREATE FUNCTION tenancy.detach_quota(tbl regclass, resource text) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET quote_all_identifiers = off
    SET standard_conforming_strings = on
    AS 'MODULE_PATHNAME', 'detach_quota_wrapper';
REVOKE EXECUTE ON FUNCTION tenancy.detach_quota(regclass, text) FROM PUBLIC;
COMMENT ON FUNCTION tenancy.detach_quota(regclass, text) IS
    'Takes back what attach_quota() did. Raises 42501 not the owner, 42704 unknown resource, 55000 not attached or part of an attached table';

CREATE FUNCTION tenancy.recount(resource text DEFAULT NULL)
    RETURNS TABLE (tenant_id uuid, resource text, was bigint, now bigint)
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'recount_wrapper';
REVOKE EXECUTE ON FUNCTION tenancy.recount(text) FROM PUBLIC;
COMMENT ON FUNCTION tenancy.recount(text) IS
    'Counts the rows and bytes of a resource''s tables, or of all (NULL), while writers go on, and corrects the usage where it differs; returns what was recorded and what is there. Raises 42704 unknown resource, 22023 one that is not counted in tables';

CREATE FUNCTION tenancy.meter_usage() RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'meter_usage_wrapper';
REVOKE EXECUTE ON FUNCTION tenancy.meter_usage() FROM PUBLIC;
COMMENT ON FUNCTION tenancy.meter_usage() IS
    'Writes down in tenancy.usage_history what tenants used when the last hour ended and use now, and removes what is older than tenancy.keep_usage_history says. To be called once in every hour, or more often. Returns how many rows changed';

-- For everybody: they act for the tenant in force alone.
CREATE FUNCTION tenancy.check_quota(resource text, amount bigint DEFAULT 1) RETURNS boolean
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'check_quota_wrapper';
COMMENT ON FUNCTION tenancy.check_quota(text, bigint) IS
    'Whether the tenant could have that much more of a resource now; takes nothing. Raises 42501 no tenant, 42704 unknown resource, 22023 a negative amount, 55000 a rate or sessions without shared_preload_libraries';

CREATE FUNCTION tenancy.consume(resource text, amount bigint DEFAULT 1, idempotency_key text DEFAULT NULL) RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'consume_wrapper';
COMMENT ON FUNCTION tenancy.consume(text, bigint, text) IS
    'Takes an amount of a counter or a rate for the tenant, and returns what is left (NULL: unlimited). The same idempotency key takes nothing more of a counter. What is taken of a rate is taken whatever becomes of the transaction. Raises 53400 limit reached, 42501 no tenant, 42704 unknown resource, 22023 neither counter nor rate, a negative amount, a key used for another amount or with a rate, 25006 a counter in a read-only transaction, 55000 a rate without shared_preload_libraries';

CREATE FUNCTION tenancy.release(resource text, amount bigint DEFAULT 1) RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'release_wrapper';
COMMENT ON FUNCTION tenancy.release(text, bigint) IS
    'Gives an amount of a counter back for the tenant, and returns what is left (NULL: unlimited). Raises 22023 more than was taken, or of a rate, other errors as for consume()';

CREATE FUNCTION tenancy.rate_tracking()
    RETURNS TABLE (slots bigint, used bigint, evicted bigint, evicted_spent bigint)
    LANGUAGE c VOLATILE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'rate_tracking_wrapper';
REVOKE EXECUTE ON FUNCTION tenancy.rate_tracking() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenancy.rate_tracking() TO pg_monitor;
COMMENT ON FUNCTION tenancy.rate_tracking() IS
    'How the memory for rates is used, of the whole server since its start: slots; those in use; those that made room for another rate; of these, those whose rate was not full again yet, and so began anew. Raises 55000 without shared_preload_libraries';
