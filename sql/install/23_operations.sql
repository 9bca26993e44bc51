-- Operations: one tenant's rows for another server.

CREATE FUNCTION tenancy.publication_sql(tenant text, publication name DEFAULT NULL) RETURNS SETOF text
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET quote_all_identifiers = off
    SET standard_conforming_strings = on
    AS 'MODULE_PATHNAME', 'publication_sql_wrapper';
REVOKE EXECUTE ON FUNCTION tenancy.publication_sql(text, name) FROM PUBLIC;
COMMENT ON FUNCTION tenancy.publication_sql(text, name) IS
    'The statements, for \gexec, that publish the rows of one tenant in all protected tables for logical replication, under a name or one made of its id; a publication of that name that is the tenant''s is given these tables. Changes nothing itself. Raises 42704 unknown tenant, 55000 erased or of another region, 42710 a publication of that name that is not this tenant''s alone, 0A000 a tenant column of a type or collation that row filters don''t take, or, from PostgreSQL 18 on, a table with generated columns and without a key led by the tenant';
