-- Functions of the extension that only administrators may execute: those without a grant to PUBLIC
-- that SQL can call directly.
SELECT pg_catalog.format('%I.%I(%s)', n.nspname, p.proname,
                         pg_catalog.pg_get_function_identity_arguments(p.oid))
FROM pg_catalog.pg_proc AS p
JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) p.pronamespace
JOIN pg_catalog.pg_depend AS d
  ON d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass
 AND d.objid OPERATOR(pg_catalog.=) p.oid
 AND d.deptype OPERATOR(pg_catalog.=) 'e'
JOIN pg_catalog.pg_extension AS e
  ON d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_extension'::pg_catalog.regclass
 AND d.refobjid OPERATOR(pg_catalog.=) e.oid
 AND e.extname OPERATOR(pg_catalog.=) 'pg_tenancy'
WHERE p.prorettype NOT IN ('pg_catalog.trigger'::pg_catalog.regtype,
                           'pg_catalog.event_trigger'::pg_catalog.regtype,
                           'pg_catalog.internal'::pg_catalog.regtype)
  AND p.proacl IS NOT NULL
  AND NOT EXISTS (SELECT FROM pg_catalog.aclexplode(p.proacl) AS a
                  WHERE a.grantee OPERATOR(pg_catalog.=) 0::pg_catalog.oid)
ORDER BY p.proname, p.oid
