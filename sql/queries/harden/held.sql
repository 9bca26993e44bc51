-- Privileges that the roles have, themselves, as members, or as everybody has, and should not.
, routine(kind, oid) AS (
    SELECT CASE WHEN f.proname ~ '^(lo_.*|loread|lowrite)$' THEN 'large objects'
                -- Not those of the server as a whole: they tell of nobody, and change from version to version.
                WHEN f.proname ~ '^pg_stat_get_'
                     AND f.proname !~ '^pg_stat_get_(archiver|bgwriter|buf|checkpoint|recovery|slru|snapshot|wal$)' THEN 'statistics'
                WHEN f.proname ~ '^pg_(database|tablespace|relation|total_relation|table|indexes)_size$' THEN 'sizes'
                WHEN f.proname ~ '^pg_(try_)?advisory_lock(_shared)?$' THEN 'locks'
                WHEN f.proname = 'currtid2' THEN 'rows'
                WHEN f.proname IN ('pg_terminate_backend', 'pg_cancel_backend', 'pg_lock_status', 'pg_blocking_pids',
                                   'pg_safe_snapshot_blocking_pids', 'pg_isolation_test_session_is_blocked',
                                   'pg_prepared_xact', 'pg_notification_queue_usage') THEN 'sessions' END,
           f.oid
    FROM pg_proc AS f
    WHERE f.pronamespace = 'pg_catalog'::regnamespace
  UNION ALL
    -- Extensions that look under tables and into sessions.
    SELECT 'statistics', d.objid
    FROM pg_depend AS d
    JOIN pg_extension AS e ON e.oid = d.refobjid
    WHERE d.refclassid = 'pg_extension'::regclass AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e'
      AND e.extname IN ('pg_stat_statements', 'pgrowlocks', 'pgstattuple', 'pg_buffercache', 'pg_freespacemap',
                        'pg_visibility', 'pageinspect', 'pg_walinspect', 'old_snapshot', 'adminpack')
  UNION ALL
    -- The extension's own that were not meant for everybody when it was made.
    SELECT 'administration', f.oid
    FROM pg_proc AS f
    JOIN pg_init_privs AS i ON i.classoid = 'pg_proc'::regclass AND i.objoid = f.oid
    WHERE f.pronamespace = 'tenancy'::regnamespace
      AND NOT EXISTS (SELECT FROM aclexplode(i.initprivs) AS initial WHERE initial.grantee = 0)
), securable(class, kind, name, owner, acl, privileges) AS (
    SELECT 'DATABASE', 'database', quote_ident(d.datname), d.datdba, coalesce(d.datacl, acldefault('d', d.datdba)),
           ARRAY['CREATE', 'TEMPORARY']
    FROM pg_database AS d
    WHERE d.datname = current_database()
  UNION ALL
    SELECT 'SCHEMA', 'schemas', quote_ident(n.nspname), n.nspowner, n.nspacl,
           ARRAY['CREATE'] || CASE WHEN n.nspname = 'pg_toast' THEN ARRAY['USAGE'] END
    FROM pg_namespace AS n
  UNION ALL
    SELECT 'FOREIGN DATA WRAPPER', 'foreign', quote_ident(w.fdwname), w.fdwowner, w.fdwacl, ARRAY['USAGE']
    FROM pg_foreign_data_wrapper AS w
  UNION ALL
    SELECT 'FOREIGN SERVER', 'foreign', quote_ident(s.srvname), s.srvowner, s.srvacl, ARRAY['USAGE']
    FROM pg_foreign_server AS s
  UNION ALL
    SELECT 'PARAMETER', 'parameters', p.parname, 10::oid, p.paracl, ARRAY['SET', 'ALTER SYSTEM']
    FROM pg_parameter_acl AS p
  UNION ALL
    SELECT 'TABLE', 'tables', format('%I.%I', n.nspname, c.relname), c.relowner, c.relacl,
           ARRAY['TRUNCATE', 'REFERENCES', 'TRIGGER', 'MAINTAIN']
           || CASE WHEN n.nspname = 'tenancy' THEN ARRAY['INSERT', 'UPDATE', 'DELETE'] END
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p')
      AND (n.nspname = 'tenancy'
           OR c.oid IN (SELECT p.relation FROM tenancy.protection AS p WHERE p.tenant_column IS NOT NULL))
  UNION ALL
    -- Values of rows, and passwords: in the table's own list or a column's.
    SELECT 'TABLE', 'tables', format('pg_catalog.%I', c.relname), c.relowner,
           c.relacl || (SELECT array_agg(item) FROM pg_attribute AS a, unnest(a.attacl) AS item WHERE a.attrelid = c.oid),
           ARRAY['SELECT']
    FROM pg_class AS c
    WHERE c.relnamespace = 'pg_catalog'::regnamespace
      AND c.relname IN ('pg_statistic', 'pg_statistic_ext_data', 'pg_largeobject', 'pg_authid', 'pg_shadow',
                        'pg_user_mapping')
  UNION ALL
    SELECT 'FUNCTION', r.kind, format('%I.%I(%s)', n.nspname, f.proname, oidvectortypes(f.proargtypes)),
           f.proowner, coalesce(f.proacl, acldefault('f', f.proowner)), ARRAY['EXECUTE']
    FROM routine AS r
    JOIN pg_proc AS f ON f.oid = r.oid
    JOIN pg_namespace AS n ON n.oid = f.pronamespace
    WHERE r.kind IS NOT NULL AND f.prokind = 'f'
), held(role, class, kind, privilege, name, owner, grantor, grantee) AS (
    SELECT h.role, s.class, s.kind, x.privilege_type, s.name, s.owner, x.grantor, h.ident
    FROM securable AS s
    CROSS JOIN LATERAL aclexplode(s.acl) AS x
    JOIN holder AS h ON h.grantee = x.grantee
    WHERE x.privilege_type = ANY (s.privileges) AND x.grantee <> s.owner
  UNION ALL
    SELECT h.role, 'TABLE', 'tables', format('REFERENCES (%I)', a.attname), format('%I.%I', n.nspname, c.relname),
           c.relowner, x.grantor, h.ident
    FROM pg_attribute AS a
    JOIN pg_class AS c ON c.oid = a.attrelid
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    CROSS JOIN LATERAL aclexplode(a.attacl) AS x
    JOIN holder AS h ON h.grantee = x.grantee
    WHERE a.attacl IS NOT NULL AND x.privilege_type = 'REFERENCES' AND x.grantee <> c.relowner
      AND c.oid IN (SELECT p.relation FROM tenancy.protection AS p WHERE p.tenant_column IS NOT NULL)
)
-- What somebody else than the owner passed on goes with his right to do so.
SELECT held.role, held.class, held.kind, held.privilege, held.name,
       CASE WHEN held.grantor = held.owner THEN held.grantee ELSE quote_ident(pg_get_userbyid(held.grantor)) END,
       held.grantor <> held.owner
FROM held
GROUP BY 1, 2, 3, 4, 5, 6, 7
ORDER BY held.role, array_position(ARRAY['DATABASE', 'SCHEMA', 'FOREIGN DATA WRAPPER', 'FOREIGN SERVER', 'PARAMETER',
                                         'TABLE', 'FUNCTION'], held.class),
         held.kind, 6, held.privilege, held.name
