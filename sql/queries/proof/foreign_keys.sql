-- $1 tables: their foreign keys to protected tables that don't pair the tenant columns.
SELECT k.conrelid, pg_catalog.quote_ident(k.conname)
FROM pg_catalog.pg_constraint AS k
JOIN tenancy.protection AS own ON own.relation OPERATOR(pg_catalog.=) k.conrelid
JOIN tenancy.protection AS other ON other.relation OPERATOR(pg_catalog.=) k.confrelid
WHERE k.conrelid OPERATOR(pg_catalog.=) ANY ($1)
  AND k.contype OPERATOR(pg_catalog.=) 'f'
  AND k.conparentid OPERATOR(pg_catalog.=) 0::pg_catalog.oid
  AND own.tenant_column IS NOT NULL AND other.tenant_column IS NOT NULL
  AND NOT EXISTS (
      SELECT FROM ROWS FROM (pg_catalog.unnest(k.conkey), pg_catalog.unnest(k.confkey)) AS pair(own, other)
      JOIN pg_catalog.pg_attribute AS a
        ON a.attrelid OPERATOR(pg_catalog.=) k.conrelid AND a.attnum OPERATOR(pg_catalog.=) pair.own
      JOIN pg_catalog.pg_attribute AS b
        ON b.attrelid OPERATOR(pg_catalog.=) k.confrelid AND b.attnum OPERATOR(pg_catalog.=) pair.other
      WHERE a.attname OPERATOR(pg_catalog.=) own.tenant_column
        AND b.attname OPERATOR(pg_catalog.=) other.tenant_column)
ORDER BY k.conrelid, k.conname
