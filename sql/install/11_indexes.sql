-- Indexes led by the tenant, and numbers that each tenant counts for itself.

-- It runs as its caller, who must own the table, and with his search path: expressions are read as in his own CREATE INDEX.
CREATE FUNCTION tenancy.create_index(
    tbl regclass,
    columns text[],
    index_name name DEFAULT NULL,
    is_unique boolean DEFAULT false,
    method text DEFAULT 'btree',
    include text[] DEFAULT '{}',
    predicate text DEFAULT NULL
) RETURNS regclass
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'create_index_wrapper';
REVOKE EXECUTE ON FUNCTION tenancy.create_index(regclass, text[], name, boolean, text, text[], text) FROM PUBLIC;
COMMENT ON FUNCTION tenancy.create_index(regclass, text[], name, boolean, text, text[], text) IS
    'Makes an index led by the tenant column of a protected table; columns, include and predicate are as in CREATE INDEX. Raises 42501 not the owner, 55000 not protected, 22023 text that is more than a column or expression, 42704 unknown method or no operator class for the tenant column, 0A000 a method for single columns, 42P07 name taken, otherwise as CREATE INDEX';

-- Reads catalogs, changes nothing.
CREATE FUNCTION tenancy.index_advice(tbl regclass DEFAULT NULL)
    RETURNS TABLE (tbl regclass, code text, detail text, size_bytes bigint, ddl text)
    LANGUAGE c STABLE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET quote_all_identifiers = off
    SET standard_conforming_strings = on
    SET jit = off
    AS 'MODULE_PATHNAME', 'index_advice_wrapper';
REVOKE EXECUTE ON FUNCTION tenancy.index_advice(regclass) FROM PUBLIC;
COMMENT ON FUNCTION tenancy.index_advice(regclass) IS
    'The indexes that a protected table and its parts (NULL: all protected tables) lack, have twice, or can''t use under row security. size_bytes: of the index, or of the table that lacks one; ddl: for \gexec, NULL where there is no single answer. Raises 55000 not protected';

-- Rows and no sequences: a number that is rolled back is to be given out again.
CREATE TABLE tenancy.numbers (
    tenant_id  uuid NOT NULL REFERENCES tenancy.tenants (id) ON DELETE CASCADE,
    name       text COLLATE "C" NOT NULL CHECK (char_length(name) BETWEEN 1 AND 255),
    gapless    boolean NOT NULL,
    last_value bigint NOT NULL CHECK (last_value >= 0),
    PRIMARY KEY (tenant_id, name)
) WITH (fillfactor = 50);
ALTER TABLE tenancy.numbers ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON tenancy.numbers FOR SELECT TO PUBLIC
    USING (tenant_id = tenancy.current_tenant());
GRANT SELECT ON tenancy.numbers TO PUBLIC;
COMMENT ON TABLE tenancy.numbers IS
    'The number that each tenant has given out last, by name; a role sees those of the tenant it acts for';
COMMENT ON COLUMN tenancy.numbers.gapless IS
    'Drawn one by one with tenancy.next_number(); otherwise in blocks with tenancy.reserve_numbers()';
COMMENT ON COLUMN tenancy.numbers.last_value IS 'What was given out last: the next one is greater by one';
SELECT pg_extension_config_dump('tenancy.numbers', '');

-- For everybody, since they count for the tenant in force alone.
CREATE FUNCTION tenancy.next_number(name text) RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'next_number_wrapper';
COMMENT ON FUNCTION tenancy.next_number(text) IS
    'The next number of the tenant in force by that name, from 1 on and without gaps: it is given back when the transaction rolls back, and others of the same tenant and name wait until it ends. Raises 42501 no tenant, 22023 malformed name, 25006 read-only transaction, 55000 numbers given out in blocks, 40001 drawn meanwhile, under REPEATABLE READ or SERIALIZABLE';

CREATE FUNCTION tenancy.reserve_numbers(name text, count integer) RETURNS TABLE (first bigint, last bigint)
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'reserve_numbers_wrapper';
COMMENT ON FUNCTION tenancy.reserve_numbers(text, integer) IS
    'Reserves a block of consecutive numbers for the tenant in force, at once and for good: a rollback leaves a gap, and nobody waits for the transaction to end. Raises 42501 no tenant, 22023 malformed name or count, 25006 read-only transaction, 22003 no numbers left, 55000 gapless numbers or no background worker';

CREATE FUNCTION tenancy.set_number(tenant text, name text, last_value bigint, gapless boolean DEFAULT true) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'set_number_wrapper';
REVOKE EXECUTE ON FUNCTION tenancy.set_number(text, text, bigint, boolean) FROM PUBLIC;
COMMENT ON FUNCTION tenancy.set_number(text, text, bigint, boolean) IS
    'Sets the number that a tenant has given out last, so that the next one follows it. Raises 42704 unknown tenant, 22023 malformed name or value, 55000 numbers of the other kind';
