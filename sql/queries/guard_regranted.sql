-- Protected tables whose privileges may have changed since this transaction began. GRANT reports no object,
-- so what is asked is how old the catalog rows are.
SELECT p.relation::pg_catalog.oid
FROM tenancy.protection AS p
JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) p.relation
WHERE p.kind OPERATOR(pg_catalog.<>) 'global'
  AND pg_catalog.age(c.xmin) OPERATOR(pg_catalog.<=) 0
UNION
SELECT p.relation::pg_catalog.oid
FROM tenancy.protection AS p
JOIN pg_catalog.pg_attribute AS a ON a.attrelid OPERATOR(pg_catalog.=) p.relation
WHERE p.kind OPERATOR(pg_catalog.<>) 'global'
  AND a.attacl IS NOT NULL
  AND pg_catalog.age(a.xmin) OPERATOR(pg_catalog.<=) 0
