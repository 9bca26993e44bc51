-- $1 a protected table, or NULL for all: it and its parts, as they are recorded.
WITH RECURSIVE asked(oid) AS (
    SELECT $1::oid WHERE $1 IS NOT NULL
  UNION
    SELECT i.inhrelid
    FROM asked
    JOIN pg_inherits AS i ON i.inhparent = asked.oid
)
SELECT c.oid, format('%I.%I', n.nspname, c.relname), c.relkind = 'p',
       CASE WHEN c.relispartition THEN (SELECT i.inhparent FROM pg_inherits AS i WHERE i.inhrelid = c.oid LIMIT 1) END,
       a.attnum, quote_ident(a.attname), a.attcollation, p.kind IN ('shared', 'tree')
FROM tenancy.protection AS p
JOIN pg_class AS c ON c.oid = p.relation
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = p.tenant_column AND a.attnum > 0 AND NOT a.attisdropped
WHERE $1 IS NULL OR c.oid IN (SELECT asked.oid FROM asked)
ORDER BY n.nspname, c.relname
