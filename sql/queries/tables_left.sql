-- Tables that would be open, or less closed, without the extension: protected ones, and others with a restrictive policy that
-- goes with it. $1 is the name of the policy that closes them.
WITH RECURSIVE gone(classid, objid, objsubid) AS (
    -- The extension itself, and so its members, what was marked as depending on it, and extensions that require it.
    SELECT 'pg_catalog.pg_extension'::pg_catalog.regclass::pg_catalog.oid, e.oid, 0
    FROM pg_catalog.pg_extension AS e
    WHERE e.extname OPERATOR(pg_catalog.=) 'pg_tenancy'
  UNION
    -- What depends on it, what it is a part of within, such as a view of its rule, and the extension that it belongs to, which
    -- goes whole.
    SELECT next.classid, next.objid, next.objsubid
    FROM gone
    CROSS JOIN LATERAL (
        SELECT d.classid, d.objid, d.objsubid
        FROM pg_catalog.pg_depend AS d
        WHERE d.refclassid OPERATOR(pg_catalog.=) gone.classid AND d.refobjid OPERATOR(pg_catalog.=) gone.objid
          AND (gone.objsubid OPERATOR(pg_catalog.=) 0 OR d.refobjsubid OPERATOR(pg_catalog.=) gone.objsubid)
      UNION ALL
        SELECT d.refclassid, d.refobjid, d.refobjsubid
        FROM pg_catalog.pg_depend AS d
        WHERE d.classid OPERATOR(pg_catalog.=) gone.classid AND d.objid OPERATOR(pg_catalog.=) gone.objid
          AND d.objsubid OPERATOR(pg_catalog.=) gone.objsubid
          AND d.deptype OPERATOR(pg_catalog.=) ANY ('{i,e}'::pg_catalog."char"[])) AS next
), guarded(oid, lets_in, loses_floor) AS (
    SELECT pol.polrelid, pg_catalog.bool_or(pol.polpermissive AND gone.objid IS NULL),
           pg_catalog.bool_or(NOT pol.polpermissive AND gone.objid IS NOT NULL)
    FROM pg_catalog.pg_policy AS pol
    LEFT JOIN gone ON gone.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_policy'::pg_catalog.regclass
                  AND gone.objid OPERATOR(pg_catalog.=) pol.oid
    GROUP BY pol.polrelid
)
SELECT pg_catalog.format('%I.%I', n.nspname, c.relname),
       EXISTS (SELECT FROM pg_catalog.pg_inherits AS i
               JOIN tenancy.protection AS q ON q.relation OPERATOR(pg_catalog.=) i.inhparent
               WHERE i.inhrelid OPERATOR(pg_catalog.=) c.oid AND q.tenant_column IS NOT NULL),
       coalesce(guarded.lets_in, false),
       EXISTS (SELECT FROM pg_catalog.pg_policy AS o
               WHERE o.polrelid OPERATOR(pg_catalog.=) c.oid AND o.polname OPERATOR(pg_catalog.=) $1::pg_catalog.name),
       c.relrowsecurity,
       c.relforcerowsecurity OR p.relation IS NULL
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
LEFT JOIN tenancy.protection AS p ON p.relation OPERATOR(pg_catalog.=) c.oid AND p.tenant_column IS NOT NULL
LEFT JOIN guarded ON guarded.oid OPERATOR(pg_catalog.=) c.oid
WHERE (p.relation IS NOT NULL OR c.relrowsecurity AND guarded.loses_floor AND guarded.lets_in)
  AND NOT EXISTS (SELECT FROM gone
                  WHERE gone.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
                    AND gone.objid OPERATOR(pg_catalog.=) c.oid AND gone.objsubid OPERATOR(pg_catalog.=) 0)
ORDER BY n.nspname, c.relname
