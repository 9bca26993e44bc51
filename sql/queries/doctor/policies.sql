-- Policies: on protected tables all of them, on others those that widen access by what anybody can set.
-- To print an expression takes its time; ours are printed only when they have a boolean constant or
-- current_setting() in them, and are compared with what they should be elsewhere.
, suspect AS (
    SELECT pol.oid
    FROM pg_policy AS pol
    WHERE pol.polname NOT LIKE 'tenant\_isolation%'
       OR concat(pol.polqual, pol.polwithcheck) LIKE '%:consttype 16 %'
       OR concat(pol.polqual, pol.polwithcheck) LIKE '%:funcid 2077 %'
       OR concat(pol.polqual, pol.polwithcheck) LIKE '%:funcid 3294 %'
), policy AS (
    SELECT pol.oid, pol.polrelid, pol.polname, pol.polcmd, pol.polpermissive,
           pol.polroles, pol.polroles = '{0}'::oid[] AS to_public,
           pol.polname IN ('tenant_isolation', 'tenant_isolation_delete', 'tenant_isolation_insert',
                           'tenant_isolation_shared', 'tenant_isolation_update',
                           'tenant_isolation_floor', 'tenant_isolation_floor_delete',
                           'tenant_isolation_floor_insert', 'tenant_isolation_floor_select',
                           'tenant_isolation_floor_update') AND p.oid IS NOT NULL AS ours,
           p.oid IS NOT NULL AS on_protected,
           p.protect,
           CASE WHEN suspect.oid IS NOT NULL THEN pg_get_expr(pol.polqual, pol.polrelid) END AS using_text,
           CASE WHEN suspect.oid IS NOT NULL THEN pg_get_expr(pol.polwithcheck, pol.polrelid) END AS check_text,
           format('%s.%I', s.ident, c.relname) AS relation
    FROM pg_policy AS pol
    JOIN pg_class AS c ON c.oid = pol.polrelid
    JOIN user_schema AS s ON s.oid = c.relnamespace
    LEFT JOIN protected AS p ON p.oid = pol.polrelid
    LEFT JOIN suspect ON suspect.oid = pol.oid
    WHERE $1::oid IS NULL OR c.relnamespace = $1
), readable AS (
    SELECT policy.*,
           format('%I ON %s', policy.polname, policy.relation) AS name,
           CASE WHEN policy.ours THEN policy.protect
                ELSE format('DROP POLICY IF EXISTS %I ON %s', policy.polname, policy.relation) END AS fix,
           coalesce(policy.using_text = 'true', false) OR coalesce(policy.check_text = 'true', false)
           OR coalesce(policy.using_text, '') || ' ' || coalesce(policy.check_text, '')
              ~ '\m(OR true|true OR|OR \(NOT false\)|OR \((\d+) = \2\))' AS always
    FROM policy
), floor AS (
    SELECT p.name, p.relnamespace, p.protect,
           string_agg(DISTINCT command.keyword, ', ') AS commands
    FROM protected AS p
    CROSS JOIN (VALUES ('r', 'SELECT'), ('a', 'INSERT'), ('w', 'UPDATE'), ('d', 'DELETE')) AS command(code, keyword)
    LEFT JOIN pg_policy AS pol
           ON pol.polrelid = p.oid AND NOT pol.polpermissive AND pol.polroles = '{0}'::oid[]
          AND pol.polcmd::text IN ('*', command.code)
    WHERE pol.oid IS NULL AND ($1::oid IS NULL OR p.relnamespace = $1)
    GROUP BY p.name, p.relnamespace, p.protect
), setting AS (
    SELECT r.oid, r.name, r.fix, m.matched[1] AS setting
    FROM readable AS r
    LEFT JOIN pg_depend AS d ON d.classid = 'pg_policy'::regclass AND d.objid = r.oid
                            AND d.refclassid = 'pg_proc'::regclass
    LEFT JOIN pg_proc AS f ON f.oid = d.refobjid AND f.pronamespace <> 'tenancy'::regnamespace
    CROSS JOIN LATERAL regexp_matches(concat_ws(' ', r.using_text, r.check_text, f.prosrc),
                                      'current_setting\(\s*''([^'']+)''', 'gi') AS m(matched)
    WHERE r.polpermissive OR r.on_protected
)
, deceived AS (
    -- A policy for roles that bypass it; some of its roles may be others.
    SELECT r.oid, string_agg(quote_ident(pg_get_userbyid(named.role)), ', ' ORDER BY named.role) FILTER (WHERE b.role IS NOT NULL) AS bypassing,
           string_agg(quote_ident(pg_get_userbyid(named.role)), ', ' ORDER BY named.role) FILTER (WHERE b.role IS NULL) AS others
    FROM readable AS r
    CROSS JOIN LATERAL unnest(r.polroles) AS named(role)
    LEFT JOIN bypasser AS b ON b.role = named.role
    WHERE NOT r.ours
    GROUP BY r.oid
    HAVING count(b.role) > 0
)
SELECT 'NO_RESTRICTIVE_TO_PUBLIC', floor.name, floor.commands, floor.protect, NULL::text FROM floor
UNION ALL
SELECT 'POLICY_ALWAYS_TRUE', r.name, NULL, r.fix, NULL FROM readable AS r WHERE r.on_protected AND r.always
UNION ALL
SELECT 'POLICY_EXTRA', r.name, NULL, r.fix, NULL
FROM readable AS r
WHERE r.on_protected AND r.polpermissive AND NOT r.ours AND NOT r.always
UNION ALL
SELECT 'POLICY_NOT_PUBLIC', r.name, NULL, r.fix, NULL FROM readable AS r WHERE r.ours AND NOT r.to_public
UNION ALL
SELECT 'POLICY_USERSET_GUC', s.name, string_agg(DISTINCT s.setting, ', '), s.fix, NULL
FROM setting AS s
LEFT JOIN pg_settings AS known ON lower(known.name) = lower(s.setting)
WHERE coalesce(known.context, 'user') = 'user'
GROUP BY s.oid, s.name, s.fix
UNION ALL
SELECT 'POLICY_NONSTABLE_FN', used.name,
       CASE used.provolatile WHEN 'v' THEN 'VOLATILE' ELSE 'IMMUTABLE' END,
       format('ALTER FUNCTION %s STABLE', used.name), NULL
FROM (
    SELECT DISTINCT f.oid, f.provolatile,
           format('%I.%I(%s)', n.nspname, f.proname, pg_get_function_identity_arguments(f.oid)) AS name
    FROM policy
    JOIN pg_depend AS d ON d.classid = 'pg_policy'::regclass AND d.objid = policy.oid
                       AND d.refclassid = 'pg_proc'::regclass
    JOIN pg_proc AS f ON f.oid = d.refobjid
    JOIN pg_namespace AS n ON n.oid = f.pronamespace
    WHERE f.provolatile = 'v'
       OR f.provolatile = 'i'
          AND (f.pronamespace = 'tenancy'::regnamespace
               OR f.prosrc ~* 'current_setting|current_user|session_user|current_role|tenancy\.')
) AS used
UNION ALL
-- Nobody depends on PostgreSQL's own functions, and they are as they are.
SELECT 'POLICY_NONSTABLE_FN', format('pg_catalog.%I(%s)', f.proname, pg_get_function_identity_arguments(f.oid)), 'VOLATILE',
       used.fix, NULL
FROM (
    SELECT DISTINCT r.fix, call.matched[1]::oid AS function
    FROM readable AS r
    JOIN pg_policy AS pol ON pol.oid = r.oid
    CROSS JOIN LATERAL regexp_matches(concat(pol.polqual, pol.polwithcheck), ':(?:op)?funcid (\d+) ', 'g') AS call(matched)
    WHERE NOT r.ours
) AS used
JOIN pg_proc AS f ON f.oid = used.function AND f.provolatile = 'v' AND f.pronamespace = 'pg_catalog'::regnamespace
UNION ALL
SELECT 'POLICY_FOR_BYPASSER', r.name, deceived.bypassing,
       CASE WHEN deceived.others IS NULL OR r.on_protected AND (r.polpermissive OR r.always)
                 OR r.oid IN (SELECT s.oid FROM setting AS s)
            -- Other findings drop it, too.
            THEN r.fix
            ELSE format('ALTER POLICY %I ON %s TO %s', r.polname, r.relation, deceived.others) END, NULL
FROM deceived
JOIN readable AS r ON r.oid = deceived.oid
UNION ALL
SELECT 'POLICY_READS_OPEN_TABLE', r.name, format('%I.%I', n.nspname, c.relname),
       format('REVOKE INSERT, UPDATE, DELETE ON TABLE %I.%I FROM %s CASCADE', n.nspname, c.relname,
              string_agg(DISTINCT h.ident, ', ')), NULL
FROM readable AS r
JOIN pg_depend AS d ON d.classid = 'pg_policy'::regclass AND d.objid = r.oid
                   AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> r.polrelid
JOIN pg_class AS c ON c.oid = d.refobjid AND c.relkind IN ('r', 'p') AND NOT c.relrowsecurity
JOIN pg_namespace AS n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (SELECT x.grantee, x.privilege_type FROM aclexplode(c.relacl) AS x
                    UNION
                    SELECT x.grantee, x.privilege_type FROM pg_attribute AS a CROSS JOIN LATERAL aclexplode(a.attacl) AS x
                    WHERE a.attrelid = c.oid AND a.attacl IS NOT NULL) AS x
JOIN holder AS h ON h.role = x.grantee
-- A permissive one beside ours is to go, whatever it reads.
WHERE NOT r.ours AND NOT (r.on_protected AND r.polpermissive)
  AND x.privilege_type IN ('INSERT', 'UPDATE', 'DELETE') AND x.grantee <> c.relowner
GROUP BY r.name, n.nspname, c.relname
UNION ALL
SELECT 'POLICIES_DORMANT', format('%s.%I', s.ident, c.relname), NULL,
       format('ALTER TABLE %s.%I ENABLE ROW LEVEL SECURITY', s.ident, c.relname), NULL
FROM pg_class AS c
JOIN user_schema AS s ON s.oid = c.relnamespace
WHERE NOT c.relrowsecurity AND ($1::oid IS NULL OR c.relnamespace = $1)
  AND c.oid IN (SELECT pol.polrelid FROM pg_policy AS pol)
  AND c.oid NOT IN (SELECT p.oid FROM protected AS p)
