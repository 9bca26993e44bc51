-- Trees of tenants: who is below whom, and whose rows a tenant reads.

-- Without it the planner takes every array for one of ten elements, and may have each row of a large table compared with
-- thousands.
CREATE FUNCTION tenancy.visible_support(internal) RETURNS internal
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'tenancy_visible_support';
REVOKE EXECUTE ON FUNCTION tenancy.visible_support(internal) FROM PUBLIC;
COMMENT ON FUNCTION tenancy.visible_support(internal) IS
    'For the planner: what it costs to compare a row with as many tenants as are visible';

CREATE FUNCTION tenancy.visible_tenants() RETURNS uuid[]
    LANGUAGE c STABLE LEAKPROOF PARALLEL SAFE COST 1 SUPPORT tenancy.visible_support
    AS 'MODULE_PATHNAME', 'tenancy_visible_tenants';
COMMENT ON FUNCTION tenancy.visible_tenants() IS
    'The ids of the tenant acted for and of all below it, whatever their status, or NULL; without those of another region. Errors as for current_tenant(), and 54000 when they are too many';

CREATE FUNCTION tenancy.visible_keys() RETURNS text[]
    LANGUAGE c STABLE LEAKPROOF PARALLEL SAFE COST 1 SUPPORT tenancy.visible_support
    AS 'MODULE_PATHNAME', 'tenancy_visible_keys';
COMMENT ON FUNCTION tenancy.visible_keys() IS
    'The keys of the tenant acted for and of all below it, or NULL. Errors as for visible_tenants()';

CREATE FUNCTION tenancy.visible_key_ints() RETURNS bigint[]
    LANGUAGE c STABLE LEAKPROOF PARALLEL SAFE COST 1 SUPPORT tenancy.visible_support
    AS 'MODULE_PATHNAME', 'tenancy_visible_key_ints';
COMMENT ON FUNCTION tenancy.visible_key_ints() IS
    'The keys of the tenant acted for and of all below it as numbers, or NULL; without those that are no canonical decimals. Errors as for visible_tenants()';

CREATE FUNCTION tenancy.set_parent(tenant text, parent text) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'set_parent_wrapper';
REVOKE EXECUTE ON FUNCTION tenancy.set_parent(text, text) FROM PUBLIC;
COMMENT ON FUNCTION tenancy.set_parent(text, text) IS
    'Places a tenant, with all below it, below another one, or below none (NULL), in open sessions from their next statement on. Raises 42704 unknown tenant or parent, 22023 the parent is the tenant itself or below it, 55000 the tenant is erased or the parent archived or erased, 54000 more levels than a tree can have';

-- Triggers and no foreign key: of a table that refers to itself pg_dump says, in every dump, that it may not be restored.
-- What is replicated has been checked elsewhere. Whoever moves tenants locks the tree before their rows.
CREATE FUNCTION tenancy.parent_set() RETURNS trigger
    LANGUAGE c
    AS 'MODULE_PATHNAME', 'tenancy_parent_set';
REVOKE EXECUTE ON FUNCTION tenancy.parent_set() FROM PUBLIC;
COMMENT ON FUNCTION tenancy.parent_set() IS
    'Trigger: refuses a parent that is no tenant, or below the tenant itself, and a tree of too many levels; moves wait for each other';
CREATE TRIGGER parent_set
    AFTER INSERT OR UPDATE OF id, parent ON tenancy.tenants
    FOR EACH ROW WHEN (NEW.parent IS NOT NULL) EXECUTE FUNCTION tenancy.parent_set();
CREATE TRIGGER parent_moves
    BEFORE UPDATE OF id, parent OR DELETE ON tenancy.tenants
    FOR EACH STATEMENT EXECUTE FUNCTION tenancy.parent_set();

CREATE FUNCTION tenancy.parent_left() RETURNS trigger
    LANGUAGE c
    AS 'MODULE_PATHNAME', 'tenancy_parent_left';
REVOKE EXECUTE ON FUNCTION tenancy.parent_left() FROM PUBLIC;
COMMENT ON FUNCTION tenancy.parent_left() IS
    'Trigger: refuses to remove a tenant that others are below, or to give it another id';
CREATE TRIGGER parent_left
    AFTER DELETE ON tenancy.tenants
    FOR EACH ROW EXECUTE FUNCTION tenancy.parent_left();
CREATE TRIGGER parent_renamed
    AFTER UPDATE OF id ON tenancy.tenants
    FOR EACH ROW WHEN (OLD.id <> NEW.id) EXECUTE FUNCTION tenancy.parent_left();

-- For each row only where those who apply a subscription write, as for members: elsewhere the statement tells of new tenants.
CREATE TRIGGER tree_grown
    AFTER INSERT ON tenancy.tenants
    FOR EACH ROW WHEN (NEW.parent IS NOT NULL) EXECUTE FUNCTION tenancy.registry_changed();
ALTER TABLE tenancy.tenants ENABLE REPLICA TRIGGER tree_grown;
