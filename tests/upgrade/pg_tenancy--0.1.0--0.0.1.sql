-- Back to when schemas were recorded by their numbers, and nothing guarded the extension's own end.
SET LOCAL tenancy.guard_ddl = off;

DROP FUNCTION tenancy.publication_sql(text, name);
DROP EVENT TRIGGER tenancy_guard_removal;
DROP FUNCTION tenancy.guard_removal();
DROP EVENT TRIGGER tenancy_follow_schema;
DROP FUNCTION tenancy.follow_schema();
ALTER TABLE tenancy.managed_schema ALTER COLUMN schema TYPE regnamespace USING pg_catalog.quote_ident(schema)::regnamespace;
