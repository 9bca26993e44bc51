-- Protected tables, their parts included, and how their rows are known again where they are replicated to. A row filter takes
-- no types and collations of users, and what is not logged can't be replicated. A generated column is not sent, since what is
-- generated there takes no value: no row is known by one. From 18 on, PostgreSQL refuses UPDATE and DELETE of a published table that
-- is known by all of its columns where one of them is not sent.
WITH published AS MATERIALIZED (
    SELECT c.oid,
           pg_catalog.format('%I.%I', n.nspname, c.relname) AS ident,
           pg_catalog.quote_ident(a.attname) AS tenant_column,
           a.atttypid,
           p.kind,
           c.relkind OPERATOR(pg_catalog.=) 'p' AS is_partitioned,
           c.relispartition AND EXISTS (
               SELECT FROM pg_catalog.pg_inherits AS h
               JOIN tenancy.protection AS q ON q.relation OPERATOR(pg_catalog.=) h.inhparent
               WHERE h.inhrelid OPERATOR(pg_catalog.=) c.oid AND q.tenant_column IS NOT NULL) AS goes_along,
           c.relpersistence OPERATOR(pg_catalog.=) 'p' AS is_logged,
           a.atttypid OPERATOR(pg_catalog.<) 16384::pg_catalog.oid AND a.attcollation OPERATOR(pg_catalog.<) 16384::pg_catalog.oid
               AS has_plain_column,
           c.relreplident,
           pg_catalog.current_setting('server_version_num')::pg_catalog.int4 OPERATOR(pg_catalog.<) 180000
           OR NOT EXISTS (SELECT FROM pg_catalog.pg_attribute AS g
                          WHERE g.attrelid OPERATOR(pg_catalog.=) c.oid AND g.attgenerated OPERATOR(pg_catalog.<>) ''
                            AND NOT g.attisdropped) AS can_be_full,
           known.oid AS known,
           candidate.oid AS candidate,
           candidate.name AS candidate_name
    FROM tenancy.protection AS p
    JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) p.relation
    JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
    JOIN pg_catalog.pg_attribute AS a
      ON a.attrelid OPERATOR(pg_catalog.=) c.oid AND a.attname OPERATOR(pg_catalog.=) p.tenant_column
     AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped
    -- The index that they are known by now, if it has the column.
    LEFT JOIN LATERAL (
        SELECT i.indexrelid AS oid
        FROM pg_catalog.pg_index AS i
        WHERE i.indrelid OPERATOR(pg_catalog.=) c.oid AND i.indisvalid AND i.indimmediate
          AND CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident ELSE false END
          AND EXISTS (SELECT FROM pg_catalog.unnest(i.indkey::pg_catalog.int2[]) WITH ORDINALITY AS k(attnum, place)
                      WHERE k.attnum OPERATOR(pg_catalog.=) a.attnum AND k.place OPERATOR(pg_catalog.<=) i.indnkeyatts)
          AND NOT EXISTS (SELECT FROM pg_catalog.unnest(i.indkey::pg_catalog.int2[]) WITH ORDINALITY AS k(attnum, place)
                          JOIN pg_catalog.pg_attribute AS b
                            ON b.attrelid OPERATOR(pg_catalog.=) c.oid AND b.attnum OPERATOR(pg_catalog.=) k.attnum
                          WHERE k.place OPERATOR(pg_catalog.<=) i.indnkeyatts AND b.attgenerated OPERATOR(pg_catalog.<>) '')) AS known
      ON true
    -- The one that they could be known by: a primary key before others, a short one before longer ones.
    LEFT JOIN LATERAL (
        SELECT i.indexrelid AS oid, pg_catalog.quote_ident(x.relname) AS name
        FROM pg_catalog.pg_index AS i
        JOIN pg_catalog.pg_class AS x ON x.oid OPERATOR(pg_catalog.=) i.indexrelid
        WHERE i.indrelid OPERATOR(pg_catalog.=) c.oid AND i.indisunique AND i.indimmediate AND i.indisvalid
          AND i.indpred IS NULL AND i.indexprs IS NULL
          AND EXISTS (SELECT FROM pg_catalog.unnest(i.indkey::pg_catalog.int2[]) WITH ORDINALITY AS k(attnum, place)
                      WHERE k.attnum OPERATOR(pg_catalog.=) a.attnum AND k.place OPERATOR(pg_catalog.<=) i.indnkeyatts)
          AND NOT EXISTS (SELECT FROM pg_catalog.unnest(i.indkey::pg_catalog.int2[]) WITH ORDINALITY AS k(attnum, place)
                          JOIN pg_catalog.pg_attribute AS b
                            ON b.attrelid OPERATOR(pg_catalog.=) c.oid AND b.attnum OPERATOR(pg_catalog.=) k.attnum
                          WHERE k.place OPERATOR(pg_catalog.<=) i.indnkeyatts
                            AND (NOT b.attnotnull OR b.attgenerated OPERATOR(pg_catalog.<>) ''))
        ORDER BY NOT i.indisprimary, i.indnkeyatts, x.relname
        LIMIT 1) AS candidate ON true
    WHERE p.tenant_column IS NOT NULL AND c.relkind IN ('r', 'p')
)
SELECT t.ident, t.tenant_column, t.atttypid, t.kind, t.is_partitioned, t.goes_along, t.is_logged, t.has_plain_column,
       t.relreplident OPERATOR(pg_catalog.=) 'f' AND t.can_be_full
       OR CASE WHEN t.goes_along THEN coalesce(part.is_in_force, false) ELSE t.known IS NOT NULL END,
       CASE WHEN t.goes_along THEN part.name ELSE t.candidate_name END,
       t.can_be_full
FROM published AS t
-- What changes in a partition is sent as its root's: it must be known by the partition's own piece of the root's index.
LEFT JOIN LATERAL (
    SELECT CASE WHEN r.relreplident OPERATOR(pg_catalog.<>) 'f' OR NOT r.can_be_full
                THEN coalesce(r.known, r.candidate) END AS oid
    FROM published AS r
    WHERE t.goes_along AND NOT r.goes_along
      AND r.oid OPERATOR(pg_catalog.=) ANY (SELECT u.relid FROM pg_catalog.pg_partition_ancestors(t.oid::pg_catalog.regclass) AS u)
    LIMIT 1) AS root ON true
LEFT JOIN LATERAL (
    SELECT pg_catalog.quote_ident(x.relname) AS name,
           CASE t.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident ELSE false END AS is_in_force
    FROM pg_catalog.pg_index AS i
    JOIN pg_catalog.pg_class AS x ON x.oid OPERATOR(pg_catalog.=) i.indexrelid
    WHERE i.indrelid OPERATOR(pg_catalog.=) t.oid
      AND root.oid OPERATOR(pg_catalog.=) ANY (SELECT u.relid FROM pg_catalog.pg_partition_ancestors(i.indexrelid::pg_catalog.regclass) AS u)
    LIMIT 1) AS part ON true
ORDER BY t.ident COLLATE pg_catalog."C"
