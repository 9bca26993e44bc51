-- The extension's own triggers, and whether its library is there from the start of a session.
, own_function AS (
    SELECT d.objid AS oid
    FROM pg_depend AS d
    JOIN pg_extension AS e ON e.oid = d.refobjid AND e.extname = 'pg_tenancy'
    WHERE d.classid = 'pg_proc'::regclass AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
), preload AS (
    SELECT (SELECT s.setting FROM pg_settings AS s WHERE s.name = 'shared_preload_libraries') AS shared,
           (SELECT s.reset_val FROM pg_settings AS s WHERE s.name = 'session_preload_libraries') AS session,
           (SELECT string_agg(substr(setting, strpos(setting, '=') + 1), ',' ORDER BY s.setdatabase)
            FROM pg_db_role_setting AS s
            JOIN pg_database AS d ON d.oid = s.setdatabase AND d.datname = current_database()
            CROSS JOIN LATERAL unnest(s.setconfig) AS setting
            WHERE s.setrole = 0 AND setting LIKE 'session\_preload\_libraries=%') AS database
)
SELECT 'TRIGGER_NOT_ALWAYS', format('%I ON %I.%I', t.tgname, n.nspname, c.relname), NULL::text,
       format('ALTER TABLE %I.%I ENABLE %sTRIGGER %I', n.nspname, c.relname,
              CASE WHEN t.tgname LIKE 'keep\_owner\_at\_%' OR t.tgname LIKE 'parent\_%' OR t.tgname = 'plan_moved' THEN ''
                   WHEN t.tgname IN ('members_changed', 'tree_grown') THEN 'REPLICA '
                   ELSE 'ALWAYS ' END, t.tgname), NULL::text
FROM pg_trigger AS t
JOIN own_function AS f ON f.oid = t.tgfoid
JOIN pg_class AS c ON c.oid = t.tgrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
-- Those of protected tables are a matter of drift, and what is replicated keeps the owners and places that it has elsewhere.
WHERE t.tgenabled <> 'A' AND t.tgname <> 'tenant_isolation_truncate'
  AND NOT (t.tgenabled = 'O' AND t.tgname IN ('keep_owner_at_update', 'keep_owner_at_delete', 'parent_set', 'parent_moves', 'parent_left',
                                                  'parent_renamed', 'plan_moved'))
  -- In other sessions that for each statement tells of them.
  AND NOT (t.tgenabled = 'R' AND t.tgname IN ('members_changed', 'tree_grown'))
  AND ($1::oid IS NULL OR c.relnamespace = $1)
UNION ALL
SELECT CASE e.evtenabled WHEN 'D' THEN 'EVENT_TRIGGER_DISABLED' ELSE 'TRIGGER_NOT_ALWAYS' END,
       quote_ident(e.evtname), NULL, format('ALTER EVENT TRIGGER %I ENABLE ALWAYS', e.evtname), NULL
FROM pg_event_trigger AS e
JOIN own_function AS f ON f.oid = e.evtfoid
WHERE e.evtenabled <> 'A' AND $1::oid IS NULL
UNION ALL
SELECT 'EVENT_TRIGGER_MISSING', wanted.name, NULL,
       format('CREATE EVENT TRIGGER %I ON %s %s EXECUTE FUNCTION %s; ALTER EVENT TRIGGER %I ENABLE ALWAYS',
              wanted.name, wanted.event, wanted.filter, wanted.function, wanted.name), NULL
FROM (VALUES ('tenancy_forget_dropped', 'sql_drop',
              'WHEN TAG IN (''DROP TABLE'', ''DROP SCHEMA'', ''DROP OWNED'', ''DROP EXTENSION'', ''DROP TYPE'')',
              'tenancy.forget_dropped()'),
             ('tenancy_guard_command', 'ddl_command_end', '', 'tenancy.guard_command()'),
             ('tenancy_guard_grant', 'ddl_command_end', 'WHEN TAG IN (''GRANT'', ''CREATE SCHEMA'')', 'tenancy.guard_grant()'),
             ('tenancy_guard_drop', 'sql_drop', '', 'tenancy.guard_drop()'),
             ('tenancy_guard_removal', 'ddl_command_start', 'WHEN TAG IN (''DROP EXTENSION'', ''DROP OWNED'')',
              'tenancy.guard_removal()'),
             ('tenancy_follow_schema', 'ddl_command_end', 'WHEN TAG IN (''ALTER SCHEMA'')', 'tenancy.follow_schema()'),
             ('tenancy_quota_parts', 'ddl_command_end',
              'WHEN TAG IN (''CREATE TABLE'', ''ALTER TABLE'', ''CREATE TABLE AS'', ''SELECT INTO'', ''CREATE SCHEMA'', '
              '''CREATE FOREIGN TABLE'', ''ALTER FOREIGN TABLE'', ''IMPORT FOREIGN SCHEMA'')',
              'tenancy.count_parts()')) AS wanted(name, event, filter, function)
WHERE $1::oid IS NULL AND to_regprocedure(wanted.function) IS NOT NULL
  AND NOT EXISTS (SELECT FROM pg_event_trigger AS e WHERE e.evtfoid = to_regprocedure(wanted.function))
UNION ALL
SELECT 'TRIGGER_MISSING', format('%I ON %s', wanted.name, relation), NULL,
       format('CREATE TRIGGER %I %s ON %s %s EXECUTE FUNCTION %s', wanted.name, wanted.events, relation,
              wanted.level, wanted.function)
       || CASE WHEN wanted.function IN ('tenancy.keep_owner()', 'tenancy.parent_set()', 'tenancy.parent_left()') THEN ''
               ELSE format('; ALTER TABLE %s ENABLE %s TRIGGER %I', relation,
                           CASE WHEN wanted.name IN ('members_changed', 'tree_grown') THEN 'REPLICA' ELSE 'ALWAYS' END, wanted.name) END, NULL
FROM (VALUES ('tenancy.tenants', 'registry_changed', 'AFTER UPDATE OR DELETE', 'FOR EACH ROW', 'tenancy.registry_changed()'),
             ('tenancy.tenants', 'registry_changed_in_bulk', 'AFTER INSERT OR TRUNCATE', 'FOR EACH STATEMENT', 'tenancy.registry_changed()'),
             ('tenancy.tenants', 'tree_grown', 'AFTER INSERT', 'FOR EACH ROW WHEN (NEW.parent IS NOT NULL)', 'tenancy.registry_changed()'),
             ('tenancy.tenants', 'parent_set', 'AFTER INSERT OR UPDATE OF id, parent', 'FOR EACH ROW WHEN (NEW.parent IS NOT NULL)',
              'tenancy.parent_set()'),
             ('tenancy.tenants', 'parent_moves', 'BEFORE UPDATE OF id, parent OR DELETE', 'FOR EACH STATEMENT', 'tenancy.parent_set()'),
             ('tenancy.tenants', 'parent_left', 'AFTER DELETE', 'FOR EACH ROW', 'tenancy.parent_left()'),
             ('tenancy.tenants', 'parent_renamed', 'AFTER UPDATE OF id', 'FOR EACH ROW WHEN (OLD.id <> NEW.id)', 'tenancy.parent_left()'),
             ('tenancy.access', 'registry_changed', 'AFTER INSERT OR UPDATE OR DELETE', 'FOR EACH ROW', 'tenancy.registry_changed()'),
             ('tenancy.access', 'registry_changed_in_bulk', 'AFTER TRUNCATE', 'FOR EACH STATEMENT', 'tenancy.registry_changed()'),
             ('tenancy.plans', 'registry_changed', 'AFTER INSERT OR UPDATE OR DELETE', 'FOR EACH ROW', 'tenancy.registry_changed()'),
             ('tenancy.plans', 'registry_changed_in_bulk', 'AFTER TRUNCATE', 'FOR EACH STATEMENT', 'tenancy.registry_changed()'),
             ('tenancy.default_settings', 'registry_changed', 'AFTER INSERT OR UPDATE OR DELETE', 'FOR EACH ROW', 'tenancy.registry_changed()'),
             ('tenancy.default_settings', 'registry_changed_in_bulk', 'AFTER TRUNCATE', 'FOR EACH STATEMENT', 'tenancy.registry_changed()'),
             ('tenancy.jwt_keys', 'registry_changed', 'AFTER INSERT OR UPDATE OR DELETE', 'FOR EACH ROW', 'tenancy.registry_changed()'),
             ('tenancy.jwt_keys', 'registry_changed_in_bulk', 'AFTER TRUNCATE', 'FOR EACH STATEMENT', 'tenancy.registry_changed()'),
             ('tenancy.members', 'members_changed', 'AFTER INSERT OR UPDATE OR DELETE', 'FOR EACH ROW', 'tenancy.members_changed()'),
             ('tenancy.members', 'members_changed_in_bulk', 'AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE', 'FOR EACH STATEMENT', 'tenancy.members_changed()'),
             ('tenancy.tenants', 'note_load', 'AFTER INSERT', 'REFERENCING NEW TABLE AS loaded FOR EACH STATEMENT', 'tenancy.note_load()'),
             ('tenancy.hosts', 'note_load', 'AFTER INSERT', 'REFERENCING NEW TABLE AS loaded FOR EACH STATEMENT', 'tenancy.note_load()'),
             ('tenancy.members', 'note_load', 'AFTER INSERT', 'REFERENCING NEW TABLE AS loaded FOR EACH STATEMENT', 'tenancy.note_load()'),
             ('tenancy.members', 'keep_owner_at_update', 'AFTER UPDATE',
              'FOR EACH ROW WHEN (OLD.role = ''owner'' AND (NEW.role <> ''owner'' OR NEW.tenant_id <> OLD.tenant_id))',
              'tenancy.keep_owner()'),
             ('tenancy.members', 'keep_owner_at_delete', 'AFTER DELETE', 'FOR EACH ROW WHEN (OLD.role = ''owner'')', 'tenancy.keep_owner()'))
     AS wanted(relation, name, events, level, function)
WHERE $1::oid IS NULL
  AND NOT EXISTS (SELECT FROM pg_trigger AS t
                  WHERE t.tgrelid = relation::regclass AND t.tgname = wanted.name
                    AND t.tgfoid = to_regprocedure(wanted.function))
UNION ALL
SELECT 'NOT_PRELOADED', quote_ident(current_database()), NULL,
       format('ALTER DATABASE %I SET session_preload_libraries = %s', current_database(),
              (SELECT string_agg(quote_literal(library), ', ' ORDER BY place)
               FROM regexp_split_to_table(
                        coalesce(nullif(replace(coalesce(preload.database, preload.session), '"', ''), '') || ', ', '')
                        || 'pg_tenancy', '\s*,\s*') WITH ORDINALITY AS l(library, place))), NULL
FROM preload
WHERE $1::oid IS NULL
  AND preload.shared IS NOT NULL
  AND concat_ws(',', preload.shared, preload.session, preload.database)
      !~ '(^|[/, "])pg_tenancy(\.so)?($|[, "])'
