-- Protected tables; $1 the names that policies of the extension's own can have.
SELECT pg_catalog.format('%I.%I', n.nspname, c.relname),
       EXISTS (SELECT FROM pg_catalog.pg_inherits AS i
               JOIN tenancy.protection AS q ON q.relation OPERATOR(pg_catalog.=) i.inhparent
               WHERE i.inhrelid OPERATOR(pg_catalog.=) c.oid AND q.tenant_column IS NOT NULL),
       EXISTS (SELECT FROM pg_catalog.pg_policy AS o
               WHERE o.polrelid OPERATOR(pg_catalog.=) c.oid AND o.polpermissive
                 AND o.polname::pg_catalog.text OPERATOR(pg_catalog.<>) ALL ($1))
FROM tenancy.protection AS p
JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) p.relation
JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
WHERE p.tenant_column IS NOT NULL
ORDER BY n.nspname, c.relname
