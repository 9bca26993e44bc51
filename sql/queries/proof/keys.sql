-- $1 tables, $2 the name of their tenant column: their unique and exclusion indexes, but for parts of a
-- parent's index. Columns are NULL where ON CONFLICT or REFERENCES can't name them.
SELECT i.indrelid,
       pg_catalog.quote_ident(c.relname),
       CASE WHEN i.indisunique AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL THEN
            (SELECT pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ', ' ORDER BY k.place)
             FROM pg_catalog.unnest(i.indkey::pg_catalog.int2[]) WITH ORDINALITY AS k(attnum, place)
             JOIN pg_catalog.pg_attribute AS a
               ON a.attrelid OPERATOR(pg_catalog.=) i.indrelid AND a.attnum OPERATOR(pg_catalog.=) k.attnum
             WHERE k.place OPERATOR(pg_catalog.<=) i.indnkeyatts) END,
       EXISTS (SELECT FROM pg_catalog.pg_attribute AS a
               WHERE a.attrelid OPERATOR(pg_catalog.=) i.indrelid
                 AND a.attname OPERATOR(pg_catalog.=) $2::pg_catalog.name
                 AND a.attnum OPERATOR(pg_catalog.=) ANY (
                     (i.indkey::pg_catalog.int2[])[0:i.indnkeyatts OPERATOR(pg_catalog.-) 1]))
FROM pg_catalog.pg_index AS i
JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) i.indexrelid
WHERE i.indrelid OPERATOR(pg_catalog.=) ANY ($1)
  AND (i.indisunique OR i.indisexclusion) AND i.indisvalid
  AND NOT c.relispartition
ORDER BY i.indrelid, i.indisprimary DESC, c.relname
