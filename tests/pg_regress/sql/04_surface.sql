-- The whole SQL surface, as \df and \d show it: comments, grants, definer functions.
SELECT p.oid::regprocedure::text COLLATE "C" AS function,
       CASE p.provolatile WHEN 'i' THEN 'immutable' WHEN 's' THEN 'stable' ELSE 'volatile' END
       || CASE WHEN p.proleakproof THEN ', leakproof' ELSE '' END
       || CASE p.proparallel WHEN 's' THEN ', parallel safe' ELSE '' END AS property,
       CASE WHEN has_function_privilege('public', p.oid, 'EXECUTE') THEN 'public' ELSE 'admin' END AS "for"
FROM pg_proc p WHERE p.pronamespace = 'tenancy'::regnamespace ORDER BY 1;

-- None of these may return a row: functions without a comment, definer functions without a pinned
-- search path, relations without a comment or row security.
SELECT p.oid::regprocedure AS without_comment
FROM pg_proc p
WHERE p.pronamespace = 'tenancy'::regnamespace AND obj_description(p.oid, 'pg_proc') IS NULL;
SELECT p.oid::regprocedure AS without_search_path
FROM pg_proc p
WHERE p.pronamespace = 'tenancy'::regnamespace AND p.prosecdef
  AND NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (p.proconfig), false);
SELECT c.oid::regclass AS without_comment_or_row_security
FROM pg_class c
WHERE c.relnamespace = 'tenancy'::regnamespace
  AND (c.relkind IN ('r', 'v') AND obj_description(c.oid, 'pg_class') IS NULL
       OR c.relkind = 'r' AND NOT c.relrowsecurity);
SELECT c.oid::regclass AS open_to_public, x.privilege_type
FROM pg_class c, aclexplode(c.relacl) x
WHERE c.relnamespace = 'tenancy'::regnamespace AND x.grantee = 0
ORDER BY c.relname COLLATE "C";

-- Settings.
SELECT name, context, boot_val, short_desc FROM pg_settings WHERE name LIKE 'tenancy.%' ORDER BY name COLLATE "C";

-- Dropping the extension leaves row security on: the tables show nothing to anybody but who bypasses.
SET client_min_messages = error;
\set VERBOSITY terse
DROP EXTENSION pg_tenancy;
\set VERBOSITY default
DROP EXTENSION pg_tenancy CASCADE;
SET SESSION AUTHORIZATION regress_app;
SELECT count(*) FROM app.orders;
SET SESSION AUTHORIZATION DEFAULT;
DROP SCHEMA app CASCADE;
DROP OWNED BY regress_app;
DROP ROLE regress_app;
