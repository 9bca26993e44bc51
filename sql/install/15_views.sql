-- What is protected, for people to look at.

CREATE VIEW tenancy.protected_tables WITH (security_barrier) AS
SELECT p.relation,
       p.tenant_column AS "column",
       p.kind,
       ARRAY(SELECT pol.polname
             FROM pg_catalog.pg_policy AS pol
             WHERE pol.polrelid = p.relation
             ORDER BY pol.polname) AS policies,
       c.relrowsecurity AND c.relforcerowsecurity AS forced,
       (SELECT i.indexrelid::pg_catalog.regclass
        FROM pg_catalog.pg_index AS i
        JOIN pg_catalog.pg_attribute AS a
          ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
        WHERE i.indrelid = p.relation AND a.attname = p.tenant_column
          AND i.indisvalid AND i.indpred IS NULL
        ORDER BY i.indnkeyatts, i.indexrelid
        LIMIT 1) AS index,
       ARRAY(SELECT r.name
             FROM tenancy.quota_tables AS q
             JOIN tenancy.resources AS r ON r.id = q.resource_id
             WHERE q.relation = p.relation
             ORDER BY r.name) AS quota,
       EXISTS (SELECT
               FROM pg_catalog.pg_trigger AS t
               WHERE t.tgrelid = p.relation AND t.tgname = 'tenancy_audit_insert' AND t.tgenabled = 'A') AS audit
FROM tenancy.protection AS p
JOIN pg_catalog.pg_class AS c ON c.oid = p.relation
WHERE p.kind <> 'global';
GRANT SELECT ON tenancy.protected_tables TO PUBLIC;
COMMENT ON VIEW tenancy.protected_tables IS
    'Protected tables with the state they are in: policies, forced row security, an index led by the tenant column, the resources they count for, whether changes are recorded';
COMMENT ON COLUMN tenancy.protected_tables."column" IS 'The tenant column';
COMMENT ON COLUMN tenancy.protected_tables.kind IS 'tenant, shared, append_only or tree';
COMMENT ON COLUMN tenancy.protected_tables.policies IS 'All policies of the table, those of others included';
COMMENT ON COLUMN tenancy.protected_tables.forced IS 'Whether row security is enabled, and forced on the owner';
COMMENT ON COLUMN tenancy.protected_tables.index IS 'An index that is led by the tenant column';
COMMENT ON COLUMN tenancy.protected_tables.quota IS 'The resources that its rows count for';
COMMENT ON COLUMN tenancy.protected_tables.audit IS 'Whether changes of its rows are recorded';
