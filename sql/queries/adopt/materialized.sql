-- $1 tables: the materialized views that read them, also by way of views.
WITH RECURSIVE reader(oid) AS (
    SELECT unnest($1)
  UNION
    SELECT r.ev_class
    FROM reader
    JOIN pg_depend AS d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = reader.oid
                       AND d.classid = 'pg_rewrite'::regclass
    JOIN pg_rewrite AS r ON r.oid = d.objid
)
SELECT format('%I.%I', n.nspname, c.relname)
FROM reader
JOIN pg_class AS c ON c.oid = reader.oid AND c.relkind = 'm'
JOIN pg_namespace AS n ON n.oid = c.relnamespace
ORDER BY 1
