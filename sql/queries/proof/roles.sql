-- $1 tables: of the roles that act for tenants, those to whom a table or a part of it means more than SELECT, INSERT,
-- UPDATE and DELETE: they have the rights of its owner, privileges that lead round row security, or policies of
-- their own. Of several that have the same, the first. Roles that bypass row security are not asked.
WITH RECURSIVE app(role) AS (
    SELECT r.oid
    FROM (SELECT DISTINCT role FROM tenancy.access) AS a
    JOIN pg_catalog.pg_roles AS r ON r.oid OPERATOR(pg_catalog.=) a.role
  UNION
    SELECT m.member
    FROM app
    JOIN pg_catalog.pg_auth_members AS m ON m.roleid OPERATOR(pg_catalog.=) app.role
), tree(root, oid) AS (
    SELECT given.oid, given.oid FROM pg_catalog.unnest($1::pg_catalog.oid[]) AS given(oid)
  UNION
    SELECT tree.root, i.inhrelid
    FROM tree JOIN pg_catalog.pg_inherits AS i ON i.inhparent OPERATOR(pg_catalog.=) tree.oid
), special(root, reason, role) AS (
    SELECT tree.root, 'owner ' OPERATOR(pg_catalog.||) c.oid::pg_catalog.text, c.relowner
    FROM tree JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) tree.oid
  UNION
    SELECT tree.root, x.privilege_type OPERATOR(pg_catalog.||) c.oid::pg_catalog.text, x.grantee
    FROM tree
    JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) tree.oid
    CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) AS x
    WHERE x.privilege_type IN ('TRUNCATE', 'REFERENCES', 'TRIGGER')
      AND x.grantee OPERATOR(pg_catalog.<>) 0::pg_catalog.oid
  UNION
    SELECT tree.root, 'policy ' OPERATOR(pg_catalog.||) p.oid::pg_catalog.text, holder.role
    FROM tree
    JOIN pg_catalog.pg_policy AS p ON p.polrelid OPERATOR(pg_catalog.=) tree.oid
    CROSS JOIN LATERAL pg_catalog.unnest(p.polroles) AS holder(role)
    WHERE holder.role OPERATOR(pg_catalog.<>) 0::pg_catalog.oid
), entitled(root, role, rolname, reasons) AS (
    SELECT s.root, r.oid, r.rolname, pg_catalog.array_agg(DISTINCT s.reason ORDER BY s.reason)
    FROM app
    JOIN pg_catalog.pg_roles AS r ON r.oid OPERATOR(pg_catalog.=) app.role
    JOIN special AS s ON pg_catalog.pg_has_role(r.oid, s.role, 'USAGE')
    WHERE NOT r.rolsuper AND NOT r.rolbypassrls
    GROUP BY s.root, r.oid, r.rolname
)
SELECT DISTINCT ON (root, reasons) root, pg_catalog.quote_ident(rolname)
FROM entitled
ORDER BY root, reasons, rolname
