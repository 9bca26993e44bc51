-- $1 a schema, $2 a column name: the relations in it that may hold rows, and what has to be known of each before it is given
-- to a tenant.
SELECT c.oid, format('%I.%I', n.nspname, c.relname), c.relkind, c.relispartition,
       (SELECT i.inhparent FROM pg_inherits AS i
        JOIN pg_class AS parent ON parent.oid = i.inhparent
        WHERE i.inhrelid = c.oid AND (c.relispartition OR parent.relnamespace = $1)
        ORDER BY i.inhseqno LIMIT 1),
       c.reloftype <> 0,
       EXISTS (SELECT FROM pg_depend AS d
               WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'),
       p.kind, p.tenant_column::text, a.atttypid,
       (SELECT k.convalidated FROM pg_constraint AS k
        WHERE k.conrelid = c.oid AND k.contype = 'c' AND k.conname = 'tenancy_adopting'),
       CASE WHEN a.atttypid = 'varchar'::regtype AND a.atttypmod > 0 THEN a.atttypmod - 4 END
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN tenancy.protection AS p ON p.relation = c.oid
LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = $2::name AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = $1 AND c.relkind IN ('r', 'p', 'f') AND c.relpersistence <> 't'
ORDER BY c.relname
