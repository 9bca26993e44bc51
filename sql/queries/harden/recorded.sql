-- Roles that act for tenants here and have a profile, which is theirs in every database.
WITH RECURSIVE acting(role) AS (
    SELECT r.oid FROM tenancy.access AS a JOIN pg_roles AS r ON r.oid = a.role
  UNION
    SELECT m.member
    FROM acting
    JOIN pg_auth_members AS m ON m.roleid = acting.role
    JOIN pg_roles AS r ON r.oid = m.member
    WHERE coalesce((to_jsonb(m) ->> 'inherit_option')::boolean, r.rolinherit)
)
SELECT r.oid, r.rolname::text
FROM acting
JOIN pg_roles AS r ON r.oid = acting.role
JOIN pg_db_role_setting AS s ON s.setrole = r.oid AND s.setdatabase = 0
WHERE EXISTS (SELECT FROM unnest(s.setconfig) AS setting WHERE setting LIKE 'tenancy.profile=%')
ORDER BY r.rolname
