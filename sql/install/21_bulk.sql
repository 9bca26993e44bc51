-- What comes into the registry in bulk, by plain SQL: constraints check it, and one entry of the event log tells of each statement.

CREATE FUNCTION tenancy.note_load() RETURNS trigger
    LANGUAGE c SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'tenancy_note_load';
REVOKE EXECUTE ON FUNCTION tenancy.note_load() FROM PUBLIC;
COMMENT ON FUNCTION tenancy.note_load() IS
    'Trigger: records how many tenants, hosts or members a statement has registered, unless it is one of the functions that record each';
CREATE TRIGGER note_load
    AFTER INSERT ON tenancy.tenants REFERENCING NEW TABLE AS loaded
    FOR EACH STATEMENT EXECUTE FUNCTION tenancy.note_load();
CREATE TRIGGER note_load
    AFTER INSERT ON tenancy.hosts REFERENCING NEW TABLE AS loaded
    FOR EACH STATEMENT EXECUTE FUNCTION tenancy.note_load();
CREATE TRIGGER note_load
    AFTER INSERT ON tenancy.members REFERENCING NEW TABLE AS loaded
    FOR EACH STATEMENT EXECUTE FUNCTION tenancy.note_load();
ALTER TABLE tenancy.tenants ENABLE ALWAYS TRIGGER note_load;
ALTER TABLE tenancy.hosts ENABLE ALWAYS TRIGGER note_load;
ALTER TABLE tenancy.members ENABLE ALWAYS TRIGGER note_load;
