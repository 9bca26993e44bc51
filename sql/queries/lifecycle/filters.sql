-- Row filters of publications on protected tables, by what the tenant column is called there; or, with the name of a publication,
-- all its tables, those without a filter, and those that are not protected (any more) with each of their columns.
SELECT pg_catalog.quote_ident(pub.pubname),
       pg_catalog.format('%I.%I', n.nspname, c.relname),
       n.nspname::pg_catalog.text,
       coalesce(pg_catalog.pg_get_expr(r.prqual, r.prrelid), ''),
       pg_catalog.quote_ident(a.attname),
       a.atttypid
FROM pg_catalog.pg_publication_rel AS r
JOIN pg_catalog.pg_publication AS pub ON pub.oid OPERATOR(pg_catalog.=) r.prpubid
JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) r.prrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
LEFT JOIN tenancy.protection AS p ON p.relation OPERATOR(pg_catalog.=) r.prrelid
LEFT JOIN pg_catalog.pg_attribute AS a
       ON a.attrelid OPERATOR(pg_catalog.=) c.oid AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped
      AND (a.attname OPERATOR(pg_catalog.=) p.tenant_column OR p.tenant_column IS NULL)
WHERE CASE WHEN $1 IS NULL THEN r.prqual IS NOT NULL AND p.tenant_column IS NOT NULL
           ELSE pub.pubname OPERATOR(pg_catalog.=) $1::pg_catalog.name END
ORDER BY pub.pubname, n.nspname, c.relname, a.attnum
