-- $1 a role by OID: its name, with one that has access to tenants and that it inherits from, or is inherited by or
-- could be taken on by. Superusers, who need no access and no membership, don't count.
SELECT pg_catalog.quote_ident(r.rolname),
       CASE WHEN pg_catalog.pg_has_role(r.oid, granted.oid, 'USAGE') THEN pg_catalog.quote_ident(r.rolname)
            ELSE pg_catalog.quote_ident(granted.rolname) END
FROM pg_catalog.pg_roles AS r
CROSS JOIN tenancy.access AS a
JOIN pg_catalog.pg_roles AS granted ON granted.oid OPERATOR(pg_catalog.=) a.role
WHERE r.oid OPERATOR(pg_catalog.=) $1::pg_catalog.oid
  AND NOT r.rolsuper AND NOT granted.rolsuper
  AND (pg_catalog.pg_has_role(r.oid, granted.oid, 'USAGE') OR pg_catalog.pg_has_role(granted.oid, r.oid, 'MEMBER'))
ORDER BY 2
LIMIT 1
