-- $1 tables: their names, and what is recorded of them.
SELECT c.oid, format('%I.%I', n.nspname, c.relname), c.relkind = 'p', p.kind,
       quote_ident(a.attname), a.attnum, a.atttypid, format_type(a.atttypid, a.atttypmod),
       a.attnotnull AND NOT EXISTS (SELECT FROM pg_constraint AS k
                                    WHERE k.conrelid = c.oid AND k.contype = 'n' AND k.conkey = ARRAY[a.attnum]
                                      AND NOT k.convalidated),
       a.attcollation, CASE WHEN co.oid IS NULL THEN '' ELSE format('%I.%I', cn.nspname, co.collname) END,
       c.relispartition
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN tenancy.protection AS p ON p.relation = c.oid
LEFT JOIN pg_attribute AS a
       ON a.attrelid = c.oid AND a.attname = p.tenant_column AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_collation AS co ON co.oid = a.attcollation
LEFT JOIN pg_namespace AS cn ON cn.oid = co.collnamespace
WHERE c.oid = ANY ($1)
ORDER BY c.oid
