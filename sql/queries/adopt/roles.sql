-- $1 tables: the roles that log in, reach them, and act for no tenant yet: neither by access nor by a setting of theirs.
WITH able AS (
    SELECT m.oid
    FROM pg_roles AS m
    WHERE NOT m.rolsuper
      AND EXISTS (SELECT FROM unnest($1) AS t(oid)
                  JOIN pg_class AS c ON c.oid = t.oid AND has_schema_privilege(m.oid, c.relnamespace, 'USAGE')
                  WHERE has_table_privilege(m.oid, t.oid, 'SELECT, INSERT, UPDATE, DELETE')
                     OR has_any_column_privilege(m.oid, t.oid, 'SELECT, INSERT, UPDATE'))
)
SELECT quote_ident(r.rolname)
FROM pg_roles AS r
WHERE r.rolcanlogin AND NOT r.rolsuper AND NOT r.rolbypassrls
  AND EXISTS (SELECT FROM able WHERE pg_has_role(r.oid, able.oid, 'MEMBER'))
  AND NOT EXISTS (SELECT FROM tenancy.access AS a
                  JOIN pg_roles AS holder ON holder.oid = a.role
                  WHERE pg_has_role(r.oid, holder.oid, 'MEMBER'))
  AND NOT EXISTS (SELECT FROM pg_db_role_setting AS s
                  CROSS JOIN LATERAL unnest(s.setconfig) AS setting
                  WHERE s.setrole IN (0, r.oid)
                    AND (s.setdatabase = 0
                         OR s.setdatabase = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database()))
                    AND setting ~* '^tenancy\.(default_tenant|tenant_id)=.')
ORDER BY r.rolname
