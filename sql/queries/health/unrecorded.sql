-- Tables that have policies of the extension's, by name and by what these call, and are no part of a protected table, nor recorded.
-- Not temporary ones, which anybody may make and nobody else reaches, nor members of extensions, which are these' to define.
SELECT DISTINCT pol.polrelid::pg_catalog.regclass::pg_catalog.text
FROM pg_catalog.pg_policy AS pol
JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) pol.polrelid
WHERE pol.polname OPERATOR(pg_catalog.~~) 'tenant\_isolation%'
  AND c.relpersistence OPERATOR(pg_catalog.<>) 't'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS m
                  WHERE m.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
                    AND m.objid OPERATOR(pg_catalog.=) pol.polrelid
                    AND m.deptype OPERATOR(pg_catalog.=) 'e')
  AND NOT EXISTS (SELECT FROM tenancy.protection AS p WHERE p.relation OPERATOR(pg_catalog.=) pol.polrelid)
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_inherits AS i
                  JOIN tenancy.protection AS p ON p.relation OPERATOR(pg_catalog.=) i.inhparent
                  WHERE i.inhrelid OPERATOR(pg_catalog.=) pol.polrelid AND p.tenant_column IS NOT NULL)
  AND EXISTS (SELECT FROM pg_catalog.pg_depend AS d
              JOIN pg_catalog.pg_proc AS f ON f.oid OPERATOR(pg_catalog.=) d.refobjid
              JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) f.pronamespace
              WHERE d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_policy'::pg_catalog.regclass
                AND d.objid OPERATOR(pg_catalog.=) pol.oid
                AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass
                AND n.nspname OPERATOR(pg_catalog.=) 'tenancy')
ORDER BY 1
