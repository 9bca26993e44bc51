-- Memberships that lead to a stronger role, with who granted them.
SELECT g.role, quote_ident(granted.rolname), g.ident, quote_ident(grantor.rolname)
FROM excess
JOIN given AS g ON g.role = excess.role
JOIN pg_auth_members AS m ON m.member = excess.role AND m.roleid = excess.first
JOIN pg_roles AS granted ON granted.oid = m.roleid
LEFT JOIN pg_roles AS grantor ON grantor.oid = m.grantor
ORDER BY g.role, granted.rolname, grantor.rolname
