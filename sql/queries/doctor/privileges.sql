-- Privileges that lead round row security, and those that let tenants prepare the ground.
SELECT 'DANGEROUS_PRIV', p.name, format('%s: %s', held.grantee, held.privileges),
       format('REVOKE %s ON TABLE %s FROM %s CASCADE', held.privileges, p.name, held.grantee), NULL::text
FROM protected AS p
CROSS JOIN LATERAL (
    SELECT x.grantee, string_agg(x.privilege, ', ' ORDER BY x.privilege) AS privileges
    FROM (
        SELECT DISTINCT CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(x.grantee)) END AS grantee,
               x.privilege_type AS privilege
        FROM aclexplode(p.relacl) AS x
        WHERE x.grantee <> p.relowner AND x.privilege_type IN ('TRUNCATE', 'REFERENCES', 'TRIGGER')
      UNION
        SELECT CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(x.grantee)) END,
               format('REFERENCES (%I)', a.attname)
        FROM pg_attribute AS a
        CROSS JOIN LATERAL aclexplode(a.attacl) AS x
        WHERE a.attrelid = p.oid AND a.attacl IS NOT NULL
          AND x.grantee <> p.relowner AND x.privilege_type = 'REFERENCES'
    ) AS x
    GROUP BY x.grantee
) AS held
WHERE $1::oid IS NULL OR p.relnamespace = $1
UNION ALL
SELECT 'DEFAULT_PRIV',
       coalesce(quote_ident(n.nspname), 'tables') || ' of ' || quote_ident(pg_get_userbyid(d.defaclrole)),
       format('%s: %s', x.grantee, x.privileges),
       format('ALTER DEFAULT PRIVILEGES FOR ROLE %I%s REVOKE %s ON TABLES FROM %s', pg_get_userbyid(d.defaclrole),
              ' IN SCHEMA ' || quote_ident(n.nspname), x.privileges, x.grantee), NULL
FROM pg_default_acl AS d
JOIN pg_roles AS r ON r.oid = d.defaclrole
LEFT JOIN pg_namespace AS n ON n.oid = d.defaclnamespace
CROSS JOIN LATERAL (
    SELECT CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(x.grantee)) END AS grantee,
           string_agg(DISTINCT x.privilege_type, ', ') AS privileges
    FROM aclexplode(d.defaclacl) AS x
    WHERE x.grantee <> d.defaclrole
      AND (x.grantee = 0 OR x.privilege_type IN ('TRUNCATE', 'REFERENCES', 'TRIGGER'))
    GROUP BY x.grantee
) AS x
WHERE d.defaclobjtype = 'r' AND ($1::oid IS NULL OR d.defaclnamespace IN (0, $1))
UNION ALL
SELECT 'SCHEMA_CREATE', s.ident, h.ident,
       CASE WHEN h.role = n.nspowner
            THEN (SELECT format('ALTER SCHEMA %s OWNER TO %s', s.ident, keeper.ident) FROM keeper)
            ELSE format('REVOKE CREATE ON SCHEMA %s FROM %s CASCADE', s.ident, h.ident) END, NULL
FROM user_schema AS s
JOIN pg_namespace AS n ON n.oid = s.oid
CROSS JOIN LATERAL (SELECT DISTINCT x.grantee FROM aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) AS x
                    WHERE x.privilege_type = 'CREATE'
                    UNION SELECT n.nspowner) AS x
JOIN holder AS h ON h.role = x.grantee
WHERE ($1::oid IS NULL OR s.oid = $1)
  AND (s.ident = 'public' OR EXISTS (SELECT FROM pg_class AS c WHERE c.relnamespace = s.oid)
       OR EXISTS (SELECT FROM pg_proc AS f WHERE f.pronamespace = s.oid))
UNION ALL
SELECT 'DATABASE_CREATE', quote_ident(d.datname), h.ident,
       CASE WHEN h.role = d.datdba
            THEN (SELECT format('ALTER DATABASE %I OWNER TO %s', d.datname, keeper.ident) FROM keeper)
            ELSE format('REVOKE CREATE ON DATABASE %I FROM %s CASCADE', d.datname, h.ident) END, NULL
FROM pg_database AS d
CROSS JOIN LATERAL (SELECT DISTINCT x.grantee FROM aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) AS x
                    WHERE x.privilege_type = 'CREATE'
                    UNION SELECT d.datdba) AS x
JOIN holder AS h ON h.role = x.grantee
WHERE d.datname = current_database() AND $1::oid IS NULL
UNION ALL
SELECT 'TEMP_FOR_TENANTS', quote_ident(d.datname), h.ident,
       format('REVOKE TEMPORARY ON DATABASE %I FROM %s CASCADE', d.datname, h.ident), NULL
FROM pg_database AS d
CROSS JOIN LATERAL aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) AS x
JOIN holder AS h ON h.role = x.grantee
WHERE d.datname = current_database() AND x.privilege_type = 'TEMPORARY' AND x.grantee <> d.datdba
  AND $1::oid IS NULL AND EXISTS (SELECT FROM app)
UNION ALL
SELECT 'PARAMETER_GRANT', p.parname, h.ident,
       format('REVOKE %s ON PARAMETER %s FROM %s CASCADE', string_agg(DISTINCT x.privilege_type, ', '),
              (SELECT string_agg(quote_ident(part), '.' ORDER BY place)
               FROM unnest(string_to_array(p.parname, '.')) WITH ORDINALITY AS u(part, place)), h.ident),
       NULL
FROM pg_parameter_acl AS p
CROSS JOIN LATERAL aclexplode(p.paracl) AS x
JOIN holder AS h ON h.role = x.grantee
WHERE $1::oid IS NULL AND EXISTS (SELECT FROM app)
GROUP BY p.parname, h.ident
UNION ALL
-- Who may write the registry makes himself any tenant's.
SELECT 'REGISTRY_GRANT', format('tenancy.%I', c.relname),
       format('%s: %s', x.grantee, x.privileges),
       format('REVOKE %s ON TABLE tenancy.%I FROM %s CASCADE', x.privileges, c.relname, x.grantee), NULL
FROM pg_class AS c
CROSS JOIN LATERAL (
    SELECT CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(x.grantee)) END AS grantee,
           string_agg(DISTINCT x.privilege_type, ', ') AS privileges
    FROM aclexplode(c.relacl) AS x
    WHERE x.grantee <> c.relowner AND x.privilege_type IN ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER')
    GROUP BY x.grantee
) AS x
WHERE c.relnamespace = 'tenancy'::regnamespace AND c.relkind IN ('r', 'p') AND $1::oid IS NULL
UNION ALL
-- PostgreSQL keeps these to itself: values of rows in statistics, large objects and long values, and passwords.
SELECT 'CATALOG_GRANT', format('pg_catalog.%I', c.relname), h.ident,
       format('REVOKE SELECT ON TABLE pg_catalog.%I FROM %s CASCADE', c.relname, h.ident), NULL
FROM pg_class AS c
JOIN holder AS h ON EXISTS (SELECT FROM aclexplode(c.relacl) AS x
                            WHERE x.grantee = h.role AND x.privilege_type = 'SELECT')
                 OR EXISTS (SELECT FROM pg_attribute AS a
                            CROSS JOIN LATERAL aclexplode(a.attacl) AS x
                            WHERE a.attrelid = c.oid AND a.attacl IS NOT NULL
                              AND x.grantee = h.role AND x.privilege_type = 'SELECT')
WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relowner <> h.role AND $1::oid IS NULL
  AND c.relname IN ('pg_statistic', 'pg_statistic_ext_data', 'pg_largeobject', 'pg_authid', 'pg_shadow',
                    'pg_user_mapping')
UNION ALL
SELECT 'CATALOG_GRANT', n.nspname, h.ident,
       format('REVOKE USAGE ON SCHEMA %I FROM %s CASCADE', n.nspname, h.ident), NULL
FROM pg_namespace AS n
CROSS JOIN LATERAL aclexplode(n.nspacl) AS x
JOIN holder AS h ON h.role = x.grantee
WHERE n.nspname = 'pg_toast' AND x.privilege_type = 'USAGE' AND x.grantee <> n.nspowner AND $1::oid IS NULL
UNION ALL
SELECT 'RLS_DISABLED', format('tenancy.%I', c.relname), NULL,
       format('ALTER TABLE tenancy.%I ENABLE ROW LEVEL SECURITY', c.relname), NULL
FROM pg_class AS c
WHERE c.relnamespace = 'tenancy'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relrowsecurity
  AND $1::oid IS NULL
UNION ALL
-- Functions that PUBLIC was not meant to have when the extension was made.
SELECT 'ADMIN_FOR_TENANTS', h.ident, count(DISTINCT f.oid)::text,
       format('REVOKE EXECUTE ON FUNCTION %s FROM %s CASCADE',
              string_agg(DISTINCT format('tenancy.%I(%s)', f.proname, pg_get_function_identity_arguments(f.oid)), ', '),
              h.ident), NULL
FROM pg_proc AS f
JOIN pg_init_privs AS i ON i.classoid = 'pg_proc'::regclass AND i.objoid = f.oid
CROSS JOIN LATERAL aclexplode(f.proacl) AS x
JOIN holder AS h ON h.role = x.grantee
WHERE f.pronamespace = 'tenancy'::regnamespace AND x.grantee <> f.proowner AND $1::oid IS NULL
  AND NOT EXISTS (SELECT FROM aclexplode(i.initprivs) AS initial WHERE initial.grantee = 0)
GROUP BY h.ident
