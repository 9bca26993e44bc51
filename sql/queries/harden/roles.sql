-- What the roles are, and the profile that is recorded for them.
SELECT g.role, g.ident,
       array_remove(ARRAY[CASE WHEN r.rolsuper THEN 'NOSUPERUSER' END,
                          CASE WHEN r.rolbypassrls THEN 'NOBYPASSRLS' END,
                          CASE WHEN r.rolcreatedb THEN 'NOCREATEDB' END,
                          CASE WHEN r.rolcreaterole THEN 'NOCREATEROLE' END,
                          CASE WHEN r.rolreplication THEN 'NOREPLICATION' END], NULL),
       (SELECT lower(substr(setting, strpos(setting, '=') + 1))
        FROM pg_db_role_setting AS s
        CROSS JOIN LATERAL unnest(s.setconfig) AS setting
        WHERE s.setrole = g.role AND s.setdatabase = 0 AND setting LIKE 'tenancy.profile=%')
FROM given AS g
JOIN pg_roles AS r ON r.oid = g.role
