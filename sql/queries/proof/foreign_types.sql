-- $1 tables: the types of their columns, or within those, with a condition or a function whose owner is neither a superuser
-- nor has the rights of the table's owner, as whom a row is made up.
WITH RECURSIVE part(owner, oid) AS (
    SELECT c.relowner, a.atttypid
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid OPERATOR(pg_catalog.=) c.oid
    WHERE c.oid OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.oid[])
      AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped
  UNION
    SELECT part.owner, inner_part.oid
    FROM part
    JOIN pg_catalog.pg_type AS t ON t.oid OPERATOR(pg_catalog.=) part.oid
    CROSS JOIN LATERAL (
        SELECT other.oid
        FROM (VALUES (t.typelem), (t.typbasetype)) AS other(oid)
        WHERE other.oid OPERATOR(pg_catalog.<>) 0::pg_catalog.oid
      UNION ALL
        SELECT a.atttypid
        FROM pg_catalog.pg_attribute AS a
        WHERE a.attrelid OPERATOR(pg_catalog.=) t.typrelid AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped
    ) AS inner_part(oid)
)
SELECT DISTINCT 'type ' OPERATOR(pg_catalog.||) pg_catalog.format_type(t.oid, NULL)
FROM part
JOIN pg_catalog.pg_type AS t ON t.oid OPERATOR(pg_catalog.=) part.oid
JOIN pg_catalog.pg_roles AS maker ON maker.oid OPERATOR(pg_catalog.=) t.typowner
WHERE t.typtype IN ('d', 'r', 'm')
  AND t.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid
  AND NOT maker.rolsuper
  AND NOT pg_catalog.pg_has_role(maker.oid, part.owner, 'USAGE')
ORDER BY 1
