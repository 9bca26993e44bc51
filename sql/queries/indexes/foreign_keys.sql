-- $1 tables: their foreign keys, each set of columns once.
SELECT DISTINCT ON (k.conrelid, k.conkey)
       k.conrelid, quote_ident(k.conname), k.conkey,
       ARRAY(SELECT quote_ident(a.attname)
             FROM unnest(k.conkey) WITH ORDINALITY AS u(attnum, place)
             JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = u.attnum
             ORDER BY u.place),
       EXISTS (SELECT FROM tenancy.protection AS p WHERE p.relation = k.confrelid AND p.tenant_column IS NOT NULL)
FROM pg_constraint AS k
WHERE k.contype = 'f' AND k.conparentid = 0 AND k.conrelid = ANY ($1)
ORDER BY k.conrelid, k.conkey, k.oid
