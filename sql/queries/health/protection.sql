-- Protected tables whose row security is off, not forced, or has lost a policy of either kind.
SELECT p.relation::pg_catalog.text
FROM tenancy.protection AS p
JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) p.relation
WHERE p.kind OPERATOR(pg_catalog.<>) 'global'
  AND (NOT c.relrowsecurity OR NOT c.relforcerowsecurity
       OR (SELECT pg_catalog.count(DISTINCT pol.polpermissive)
           FROM pg_catalog.pg_policy AS pol
           WHERE pol.polrelid OPERATOR(pg_catalog.=) p.relation AND pol.polname OPERATOR(pg_catalog.~~) 'tenant\_isolation%')
          OPERATOR(pg_catalog.<) 2)
ORDER BY 1
