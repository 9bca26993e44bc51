-- Protected tables, their parts included, and how their rows are known again where they are replicated to. A row filter takes
-- no types and collations of users, and what is not logged can't be replicated.
SELECT pg_catalog.format('%I.%I', n.nspname, c.relname),
       pg_catalog.quote_ident(a.attname),
       a.atttypid,
       p.kind,
       c.relkind OPERATOR(pg_catalog.=) 'p',
       c.relispartition AND EXISTS (
           SELECT FROM pg_catalog.pg_inherits AS h
           JOIN tenancy.protection AS q ON q.relation OPERATOR(pg_catalog.=) h.inhparent
           WHERE h.inhrelid OPERATOR(pg_catalog.=) c.oid AND q.tenant_column IS NOT NULL),
       c.relpersistence OPERATOR(pg_catalog.=) 'p',
       a.atttypid OPERATOR(pg_catalog.<) 16384::pg_catalog.oid AND a.attcollation OPERATOR(pg_catalog.<) 16384::pg_catalog.oid,
       c.relreplident OPERATOR(pg_catalog.=) 'f' OR coalesce(known.has_column, false),
       candidate.name
FROM tenancy.protection AS p
JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) p.relation
JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
JOIN pg_catalog.pg_attribute AS a
  ON a.attrelid OPERATOR(pg_catalog.=) c.oid AND a.attname OPERATOR(pg_catalog.=) p.tenant_column
 AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped
-- The index that they are known by now, if it is one.
LEFT JOIN LATERAL (
    SELECT EXISTS (SELECT FROM pg_catalog.unnest(i.indkey::pg_catalog.int2[]) WITH ORDINALITY AS k(attnum, place)
                   WHERE k.attnum OPERATOR(pg_catalog.=) a.attnum AND k.place OPERATOR(pg_catalog.<=) i.indnkeyatts) AS has_column
    FROM pg_catalog.pg_index AS i
    WHERE i.indrelid OPERATOR(pg_catalog.=) c.oid AND i.indisvalid AND i.indimmediate
      AND CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident ELSE false END) AS known ON true
-- The one that they could be known by: a primary key before others, a short one before longer ones.
LEFT JOIN LATERAL (
    SELECT pg_catalog.quote_ident(x.relname) AS name
    FROM pg_catalog.pg_index AS i
    JOIN pg_catalog.pg_class AS x ON x.oid OPERATOR(pg_catalog.=) i.indexrelid
    WHERE i.indrelid OPERATOR(pg_catalog.=) c.oid AND i.indisunique AND i.indimmediate AND i.indisvalid
      AND i.indpred IS NULL AND i.indexprs IS NULL
      AND EXISTS (SELECT FROM pg_catalog.unnest(i.indkey::pg_catalog.int2[]) WITH ORDINALITY AS k(attnum, place)
                  WHERE k.attnum OPERATOR(pg_catalog.=) a.attnum AND k.place OPERATOR(pg_catalog.<=) i.indnkeyatts)
      AND NOT EXISTS (SELECT FROM pg_catalog.unnest(i.indkey::pg_catalog.int2[]) WITH ORDINALITY AS k(attnum, place)
                      JOIN pg_catalog.pg_attribute AS b
                        ON b.attrelid OPERATOR(pg_catalog.=) c.oid AND b.attnum OPERATOR(pg_catalog.=) k.attnum
                      WHERE k.place OPERATOR(pg_catalog.<=) i.indnkeyatts AND NOT b.attnotnull)
    ORDER BY NOT i.indisprimary, i.indnkeyatts, x.relname
    LIMIT 1) AS candidate ON true
WHERE p.tenant_column IS NOT NULL AND c.relkind IN ('r', 'p')
ORDER BY n.nspname, c.relname
