-- What is done for each tenant, and whether the extension is well.

-- For everybody: who does not watch the server sees what is done for the tenant in force alone.
CREATE FUNCTION tenancy.tenant_stats()
    RETURNS TABLE (tenant_id uuid, tenant text, transactions bigint, rolled_back bigint, statements bigint, rows bigint,
                   exec_time double precision, errors bigint, refused_writes bigint, quota_refusals bigint,
                   last_seen timestamptz, stats_since timestamptz)
    LANGUAGE c VOLATILE PARALLEL RESTRICTED ROWS 100
    AS 'MODULE_PATHNAME', 'tenant_stats_wrapper';
COMMENT ON FUNCTION tenancy.tenant_stats() IS
    'What tenancy.stat_tenants shows. Raises 55000 without shared_preload_libraries, 42501 a tenant that may not be acted for';

CREATE VIEW tenancy.stat_tenants WITH (security_invoker, security_barrier) AS
SELECT s.tenant_id, s.tenant, s.transactions, s.rolled_back, s.statements, s.rows, s.exec_time, s.errors, s.refused_writes,
       s.quota_refusals, s.last_seen, s.stats_since
FROM tenancy.tenant_stats() AS s;
GRANT SELECT ON tenancy.stat_tenants TO PUBLIC;
COMMENT ON VIEW tenancy.stat_tenants IS
    'What was done for each tenant of this database since the server was started: superusers and members of pg_monitor see all tenants, a role sees the tenant it acts for';
COMMENT ON COLUMN tenancy.stat_tenants.tenant IS 'Its key; NULL when it is not registered any more';
COMMENT ON COLUMN tenancy.stat_tenants.transactions IS 'Transactions that used it, rolled back or not; a prepared one when it was prepared';
COMMENT ON COLUMN tenancy.stat_tenants.rolled_back IS 'Of these, those that were rolled back';
COMMENT ON COLUMN tenancy.stat_tenants.statements IS 'Statements that clients sent, from the one on that used it first in its transaction, failed ones included once they ran; none that begins or ends transactions, and no SET or SHOW';
COMMENT ON COLUMN tenancy.stat_tenants.rows IS 'Rows that they returned or wrote';
COMMENT ON COLUMN tenancy.stat_tenants.exec_time IS 'How long they ran, in milliseconds, without parsing, planning and commit';
COMMENT ON COLUMN tenancy.stat_tenants.errors IS 'Errors that reached the client in its transactions, those of commits included';
COMMENT ON COLUMN tenancy.stat_tenants.refused_writes IS 'Writes, also within functions, that ran into insufficient_privilege (42501), such as those of rows of other tenants';
COMMENT ON COLUMN tenancy.stat_tenants.quota_refusals IS 'How often a quota, a rate or a number of sessions refused it something';
COMMENT ON COLUMN tenancy.stat_tenants.last_seen IS 'When it last used the server: the end of a transaction, or a refusal';
COMMENT ON COLUMN tenancy.stat_tenants.stats_since IS 'Since when all this is counted';

CREATE FUNCTION tenancy.reset_stats(tenant text DEFAULT NULL) RETURNS void
    LANGUAGE c VOLATILE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'reset_stats_wrapper';
REVOKE EXECUTE ON FUNCTION tenancy.reset_stats(text) FROM PUBLIC;
COMMENT ON FUNCTION tenancy.reset_stats(text) IS
    'Has tenancy.stat_tenants begin anew, for one tenant or all of this database (NULL), and gives their room back. Raises 42704 unknown tenant, 22023 malformed, 55000 without shared_preload_libraries';

CREATE FUNCTION tenancy.stats_tracking() RETURNS TABLE (slots bigint, used bigint, evicted bigint)
    LANGUAGE c VOLATILE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'stats_tracking_wrapper';
REVOKE EXECUTE ON FUNCTION tenancy.stats_tracking() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenancy.stats_tracking() TO pg_monitor;
COMMENT ON FUNCTION tenancy.stats_tracking() IS
    'How the memory for tenancy.stat_tenants is used, for the whole server since it was started: slots there are and that are used, and tenants whose statistics made room for others. Raises 55000 without shared_preload_libraries';

CREATE FUNCTION tenancy.health() RETURNS TABLE ("check" text, ok boolean, detail text)
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET jit = off
    AS 'MODULE_PATHNAME', 'health_wrapper';
REVOKE EXECUTE ON FUNCTION tenancy.health() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenancy.health() TO pg_monitor;
COMMENT ON FUNCTION tenancy.health() IS
    'Whether the extension is well in this database, for monitoring: library, server, background workers, shared memory, protection, guards, audit log, token keys, replication';
