-- Protected tables whose row security is off, not forced, or lacks one of its kind's policies: of that name, for that command and
-- everybody, with expressions of the right shape that ask for the context. They are not printed, which would open each
-- table: a wrong one of the same shape is for tenancy.doctor() to find.
WITH shape AS MATERIALIZED (
    SELECT s.name, pg_catalog.array_agg(pg_catalog.format(s.pattern, f.oid)) AS patterns
    FROM pg_catalog.pg_proc AS f
    JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) f.pronamespace
    CROSS JOIN (VALUES ('own', 'current', '{OPEXPR %%{VAR %%:funcid %s %%'),
                       ('below', 'visible', '{SCALARARRAYOPEXPR %%{VAR %%:funcid %s %%'),
                       ('nobodys', 'current', '{BOOLEXPR :boolop and %%{NULLTEST %%{VAR %%:funcid %s %%'),
                       ('readable', 'current', '{BOOLEXPR :boolop or %%{NULLTEST %%{OPEXPR %%{VAR %%:funcid %s %%'),
                       ('never', 'current', '{CONST :consttype 16 %%:constisnull false %%:constvalue 1 [ 0 0 0 0 0 0 0 0 ]}'),
                       ('none', 'current', '')) AS s(name, function, pattern)
    WHERE n.nspname OPERATOR(pg_catalog.=) 'tenancy' AND f.pronargs OPERATOR(pg_catalog.=) 0
      AND f.proname OPERATOR(pg_catalog.=) ANY
          ('{current_tenant,current_key,current_key_int,visible_tenants,visible_keys,visible_key_ints}'::pg_catalog.name[])
      AND pg_catalog.starts_with(f.proname::pg_catalog.text, s.function)
    GROUP BY s.name
), wanted AS MATERIALIZED (
    SELECT w.kind, w.name, w.is_permissive, w.command, used.patterns AS used, checked.patterns AS checked
    FROM (VALUES ('tenant', 'tenant_isolation_floor', false, '*', 'own', 'own'),
                 ('tenant', 'tenant_isolation', true, '*', 'own', 'own'),
                 ('shared', 'tenant_isolation_floor_select', false, 'r', 'readable', 'none'),
                 ('shared', 'tenant_isolation_floor_insert', false, 'a', 'none', 'own'),
                 ('shared', 'tenant_isolation_floor_update', false, 'w', 'own', 'own'),
                 ('shared', 'tenant_isolation_floor_delete', false, 'd', 'own', 'none'),
                 ('shared', 'tenant_isolation', true, '*', 'own', 'own'),
                 ('shared', 'tenant_isolation_shared', true, 'r', 'nobodys', 'none'),
                 ('append_only', 'tenant_isolation_floor_select', false, 'r', 'own', 'none'),
                 ('append_only', 'tenant_isolation_floor_insert', false, 'a', 'none', 'own'),
                 ('append_only', 'tenant_isolation_floor_update', false, 'w', 'never', 'none'),
                 ('append_only', 'tenant_isolation_floor_delete', false, 'd', 'never', 'none'),
                 ('append_only', 'tenant_isolation', true, 'r', 'own', 'none'),
                 ('append_only', 'tenant_isolation_insert', true, 'a', 'none', 'own'),
                 ('tree', 'tenant_isolation_floor_select', false, 'r', 'below', 'none'),
                 ('tree', 'tenant_isolation_floor_insert', false, 'a', 'none', 'own'),
                 ('tree', 'tenant_isolation_floor_update', false, 'w', 'own', 'own'),
                 ('tree', 'tenant_isolation_floor_delete', false, 'd', 'own', 'none'),
                 ('tree', 'tenant_isolation', true, 'r', 'below', 'none'),
                 ('tree', 'tenant_isolation_insert', true, 'a', 'none', 'own'),
                 ('tree', 'tenant_isolation_update', true, 'w', 'own', 'own'),
                 ('tree', 'tenant_isolation_delete', true, 'd', 'own', 'none'))
         AS w(kind, name, is_permissive, command, used, checked)
    JOIN shape AS used ON used.name OPERATOR(pg_catalog.=) w.used
    JOIN shape AS checked ON checked.name OPERATOR(pg_catalog.=) w.checked
), policy AS MATERIALIZED (
    SELECT p.polrelid, p.polname::pg_catalog.text AS name, p.polpermissive AS is_permissive, p.polcmd::pg_catalog.text AS command,
           coalesce(p.polqual::pg_catalog.text, '') AS used, coalesce(p.polwithcheck::pg_catalog.text, '') AS checked
    FROM pg_catalog.pg_policy AS p
    WHERE pg_catalog.starts_with(p.polname::pg_catalog.text, 'tenant_isolation') AND p.polroles OPERATOR(pg_catalog.=) '{0}'::pg_catalog.oid[]
)
SELECT p.relation::pg_catalog.text
FROM tenancy.protection AS p
JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) p.relation
LEFT JOIN wanted AS w ON w.kind OPERATOR(pg_catalog.=) p.kind
LEFT JOIN policy AS pol
       ON pol.polrelid OPERATOR(pg_catalog.=) p.relation AND pol.name OPERATOR(pg_catalog.=) w.name
      AND pol.is_permissive OPERATOR(pg_catalog.=) w.is_permissive AND pol.command OPERATOR(pg_catalog.=) w.command
      AND pol.used OPERATOR(pg_catalog.~~) ANY (w.used) AND pol.checked OPERATOR(pg_catalog.~~) ANY (w.checked)
WHERE p.kind OPERATOR(pg_catalog.<>) 'global'
GROUP BY p.relation, c.relrowsecurity, c.relforcerowsecurity
HAVING NOT c.relrowsecurity OR NOT c.relforcerowsecurity OR pg_catalog.count(*) OPERATOR(pg_catalog.<>) pg_catalog.count(pol.polrelid)
ORDER BY 1
