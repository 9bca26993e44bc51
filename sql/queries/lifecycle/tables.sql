-- $1 protected tables that are no part of another, $2 their tenant columns: what their rows are reached by.
SELECT r.relation, pg_catalog.format('%I.%I', n.nspname, c.relname), c.relowner, pg_catalog.quote_ident(a.attname), a.atttypid,
       ARRAY(SELECT t.oid FROM tree AS t WHERE t.root OPERATOR(pg_catalog.=) r.relation ORDER BY t.oid)
FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.oid[]), pg_catalog.unnest($2::pg_catalog.text[])) AS r(relation, tenant_column)
JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) r.relation
JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
JOIN pg_catalog.pg_attribute AS a
  ON a.attrelid OPERATOR(pg_catalog.=) c.oid
 AND a.attname OPERATOR(pg_catalog.=) r.tenant_column::pg_catalog.name
 AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped
ORDER BY n.nspname, c.relname
