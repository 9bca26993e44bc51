-- $1 tables: the views that show all of their rows to whoever reads them, also by way of views: materialized ones, and those of
-- owners who bypass row security.
WITH RECURSIVE reader(oid) AS (
    SELECT unnest($1)
  UNION
    SELECT r.ev_class
    FROM reader
    JOIN pg_depend AS d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = reader.oid
                       AND d.classid = 'pg_rewrite'::regclass
    JOIN pg_rewrite AS r ON r.oid = d.objid
)
SELECT format('%I.%I', n.nspname, c.relname), c.relkind = 'm'
FROM reader
JOIN pg_class AS c ON c.oid = reader.oid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_roles AS owner ON owner.oid = c.relowner
WHERE c.relkind = 'm'
   OR c.relkind = 'v' AND (owner.rolsuper OR owner.rolbypassrls)
      AND NOT EXISTS (SELECT FROM pg_options_to_table(c.reloptions)
                      WHERE option_name = 'security_invoker' AND option_value::boolean)
ORDER BY 1
