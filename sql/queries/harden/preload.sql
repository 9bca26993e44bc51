-- Where the library has yet to be named for it to be there in every session of the roles, and of those who inherit
-- from them: role, database (or NULL), value. A role's setting hides that of the server and of the database, and is
-- hidden by its own for a database.
, heir(role, heir) AS (
    SELECT given.role, given.role FROM given
  UNION
    SELECT heir.role, m.member
    FROM heir
    JOIN pg_auth_members AS m ON m.roleid = heir.heir
    JOIN pg_roles AS r ON r.oid = m.member
    WHERE coalesce((to_jsonb(m) ->> 'inherit_option')::boolean, r.rolinherit)
), named(role, ident, heir) AS (
    SELECT heir.role, quote_ident(r.rolname), r.oid
    FROM heir
    JOIN pg_roles AS r ON r.oid = heir.heir
    WHERE r.rolcanlogin AND (NOT r.rolsuper OR r.oid = heir.role)
), shared(is_loaded) AS (
    SELECT s.setting ~ '(^|[/, "])pg_tenancy(\.so)?($|[, "])'
    FROM pg_settings AS s
    WHERE s.name = 'shared_preload_libraries'
), chosen(role, database, libraries) AS (
    SELECT s.setrole, s.setdatabase,
           regexp_split_to_array(replace(substr(setting, strpos(setting, '=') + 1), '"', ''), '\s*,\s*')
    FROM pg_db_role_setting AS s
    CROSS JOIN LATERAL unnest(s.setconfig) AS setting
    WHERE setting LIKE 'session\_preload\_libraries=%'
), wanted(role, ident, database, libraries, has) AS (
    SELECT n.role, n.ident, NULL::oid, coalesce(own.libraries, server.libraries || here.libraries), own.libraries
    FROM named AS n
    CROSS JOIN (SELECT regexp_split_to_array(replace(s.reset_val, '"', ''), '\s*,\s*')
                FROM pg_settings AS s WHERE s.name = 'session_preload_libraries') AS server(libraries)
    LEFT JOIN chosen AS own ON own.role = n.heir AND own.database = 0
    LEFT JOIN chosen AS here
           ON here.role = 0 AND here.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
  UNION ALL
    SELECT n.role, n.ident, c.database, coalesce(own.libraries, c.libraries), own.libraries
    FROM named AS n
    JOIN (SELECT DISTINCT ON (member.oid, c.database) member.oid, c.database, c.libraries
          FROM pg_roles AS member
          JOIN chosen AS c ON c.role IN (0, member.oid) AND c.database <> 0
          WHERE member.oid IN (SELECT named.heir FROM named)
          ORDER BY member.oid, c.database, c.role DESC) AS c ON c.oid = n.heir
    LEFT JOIN chosen AS own ON own.role = n.heir AND own.database = c.database
    WHERE own.libraries IS NOT NULL
       OR c.database <> (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
)
SELECT DISTINCT w.role, w.ident, quote_ident(d.datname),
       (SELECT string_agg(quote_literal(library), ', ' ORDER BY place)
        FROM (SELECT l.library, min(l.place) AS place
              FROM unnest(w.libraries || ARRAY['pg_tenancy']) WITH ORDINALITY AS l(library, place)
              WHERE l.library <> ''
              GROUP BY l.library) AS l)
FROM wanted AS w
LEFT JOIN pg_database AS d ON d.oid = w.database
WHERE NOT coalesce((SELECT shared.is_loaded FROM shared), false)
  AND NOT EXISTS (SELECT FROM unnest(w.has) AS has WHERE has ~ '(^|/)pg_tenancy(\.so)?$')
ORDER BY w.role, w.ident, 3 NULLS FIRST
