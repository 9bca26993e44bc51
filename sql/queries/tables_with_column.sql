-- $1 a schema, $2 a column name: tables that have it, are not classified as global, and are not
-- reached through a parent in the same list.
WITH candidate AS (
    SELECT c.oid, c.relname
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_attribute AS a
      ON a.attrelid OPERATOR(pg_catalog.=) c.oid
     AND a.attname OPERATOR(pg_catalog.=) $2::pg_catalog.name
     AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped
    WHERE c.relnamespace OPERATOR(pg_catalog.=) $1
      AND c.relkind IN ('r', 'p')
      AND c.relpersistence OPERATOR(pg_catalog.<>) 't'
)
SELECT candidate.oid
FROM candidate
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_inherits AS i
                  JOIN candidate AS parent ON parent.oid OPERATOR(pg_catalog.=) i.inhparent
                  WHERE i.inhrelid OPERATOR(pg_catalog.=) candidate.oid)
ORDER BY candidate.relname
