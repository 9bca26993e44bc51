-- $1 tables: their policies, by name.
SELECT p.polrelid,
       p.polname::pg_catalog.text,
       p.polpermissive,
       p.polcmd::pg_catalog.text,
       p.polroles OPERATOR(pg_catalog.=) '{0}'::pg_catalog.oid[],
       pg_catalog.pg_get_expr(p.polqual, p.polrelid),
       pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid)
FROM pg_catalog.pg_policy AS p
WHERE p.polrelid OPERATOR(pg_catalog.=) ANY ($1)
ORDER BY p.polrelid, p.polname
