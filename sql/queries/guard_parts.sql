-- $1 a table, $2 kind and $3 tenant column that it and all that inherits from it should be recorded with:
-- the topmost that are not, with whether their parent has an index led by that column, and the statistics target of that
-- column there. All is looked up table by table: there may be thousands, of which hardly any are found.
WITH RECURSIVE tree(oid, parent) AS (
    SELECT $1::pg_catalog.oid,
           (SELECT i.inhparent FROM pg_catalog.pg_inherits AS i
            WHERE i.inhrelid OPERATOR(pg_catalog.=) $1 ORDER BY i.inhseqno LIMIT 1)
  UNION
    SELECT child.oid, tree.oid
    FROM tree
    -- An array, so that few are expected.
    CROSS JOIN LATERAL pg_catalog.unnest(ARRAY(
        SELECT i.inhrelid FROM pg_catalog.pg_inherits AS i
        WHERE i.inhparent OPERATOR(pg_catalog.=) tree.oid)) AS child(oid)
), new AS MATERIALIZED (
    SELECT tree.oid, tree.parent
    FROM tree
    WHERE (SELECT true FROM tenancy.protection AS p
           WHERE p.relation OPERATOR(pg_catalog.=) tree.oid
             AND p.kind OPERATOR(pg_catalog.=) $2
             AND p.tenant_column OPERATOR(pg_catalog.=) $3::pg_catalog.name
           LIMIT 1) IS NOT TRUE
)
SELECT new.oid,
       coalesce((SELECT true FROM pg_catalog.pg_index AS i
                 CROSS JOIN LATERAL (SELECT a.attname FROM pg_catalog.pg_attribute AS a
                                     WHERE a.attrelid OPERATOR(pg_catalog.=) i.indrelid
                                       AND a.attnum OPERATOR(pg_catalog.=) i.indkey[0] OFFSET 0) AS a
                 WHERE i.indrelid OPERATOR(pg_catalog.=) new.parent
                   AND a.attname OPERATOR(pg_catalog.=) $3::pg_catalog.name
                   AND i.indpred IS NULL
                 LIMIT 1), false),
       (SELECT CASE WHEN a.attstattarget OPERATOR(pg_catalog.>=) 0 THEN a.attstattarget::pg_catalog.int4 END
        FROM pg_catalog.pg_attribute AS a
        WHERE a.attrelid OPERATOR(pg_catalog.=) new.parent
          AND a.attname OPERATOR(pg_catalog.=) $3::pg_catalog.name)
FROM new
WHERE NOT EXISTS (SELECT FROM new AS above WHERE above.oid OPERATOR(pg_catalog.=) new.parent)
