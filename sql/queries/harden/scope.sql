-- What the questions about roles to be hardened stand on; each of them follows this text as one more query of the
-- same WITH. $1 are the roles. The queries rely on the search path that their callers pin.
WITH RECURSIVE
given(role, ident) AS (
    SELECT r.oid, quote_ident(r.rolname) FROM pg_roles AS r WHERE r.oid = ANY ($1::oid[])
),
-- Roles that own something here, and so may change it; temporary tables are their session's alone.
owning(role, class, object) AS (
    SELECT d.refobjid, d.classid, d.objid
    FROM pg_shdepend AS d
    WHERE d.refclassid = 'pg_authid'::regclass AND d.deptype = 'o'
      AND d.dbid IN (0, (SELECT db.oid FROM pg_database AS db WHERE db.datname = current_database()))
      AND NOT EXISTS (SELECT FROM pg_class AS c
                      WHERE d.classid = 'pg_class'::regclass AND c.oid = d.objid AND c.relpersistence = 't')
),
-- Roles that nobody who acts for tenants may become.
stronger(role) AS (
    SELECT r.oid
    FROM pg_roles AS r
    WHERE r.rolsuper OR r.rolbypassrls OR r.rolreplication OR r.rolcreaterole OR r.rolcreatedb
       OR r.rolname ~ '^pg_'
  UNION
    SELECT owning.role FROM owning
),
-- What a role can become, and by which of its own memberships.
reach(role, first, target) AS (
    SELECT m.member, m.roleid, m.roleid
    FROM pg_auth_members AS m
    WHERE m.member IN (SELECT given.role FROM given)
  UNION
    SELECT reach.role, reach.first, m.roleid
    FROM reach
    JOIN pg_auth_members AS m ON m.member = reach.target
),
-- Memberships that have to go.
excess(role, first) AS (
    SELECT DISTINCT reach.role, reach.first
    FROM reach
    WHERE reach.target IN (SELECT stronger.role FROM stronger)
),
-- Whose privileges the roles have, once those are gone; 0 is PUBLIC.
holder(role, grantee, ident) AS (
    SELECT given.role, 0::oid, 'PUBLIC' FROM given
  UNION
    SELECT given.role, given.role, given.ident FROM given
  UNION
    SELECT reach.role, r.oid, quote_ident(r.rolname)
    FROM reach
    JOIN pg_roles AS r ON r.oid = reach.target
    WHERE (reach.role, reach.first) NOT IN (SELECT excess.role, excess.first FROM excess)
)
