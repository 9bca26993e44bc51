-- $1 tables, $2 the name of their tenant column, $3 its type where it is not there yet: what the query for tables says of
-- them once they are protected.
SELECT c.oid, format('%I.%I', n.nspname, c.relname), c.relkind = 'p', 'tenant'::text,
       quote_ident($2), coalesce(a.attnum, c.relnatts + 1)::int2, coalesce(a.atttypid, $3),
       format_type(coalesce(a.atttypid, $3), coalesce(a.atttypmod, -1)), true,
       coll.oid, CASE WHEN co.oid IS NULL THEN '' ELSE format('%I.%I', cn.nspname, co.collname) END,
       c.relispartition
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = $2::name AND a.attnum > 0 AND NOT a.attisdropped
CROSS JOIN LATERAL (SELECT coalesce(a.attcollation, (SELECT t.typcollation FROM pg_type AS t WHERE t.oid = $3)) AS oid)
     AS coll
LEFT JOIN pg_collation AS co ON co.oid = coll.oid
LEFT JOIN pg_namespace AS cn ON cn.oid = co.collnamespace
WHERE c.oid = ANY ($1)
ORDER BY c.oid
