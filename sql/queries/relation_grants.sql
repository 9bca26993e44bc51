-- $1 tables: who but the owner holds a privilege that leads round row security.
SELECT held.relation,
       held.grantee,
       pg_catalog.string_agg(held.privilege, ', ' ORDER BY held.privilege)
FROM (
    SELECT DISTINCT c.oid AS relation,
           CASE WHEN x.grantee OPERATOR(pg_catalog.=) 0::pg_catalog.oid THEN 'PUBLIC'
                ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(x.grantee)) END AS grantee,
           x.privilege_type AS privilege
    FROM pg_catalog.pg_class AS c
    CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) AS x
    WHERE c.oid OPERATOR(pg_catalog.=) ANY ($1)
      AND x.grantee OPERATOR(pg_catalog.<>) c.relowner
      AND x.privilege_type IN ('TRUNCATE', 'REFERENCES', 'TRIGGER')
  UNION ALL
    SELECT DISTINCT c.oid,
           CASE WHEN x.grantee OPERATOR(pg_catalog.=) 0::pg_catalog.oid THEN 'PUBLIC'
                ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(x.grantee)) END,
           pg_catalog.format('REFERENCES (%I)', a.attname)
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid OPERATOR(pg_catalog.=) c.oid
    CROSS JOIN LATERAL pg_catalog.aclexplode(a.attacl) AS x
    WHERE c.oid OPERATOR(pg_catalog.=) ANY ($1)
      AND x.grantee OPERATOR(pg_catalog.<>) c.relowner
      AND x.privilege_type OPERATOR(pg_catalog.=) 'REFERENCES'
) AS held
GROUP BY held.relation, held.grantee
ORDER BY held.relation, held.grantee
