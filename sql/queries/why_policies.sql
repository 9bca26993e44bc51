-- $1 a table: its policies, those that bind the current role and those that don't.
SELECT p.polname::pg_catalog.text,
       p.polpermissive,
       p.polcmd::pg_catalog.text,
       p.polroles OPERATOR(pg_catalog.=) '{0}'::pg_catalog.oid[]
       OR EXISTS (SELECT FROM pg_catalog.unnest(p.polroles) AS holder(role)
                  WHERE pg_catalog.pg_has_role(holder.role, 'USAGE')),
       pg_catalog.pg_get_expr(p.polqual, p.polrelid),
       pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid)
FROM pg_catalog.pg_policy AS p
WHERE p.polrelid OPERATOR(pg_catalog.=) $1
ORDER BY p.polpermissive, p.polname
