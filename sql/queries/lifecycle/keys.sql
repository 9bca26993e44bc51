-- $2 the tenant columns of the tables in $1: unique and exclusion indexes, of theirs and of what inherits from them, that the tenant
-- column is no part of.
SELECT t.root, pg_catalog.format('%I', k.relname), pg_catalog.format('%I.%I', n.nspname, c.relname)
FROM tree AS t
JOIN ROWS FROM (pg_catalog.unnest($1::pg_catalog.oid[]), pg_catalog.unnest($2::pg_catalog.text[])) AS r(oid, tenant_column)
  ON r.oid OPERATOR(pg_catalog.=) t.root
JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) t.oid
JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
JOIN pg_catalog.pg_index AS i ON i.indrelid OPERATOR(pg_catalog.=) c.oid AND (i.indisunique OR i.indisexclusion)
JOIN pg_catalog.pg_class AS k ON k.oid OPERATOR(pg_catalog.=) i.indexrelid
JOIN pg_catalog.pg_attribute AS a
  ON a.attrelid OPERATOR(pg_catalog.=) c.oid AND a.attname OPERATOR(pg_catalog.=) r.tenant_column::pg_catalog.name
WHERE NOT EXISTS (SELECT FROM pg_catalog.generate_series(0, i.indnkeyatts OPERATOR(pg_catalog.-) 1) AS p(place)
                  WHERE i.indkey[p.place] OPERATOR(pg_catalog.=) a.attnum)
ORDER BY t.root, c.oid OPERATOR(pg_catalog.<>) t.root, k.relname
