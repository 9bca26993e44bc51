-- Functions: those that run as somebody else, and those that promise what they may not keep.
, routine AS (
    SELECT f.oid, f.proowner, f.prosecdef, f.proleakproof, f.prorettype, s.ident AS schema,
           format('%s.%I(%s)', s.ident, f.proname, pg_get_function_identity_arguments(f.oid)) AS name,
           (SELECT substr(setting, length('search_path=') + 1)
            FROM unnest(f.proconfig) AS setting WHERE setting LIKE 'search\_path=%') AS path,
           EXISTS (SELECT FROM aclexplode(coalesce(f.proacl, acldefault('f', f.proowner))) AS x
                   JOIN holder AS h ON h.role = x.grantee
                   WHERE x.privilege_type = 'EXECUTE' AND x.grantee <> f.proowner) AS open
    FROM pg_proc AS f
    JOIN user_schema AS s ON s.oid = f.pronamespace
    WHERE (f.prosecdef OR f.proleakproof)
      AND ($1::oid IS NULL OR f.pronamespace = $1)
      AND f.oid NOT IN (SELECT m.object FROM member_of_extension AS m WHERE m.class = 'pg_proc'::regclass)
), searched AS (
    -- The path is recorded as it was written, or as the session had it; a name without quotes may be anything then.
    SELECT r.*, p.names[cardinality(p.names)] AS last,
           (SELECT string_agg(quote_ident(name), ', ' ORDER BY place) FROM unnest(p.names) WITH ORDINALITY AS u(name, place)
            WHERE name <> 'pg_temp') AS lasting,
           coalesce(r.path, '') ~ ('^(' || one.name || '(\s*,\s*' || one.name || ')*)?$') AS readable
    FROM routine AS r
    CROSS JOIN (VALUES ('("([^"]|"")*"|[[:alpha:]_][[:alnum:]_$]*)')) AS one(name)
    CROSS JOIN LATERAL (
        SELECT array_agg(found.name ORDER BY m.place) AS names
        FROM regexp_matches(r.path, '"((?:[^"]|"")*)"|([^\s",]+)', 'g') WITH ORDINALITY AS m(parts, place)
        CROSS JOIN LATERAL (SELECT coalesce(replace(m.parts[1], '""', '"'), lower(m.parts[2] COLLATE "C")) AS name) AS found
        WHERE found.name <> '') AS p
    WHERE r.prosecdef
)
SELECT 'SECDEF_BYPASS', r.name, quote_ident(pg_get_userbyid(r.proowner)),
       format('ALTER ROUTINE %s SECURITY INVOKER', r.name), NULL::text
FROM routine AS r
WHERE r.prosecdef AND r.open
  AND r.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
  AND r.proowner IN (SELECT b.role FROM bypasser AS b)
UNION ALL
-- Without pg_temp at its end a path is searched behind everybody's temporary tables.
SELECT 'SECDEF_SEARCH_PATH', s.name, NULL,
       CASE WHEN s.readable THEN
                format('ALTER ROUTINE %s SET search_path = %s, pg_temp', s.name, coalesce(s.lasting, 'pg_catalog, ' || s.schema))
            END,
       NULL
FROM searched AS s
WHERE (s.open OR s.prorettype = 'trigger'::regtype)
  AND coalesce(s.last, '') <> 'pg_temp' AND NOT (s.path IS NOT NULL AND s.readable AND s.last IS NULL)
UNION ALL
SELECT 'LEAKPROOF_FN', r.name, NULL, format('ALTER FUNCTION %s NOT LEAKPROOF', r.name), NULL
FROM routine AS r
WHERE r.proleakproof
UNION ALL
SELECT 'LEAKY_BUILTIN_PUBLIC', 'pg_catalog', string_agg(DISTINCT leaky.proname, ', '),
       format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC',
              string_agg(format('pg_catalog.%I(%s)', leaky.proname, pg_get_function_identity_arguments(leaky.oid)), ', '
                         ORDER BY leaky.proname, leaky.oid)),
       NULL
FROM pg_proc AS leaky
WHERE $1::oid IS NULL
  AND EXISTS (SELECT FROM app)
  AND leaky.pronamespace = 'pg_catalog'::regnamespace
  AND leaky.proname IN ('lo_get', 'lo_put', 'lo_open', 'loread', 'lowrite', 'lo_unlink', 'currtid2',
                        'pg_terminate_backend', 'pg_cancel_backend')
  AND EXISTS (SELECT FROM aclexplode(coalesce(leaky.proacl, acldefault('f', leaky.proowner))) AS x
              WHERE x.grantee = 0 AND x.privilege_type = 'EXECUTE')
HAVING count(*) > 0
