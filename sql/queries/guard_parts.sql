-- $1 a table, $2 kind and $3 tenant column that it and all that inherits from it should be recorded with:
-- the topmost that are not, with whether their parent has an index led by that column,
-- and the statistics target of that column there.
WITH RECURSIVE tree(oid, parent) AS (
    SELECT $1::pg_catalog.oid,
           (SELECT i.inhparent FROM pg_catalog.pg_inherits AS i
            WHERE i.inhrelid OPERATOR(pg_catalog.=) $1 ORDER BY i.inhseqno LIMIT 1)
  UNION
    SELECT i.inhrelid, i.inhparent
    FROM tree JOIN pg_catalog.pg_inherits AS i ON i.inhparent OPERATOR(pg_catalog.=) tree.oid
), new AS (
    SELECT tree.oid, tree.parent
    FROM tree
    WHERE NOT EXISTS (SELECT FROM tenancy.protection AS p
                      WHERE p.relation OPERATOR(pg_catalog.=) tree.oid
                        AND p.kind OPERATOR(pg_catalog.=) $2
                        AND p.tenant_column OPERATOR(pg_catalog.=) $3::pg_catalog.name)
)
SELECT new.oid,
       EXISTS (SELECT FROM pg_catalog.pg_index AS i
               JOIN pg_catalog.pg_attribute AS a
                 ON a.attrelid OPERATOR(pg_catalog.=) i.indrelid
                AND a.attnum OPERATOR(pg_catalog.=) i.indkey[0]
               WHERE i.indrelid OPERATOR(pg_catalog.=) new.parent
                 AND a.attname OPERATOR(pg_catalog.=) $3::pg_catalog.name
                 AND i.indpred IS NULL),
       (SELECT CASE WHEN a.attstattarget OPERATOR(pg_catalog.>=) 0 THEN a.attstattarget::pg_catalog.int4 END
        FROM pg_catalog.pg_attribute AS a
        WHERE a.attrelid OPERATOR(pg_catalog.=) new.parent
          AND a.attname OPERATOR(pg_catalog.=) $3::pg_catalog.name)
FROM new
WHERE NOT EXISTS (SELECT FROM new AS above WHERE above.oid OPERATOR(pg_catalog.=) new.parent)
