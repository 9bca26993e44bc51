-- Protected tables that are no part of another protected table.
SELECT c.oid, p.kind, p.tenant_column::pg_catalog.text,
       pg_catalog.format('%I.%I', n.nspname, c.relname)
FROM tenancy.protection AS p
JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) p.relation
JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
WHERE p.tenant_column IS NOT NULL
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_inherits AS i
                  JOIN tenancy.protection AS q ON q.relation OPERATOR(pg_catalog.=) i.inhparent
                  WHERE i.inhrelid OPERATOR(pg_catalog.=) c.oid AND q.tenant_column IS NOT NULL)
