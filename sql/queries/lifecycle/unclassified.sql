-- Tables that have a tenant column and are neither recorded nor a part of a table that is.
WITH RECURSIVE recorded(oid) AS (
    SELECT p.relation::pg_catalog.oid FROM tenancy.protection AS p
  UNION
    SELECT i.inhrelid
    FROM recorded AS r
    JOIN pg_catalog.pg_inherits AS i ON i.inhparent OPERATOR(pg_catalog.=) r.oid
)
SELECT DISTINCT pg_catalog.format('%I.%I', n.nspname, c.relname)
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
JOIN pg_catalog.pg_attribute AS a
  ON a.attrelid OPERATOR(pg_catalog.=) c.oid AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped
WHERE c.relkind IN ('r', 'p', 'f')
  AND c.relpersistence OPERATOR(pg_catalog.<>) 't'
  AND (a.attname OPERATOR(pg_catalog.=) 'tenant_id'
       OR a.attname IN (SELECT p.tenant_column FROM tenancy.protection AS p WHERE p.tenant_column IS NOT NULL))
  AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'tenancy')
  AND c.oid NOT IN (SELECT r.oid FROM recorded AS r)
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d
                  WHERE d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
                    AND d.objid OPERATOR(pg_catalog.=) c.oid AND d.deptype OPERATOR(pg_catalog.=) 'e')
ORDER BY 1
