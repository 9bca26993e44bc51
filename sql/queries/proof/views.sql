-- $1 tables, $2 the names of their tenant columns: the views over them, through other views too, that a role which
-- acts for tenants may read, each with whether it has a column of the tenant column's name,
-- and whether the table's owner may read it.
WITH RECURSIVE app(role) AS (
    SELECT r.oid
    FROM (SELECT DISTINCT role FROM tenancy.access) AS a
    JOIN pg_catalog.pg_roles AS r ON r.oid OPERATOR(pg_catalog.=) a.role
  UNION
    SELECT m.member
    FROM app
    JOIN pg_catalog.pg_auth_members AS m ON m.roleid OPERATOR(pg_catalog.=) app.role
), over(root, tenant_column, view) AS (
    SELECT given.oid, given.tenant_column::pg_catalog.name, r.ev_class
    FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.oid[]), pg_catalog.unnest($2::pg_catalog.text[]))
         AS given(oid, tenant_column)
    JOIN pg_catalog.pg_depend AS d
      ON d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
     AND d.refobjid OPERATOR(pg_catalog.=) given.oid
     AND d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_rewrite'::pg_catalog.regclass
    JOIN pg_catalog.pg_rewrite AS r ON r.oid OPERATOR(pg_catalog.=) d.objid
    WHERE r.ev_class OPERATOR(pg_catalog.<>) given.oid
  UNION
    SELECT over.root, over.tenant_column, r.ev_class
    FROM over
    JOIN pg_catalog.pg_depend AS d
      ON d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
     AND d.refobjid OPERATOR(pg_catalog.=) over.view
     AND d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_rewrite'::pg_catalog.regclass
    JOIN pg_catalog.pg_rewrite AS r ON r.oid OPERATOR(pg_catalog.=) d.objid
    WHERE r.ev_class OPERATOR(pg_catalog.<>) over.view
)
SELECT over.root,
       pg_catalog.format('%I.%I', n.nspname, c.relname),
       EXISTS (SELECT FROM pg_catalog.pg_attribute AS a
               WHERE a.attrelid OPERATOR(pg_catalog.=) c.oid
                 AND a.attname OPERATOR(pg_catalog.=) over.tenant_column
                 AND a.atttypid OPERATOR(pg_catalog.=) t.atttypid),
       pg_catalog.has_table_privilege(root.relowner, c.oid, 'SELECT')
       AND pg_catalog.has_schema_privilege(root.relowner, n.oid, 'USAGE')
FROM over
JOIN pg_catalog.pg_class AS root ON root.oid OPERATOR(pg_catalog.=) over.root
JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) over.view
JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
LEFT JOIN pg_catalog.pg_attribute AS t
       ON t.attrelid OPERATOR(pg_catalog.=) over.root AND t.attname OPERATOR(pg_catalog.=) over.tenant_column
WHERE c.relkind OPERATOR(pg_catalog.=) 'v'
  AND (pg_catalog.has_table_privilege('public', c.oid, 'SELECT')
       OR EXISTS (SELECT FROM app
                  JOIN pg_catalog.pg_roles AS r ON r.oid OPERATOR(pg_catalog.=) app.role
                  WHERE NOT r.rolsuper AND NOT r.rolbypassrls
                    AND pg_catalog.has_table_privilege(r.oid, c.oid, 'SELECT')))
ORDER BY 1, 2
