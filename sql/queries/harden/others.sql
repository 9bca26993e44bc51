-- Who keeps what is taken from PUBLIC: the roles that have to do with this database, and neither act for tenants, nor
-- can be become by one who does, nor are hardened. Superusers need nothing.
, acting(role) AS (
    SELECT given.role FROM given
  UNION
    SELECT r.oid FROM tenancy.access AS a JOIN pg_roles AS r ON r.oid = a.role
  UNION
    SELECT s.setrole
    FROM pg_db_role_setting AS s
    WHERE s.setdatabase = 0 AND EXISTS (SELECT FROM unnest(s.setconfig) AS setting WHERE setting LIKE 'tenancy.profile=%')
  UNION
    SELECT m.member
    FROM acting
    JOIN pg_auth_members AS m ON m.roleid = acting.role
    JOIN pg_roles AS r ON r.oid = m.member
    WHERE coalesce((to_jsonb(m) ->> 'inherit_option')::boolean, r.rolinherit)
), become(role) AS (
    SELECT acting.role FROM acting
  UNION
    SELECT m.roleid
    FROM become
    JOIN pg_auth_members AS m ON m.member = become.role
    WHERE (m.member, m.roleid) NOT IN (SELECT excess.role, excess.first FROM excess)
)
, involved(role) AS (
    -- Who owns something here, or was granted something.
    SELECT d.refobjid
    FROM pg_shdepend AS d
    JOIN pg_database AS here ON here.datname = current_database()
    WHERE d.refclassid = 'pg_authid'::regclass
      AND (d.dbid = here.oid OR d.classid = 'pg_database'::regclass AND d.objid = here.oid)
  UNION
    -- Who keeps the server.
    SELECT r.oid
    FROM pg_roles AS r
    WHERE r.rolbypassrls OR r.rolreplication OR r.rolcreaterole OR r.rolcreatedb OR r.rolname = 'pg_monitor'
  UNION
    SELECT m.member
    FROM pg_auth_members AS m
    JOIN pg_roles AS predefined ON predefined.oid = m.roleid
    WHERE predefined.rolname ~ '^pg_'
)
SELECT quote_ident(r.rolname)
FROM pg_roles AS r
WHERE NOT r.rolsuper AND (r.rolname !~ '^pg_' OR r.rolname = 'pg_monitor')
  AND r.oid IN (SELECT involved.role FROM involved)
  AND r.oid NOT IN (SELECT become.role FROM become)
ORDER BY r.rolname
