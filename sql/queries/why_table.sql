-- $1 a table: what decides whether the current role gets at its rows at all.
SELECT c.relrowsecurity,
       c.relforcerowsecurity,
       pg_catalog.has_schema_privilege(c.relnamespace, 'USAGE'),
       (SELECT CASE WHEN t.tgfoid OPERATOR(pg_catalog.=) 'tenancy.guard_truncate()'::pg_catalog.regprocedure
                    THEN t.tgenabled::pg_catalog.text END
        FROM pg_catalog.pg_trigger AS t
        WHERE t.tgrelid OPERATOR(pg_catalog.=) c.oid
          AND t.tgname OPERATOR(pg_catalog.=) 'tenant_isolation_truncate'),
       pg_catalog.quote_ident(c.relname)
FROM pg_catalog.pg_class AS c
WHERE c.oid OPERATOR(pg_catalog.=) $1
