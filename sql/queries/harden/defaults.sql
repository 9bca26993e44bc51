-- What the roles would be granted on tables that are made later.
SELECT h.role, quote_ident(pg_get_userbyid(d.defaclrole)), quote_ident(n.nspname),
       string_agg(DISTINCT x.privilege_type, ', ' ORDER BY x.privilege_type), h.ident
FROM pg_default_acl AS d
JOIN pg_roles AS r ON r.oid = d.defaclrole
LEFT JOIN pg_namespace AS n ON n.oid = d.defaclnamespace
CROSS JOIN LATERAL aclexplode(d.defaclacl) AS x
JOIN holder AS h ON h.grantee = x.grantee
WHERE d.defaclobjtype = 'r' AND x.grantee <> d.defaclrole
  AND x.privilege_type IN ('TRUNCATE', 'REFERENCES', 'TRIGGER', 'MAINTAIN')
GROUP BY h.role, d.defaclrole, n.nspname, h.ident
ORDER BY h.role, 2, 3, h.ident
