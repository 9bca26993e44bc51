-- $1 tables: of the roles that act for tenants, those to whom a table or a part of it means more than SELECT, INSERT,
-- UPDATE and DELETE: they have the rights of its owner, privileges that lead round row security, or policies of
-- their own. Of several that have the same, the first. Roles that bypass row security are not asked.
-- With each goes what makes another role like it before the table: the roles to be a member of, and privileges. Code of
-- the table's owner will run as that role, so it becomes a member of none whose rights the owner doesn't have; these come last.
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
), referring(root, oid) AS (
    SELECT tree.root, tree.oid FROM tree
  UNION
    SELECT referring.root, k.conrelid
    FROM referring
    JOIN pg_catalog.pg_constraint AS k
      ON k.confrelid OPERATOR(pg_catalog.=) referring.oid AND k.contype OPERATOR(pg_catalog.=) 'f'
), special(root, reason, role, joined, privilege) AS (
    SELECT tree.root, 'owner ' OPERATOR(pg_catalog.||) c.oid::pg_catalog.text, c.relowner, c.relowner, NULL
    FROM tree JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) tree.oid
  UNION
    SELECT tree.root, x.privilege_type OPERATOR(pg_catalog.||) c.oid::pg_catalog.text, x.grantee, NULL,
           pg_catalog.format('%s ON %I.%I', x.privilege_type, n.nspname, c.relname)
    FROM tree
    JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) tree.oid
    JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
    CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) AS x
    WHERE x.privilege_type IN ('TRUNCATE', 'REFERENCES', 'TRIGGER')
      AND x.grantee OPERATOR(pg_catalog.<>) 0::pg_catalog.oid
  UNION
    SELECT tree.root, 'policy ' OPERATOR(pg_catalog.||) p.oid::pg_catalog.text, holder.role, holder.role, NULL
    FROM tree
    JOIN pg_catalog.pg_policy AS p ON p.polrelid OPERATOR(pg_catalog.=) tree.oid
    CROSS JOIN LATERAL pg_catalog.unnest(p.polroles) AS holder(role)
    WHERE holder.role OPERATOR(pg_catalog.<>) 0::pg_catalog.oid
), entitled(root, owner, role, rolname, reasons, joined, privileges, lent) AS (
    SELECT s.root, c.relowner, r.oid, r.rolname, pg_catalog.array_agg(DISTINCT s.reason ORDER BY s.reason),
           pg_catalog.array_agg(DISTINCT pg_catalog.quote_ident(joined.rolname)) FILTER (WHERE joined.held),
           pg_catalog.array_agg(DISTINCT s.privilege) FILTER (WHERE s.privilege IS NOT NULL),
           pg_catalog.array_agg(DISTINCT pg_catalog.quote_ident(joined.rolname)) FILTER (WHERE NOT joined.held)
    FROM app
    JOIN pg_catalog.pg_roles AS r ON r.oid OPERATOR(pg_catalog.=) app.role
    JOIN special AS s ON pg_catalog.pg_has_role(r.oid, s.role, 'USAGE')
    JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) s.root
    LEFT JOIN LATERAL (
        SELECT j.rolname, pg_catalog.pg_has_role(c.relowner, j.oid, 'USAGE') AS held
        FROM pg_catalog.pg_roles AS j WHERE j.oid OPERATOR(pg_catalog.=) s.joined
    ) AS joined ON true
    WHERE NOT r.rolsuper AND NOT r.rolbypassrls
    GROUP BY s.root, c.relowner, r.oid, r.rolname
)
SELECT DISTINCT ON (root, reasons) root, pg_catalog.quote_ident(rolname),
       coalesce(joined, '{}'),
       -- TRUNCATE goes on to the tables that refer to this one.
       coalesce(privileges, '{}') OPERATOR(pg_catalog.||)
           ARRAY(SELECT pg_catalog.format('TRUNCATE ON %I.%I', n.nspname, c.relname)
                 FROM referring
                 JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) referring.oid
                 JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
                 WHERE referring.root OPERATOR(pg_catalog.=) entitled.root
                   AND pg_catalog.has_table_privilege(entitled.role, c.oid, 'TRUNCATE')
                   AND pg_catalog.has_table_privilege(entitled.owner, c.oid, 'TRUNCATE')
                 ORDER BY 1),
       coalesce(lent, '{}')
FROM entitled
ORDER BY root, reasons, rolname
