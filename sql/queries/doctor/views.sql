-- Views and materialized views (and rules) through which protected tables are read, however many views lie between.
, view_uses(view, used) AS (
    SELECT DISTINCT r.ev_class, d.refobjid
    FROM pg_rewrite AS r
    JOIN pg_class AS c ON c.oid = r.ev_class AND c.relkind IN ('v', 'm')
    JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
                       AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> r.ev_class
    WHERE r.rulename = '_RETURN'
), exposing(oid) AS (
    SELECT u.view FROM view_uses AS u JOIN protected AS p ON p.oid = u.used
  UNION
    SELECT u.view FROM exposing JOIN view_uses AS u ON u.used = exposing.oid
), view AS (
    SELECT c.oid, c.relkind, c.relowner, c.relacl, format('%s.%I', s.ident, c.relname) AS name,
           c.relowner IN (SELECT b.role FROM bypasser AS b) AS bypasses,
           c.relowner IN (SELECT h.role FROM holder AS h) AS of_tenants,
           quote_ident(pg_get_userbyid(c.relowner)) AS owner,
           coalesce((SELECT o.option_value::boolean FROM pg_options_to_table(c.reloptions) AS o
                     WHERE o.option_name = 'security_invoker'), false) AS invoker,
           coalesce((SELECT o.option_value::boolean FROM pg_options_to_table(c.reloptions) AS o
                     WHERE o.option_name = 'security_barrier'), false) AS barrier
    FROM exposing
    JOIN pg_class AS c ON c.oid = exposing.oid
    JOIN user_schema AS s ON s.oid = c.relnamespace
    WHERE $1::oid IS NULL OR c.relnamespace = $1
)
SELECT CASE WHEN v.bypasses THEN 'VIEW_BYPASS' ELSE 'VIEW_NOT_INVOKER' END, v.name, v.owner,
       format('ALTER VIEW %s SET (security_invoker = true)', v.name), NULL::text
FROM view AS v
WHERE v.relkind = 'v' AND NOT v.invoker
UNION ALL
SELECT 'VIEW_NO_BARRIER', v.name, NULL, format('ALTER VIEW %s SET (security_barrier = true)', v.name), NULL
FROM view AS v
WHERE v.relkind = 'v' AND NOT v.barrier AND pg_get_viewdef(v.oid) ~* '\m(WHERE|JOIN|HAVING)\M'
UNION ALL
SELECT 'MATVIEW', v.name, granted.who, format('REVOKE ALL ON TABLE %s FROM %s CASCADE', v.name, granted.who), NULL
FROM view AS v
CROSS JOIN LATERAL (SELECT string_agg(DISTINCT CASE x.grantee WHEN 0 THEN 'PUBLIC'
                                               ELSE quote_ident(pg_get_userbyid(x.grantee)) END, ', ') AS who
                    FROM aclexplode(v.relacl) AS x
                    WHERE x.grantee <> v.relowner) AS granted
WHERE v.relkind = 'm' AND granted.who IS NOT NULL
UNION ALL
-- No fix: REFRESH runs what a tenant wrote with the owner's rights.
SELECT 'MATVIEW', v.name, v.owner, NULL, NULL
FROM view AS v
WHERE v.relkind = 'm' AND v.of_tenants
UNION ALL
-- What a rule does is done with its owner's rights, also where the view's own query is with its reader's.
SELECT 'RULE', format('%I ON %s.%I', r.rulename, s.ident, c.relname), NULL,
       format('DROP RULE %I ON %s.%I', r.rulename, s.ident, c.relname), NULL
FROM pg_rewrite AS r
JOIN pg_class AS c ON c.oid = r.ev_class
JOIN user_schema AS s ON s.oid = c.relnamespace
WHERE r.rulename <> '_RETURN' AND c.relowner IN (SELECT b.role FROM bypasser AS b)
  AND c.oid NOT IN (SELECT p.oid FROM protected AS p)
  AND (c.oid IN (SELECT e.oid FROM exposing AS e)
       OR EXISTS (SELECT FROM pg_depend AS d
                  WHERE d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass
                    AND (d.refobjid IN (SELECT p.oid FROM protected AS p)
                         OR d.refobjid IN (SELECT e.oid FROM exposing AS e))))
  AND ($1::oid IS NULL OR c.relnamespace = $1)
