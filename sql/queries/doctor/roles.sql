-- Roles that act for tenants, and what else they are.
, named AS (
    SELECT r.oid, r.rolname, quote_ident(r.rolname) AS ident, r.rolsuper, r.rolbypassrls, r.rolreplication,
           r.rolcreaterole,
           EXISTS (SELECT FROM tenancy.access AS a WHERE a.role = r.oid) AS direct
    FROM pg_roles AS r
    WHERE r.oid IN (SELECT app.role FROM app)
), stronger(oid, ident, what) AS (
    SELECT r.oid, quote_ident(r.rolname),
           CASE WHEN r.rolsuper THEN 'is a superuser'
                WHEN r.rolbypassrls THEN 'bypasses row security'
                -- Row security holds for tables: not for their statistics, nor for the long values stored beside them.
                WHEN r.rolname = 'pg_read_all_data' THEN 'reads values of all rows in the catalogs'
                ELSE 'reads or writes the server''s files' END
    FROM pg_roles AS r
    WHERE r.rolsuper OR r.rolbypassrls
       OR r.rolname IN ('pg_read_all_data', 'pg_read_server_files', 'pg_write_server_files', 'pg_execute_server_program')
), owner AS (
    SELECT p.relowner AS oid, count(*) AS tables
    FROM protected AS p
    WHERE $1::oid IS NULL OR p.relnamespace = $1
    GROUP BY p.relowner
), revoke AS (
    SELECT e.member, e.granted,
           format('REVOKE %I FROM %I', granted.rolname, member.rolname)
           || coalesce(format(' GRANTED BY %I', grantor.rolname), '') || ' CASCADE' AS fix
    FROM edge AS e
    JOIN pg_roles AS granted ON granted.oid = e.granted AND granted.rolname <> 'pg_database_owner'
    JOIN pg_roles AS member ON member.oid = e.member
    LEFT JOIN pg_roles AS grantor ON grantor.oid = e.grantor
)
-- A superuser needs no access; whoever has some acts for tenants, and is to be no superuser. The first
-- superuser can't be made less, and nobody wants to lose his own rights half way through the fixes.
SELECT 'ROLE_BYPASSRLS', n.ident,
       CASE WHEN n.rolsuper THEN 'is a superuser' ELSE 'has BYPASSRLS' END,
       CASE WHEN n.rolsuper AND (n.oid = 10 OR n.rolname = session_user) AND n.direct
            THEN (SELECT string_agg(format('SELECT tenancy.revoke_access(%L, %L)', n.rolname, a.tenant_id), '; ')
                  FROM tenancy.access AS a WHERE a.role = n.oid)
            WHEN n.rolsuper AND NOT n.direct
            THEN (SELECT string_agg(revoke.fix, '; ') FROM revoke
                  WHERE revoke.member = n.oid AND revoke.granted IN (SELECT app.role FROM app))
            ELSE format('ALTER ROLE %s%s%s', n.ident, CASE WHEN n.rolsuper THEN ' NOSUPERUSER' END,
                        CASE WHEN n.rolbypassrls THEN ' NOBYPASSRLS' END) END,
       NULL::text
FROM named AS n
WHERE n.rolsuper OR n.rolbypassrls
UNION ALL
SELECT 'ROLE_CAN_BYPASS', n.ident, format('%s, which %s', s.ident, s.what), revoke.fix, NULL
FROM named AS n
JOIN reach ON reach.role = n.oid
JOIN revoke ON revoke.member = reach.target
JOIN stronger AS s ON s.oid = revoke.granted
WHERE NOT n.rolsuper
UNION ALL
-- SET ROLE leads to a role that proves less, and a grant that is inherited for one tenant goes before what is said of any.
SELECT 'SIGNED_ROLE_REACHES_DIRECT', n.ident, quote_ident(other.rolname), revoke.fix, NULL
FROM named AS n
JOIN reach ON reach.role = n.oid
JOIN revoke ON revoke.member = reach.target
JOIN pg_roles AS other ON other.oid = revoke.granted
WHERE NOT n.rolsuper
  AND EXISTS (SELECT FROM tenancy.access AS own
              JOIN tenancy.access AS theirs ON theirs.role = revoke.granted AND theirs.mode <> 'signed'
              WHERE own.role = n.oid AND own.mode = 'signed'
                AND (own.tenant_id IS NULL OR theirs.tenant_id IS NULL OR own.tenant_id = theirs.tenant_id))
UNION ALL
-- After a restore, for instance: a dump has no keys.
SELECT 'JWT_KEY_MISSING', 'tenancy.jwt_keys', NULL, NULL, NULL
WHERE $1::oid IS NULL
  AND EXISTS (SELECT FROM tenancy.access AS a JOIN pg_roles AS r ON r.oid = a.role WHERE a.mode = 'signed')
  AND NOT EXISTS (SELECT FROM tenancy.jwt_keys AS k WHERE k.not_after IS NULL OR k.not_after > now())
UNION ALL
-- No fix: conditions, expressions and triggers that its owner has given the table, also until the fix was run, would
-- run with the next one's rights.
SELECT 'ROLE_OWNS_TABLES', p.name, h.ident, NULL, NULL
FROM protected AS p
JOIN holder AS h ON h.role = p.relowner
WHERE p.relowner IN (SELECT app.role FROM app) AND ($1::oid IS NULL OR p.relnamespace = $1)
UNION ALL
SELECT 'ROLE_OWNS_TABLES', n.ident, format('%I', pg_get_userbyid(o.oid)), revoke.fix, NULL
FROM named AS n
JOIN reach ON reach.role = n.oid
JOIN revoke ON revoke.member = reach.target
JOIN owner AS o ON o.oid = revoke.granted
WHERE NOT n.rolsuper AND o.oid NOT IN (SELECT app.role FROM app)
UNION ALL
SELECT 'ROLE_REPLICATION', n.ident, NULL, format('ALTER ROLE %s NOREPLICATION', n.ident), NULL
FROM named AS n
WHERE n.rolreplication
UNION ALL
SELECT 'ROLE_CREATEROLE', n.ident, NULL, format('ALTER ROLE %s NOCREATEROLE', n.ident), NULL
FROM named AS n
WHERE n.rolcreaterole
UNION ALL
SELECT 'ROLE_SETTING', n.ident, chosen.name,
       CASE WHEN chosen.harmless THEN NULL
            ELSE format('ALTER ROLE %s%s RESET %s', n.ident, ' IN DATABASE ' || quote_ident(d.datname), chosen.name) END,
       CASE WHEN chosen.harmless THEN 'info' END
FROM named AS n
JOIN pg_db_role_setting AS s ON s.setrole = n.oid
LEFT JOIN pg_database AS d ON d.oid = s.setdatabase
CROSS JOIN LATERAL (
    SELECT lower(split_part(setting, '=', 1)) AS name, substr(setting, strpos(setting, '=') + 1) AS value
    FROM unnest(s.setconfig) AS setting
) AS set
CROSS JOIN LATERAL (
    SELECT set.name,
           -- Somebody may have meant it: a path through schemas where tenants create nothing, a job.
           set.name = 'tenancy.allow_switch'
           OR set.name = 'search_path' AND set.value !~ '(^|[ ,"])pg_(temp|catalog)'
              AND NOT EXISTS (
                  SELECT FROM pg_namespace AS schema
                  CROSS JOIN LATERAL aclexplode(coalesce(schema.nspacl, acldefault('n', schema.nspowner))) AS x
                  JOIN holder AS h ON h.role = x.grantee
                  WHERE x.privilege_type = 'CREATE'
                    AND quote_ident(schema.nspname) = ANY (regexp_split_to_array(set.value, '\s*,\s*'))) AS harmless
) AS chosen
WHERE $1::oid IS NULL
  AND (s.setdatabase = 0 OR d.datname = current_database())
  AND (set.name IN ('search_path', 'session_replication_role', 'standard_conforming_strings',
                    'quote_all_identifiers', 'allow_system_table_mods')
       OR set.name = 'row_security' AND set.value NOT IN ('on', 'true', 'yes', '1')
       OR set.name = 'tenancy.allow_switch' AND set.value NOT IN ('off', 'false', 'no', '0'))
UNION ALL
-- While it owns something it can't be hardened.
SELECT 'ROLE_NOT_HARDENED', n.ident, NULL,
       CASE WHEN NOT EXISTS (SELECT FROM pg_shdepend AS o
                             JOIN pg_database AS d ON d.datname = current_database()
                             WHERE o.refclassid = 'pg_authid'::regclass AND o.refobjid = n.oid AND o.deptype = 'o'
                               AND o.dbid IN (0, d.oid))
            THEN format('SELECT tenancy.harden_role(%L, %L)', n.rolname, 'standard') END,
       NULL
FROM named AS n
WHERE $1::oid IS NULL AND n.direct AND NOT n.rolsuper AND n.rolname <> session_user
  AND NOT EXISTS (SELECT FROM pg_db_role_setting AS s
                  CROSS JOIN LATERAL unnest(s.setconfig) AS setting
                  WHERE s.setrole = n.oid AND s.setdatabase = 0 AND setting LIKE 'tenancy.profile=%')
UNION ALL
SELECT DISTINCT 'ACCESS_ROLE_MISSING', 'tenancy.access', NULL,
       'DELETE FROM tenancy.access AS a WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles AS r '
       'WHERE r.oid OPERATOR(pg_catalog.=) a.role)', NULL
FROM tenancy.access AS a
WHERE NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.oid = a.role)
