-- $1 a type under all domains: whether to read a value of it may run what somebody wrote who is no superuser. A domain
-- has conditions, a range may have a function of its own, a base type's functions are its owner's.
WITH RECURSIVE part(oid) AS (
    SELECT $1::pg_catalog.oid
  UNION
    SELECT inner_part.oid
    FROM part
    JOIN pg_catalog.pg_type AS t ON t.oid OPERATOR(pg_catalog.=) part.oid
    CROSS JOIN LATERAL (
        SELECT t.typelem WHERE t.typelem OPERATOR(pg_catalog.<>) 0::pg_catalog.oid
      UNION ALL
        SELECT a.atttypid
        FROM pg_catalog.pg_attribute AS a
        WHERE a.attrelid OPERATOR(pg_catalog.=) t.typrelid AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped
    ) AS inner_part(oid)
)
SELECT EXISTS (
    SELECT
    FROM part
    JOIN pg_catalog.pg_type AS t ON t.oid OPERATOR(pg_catalog.=) part.oid
    JOIN pg_catalog.pg_roles AS owner ON owner.oid OPERATOR(pg_catalog.=) t.typowner
    WHERE t.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid
      AND (t.typtype IN ('d', 'r', 'm')
           OR t.typtype OPERATOR(pg_catalog.=) 'b' AND t.typcategory OPERATOR(pg_catalog.<>) 'A' AND NOT owner.rolsuper))
