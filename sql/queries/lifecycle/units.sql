-- The tables among them that rows are copied from: partitioned ones as a whole, others without what inherits from them.
-- $2 the tenant columns of the tables in $1. Columns but for the tenant's and generated ones, sequences that
-- belong to numbers among them. What inherits from several is a part of one.
SELECT t.root, c.oid, pg_catalog.format('%I.%I', n.nspname, c.relname), c.relowner,
       c.relkind OPERATOR(pg_catalog.=) 'p',
       ARRAY(SELECT pg_catalog.quote_ident(a.attname)
             FROM pg_catalog.pg_attribute AS a
             WHERE a.attrelid OPERATOR(pg_catalog.=) c.oid AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped
               AND a.attgenerated OPERATOR(pg_catalog.=) ''
               AND a.attname OPERATOR(pg_catalog.<>) r.tenant_column::pg_catalog.name
             ORDER BY a.attname),
       ARRAY(SELECT pg_catalog.format('%I.%I', sn.nspname, s.relname)
             FROM pg_catalog.pg_depend AS d
             JOIN pg_catalog.pg_class AS s ON s.oid OPERATOR(pg_catalog.=) d.objid AND s.relkind OPERATOR(pg_catalog.=) 'S'
             JOIN pg_catalog.pg_namespace AS sn ON sn.oid OPERATOR(pg_catalog.=) s.relnamespace
             JOIN pg_catalog.pg_attribute AS a
               ON a.attrelid OPERATOR(pg_catalog.=) c.oid AND a.attnum OPERATOR(pg_catalog.=) d.refobjsubid
             JOIN pg_catalog.pg_type AS y ON y.oid OPERATOR(pg_catalog.=) a.atttypid
             WHERE d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
               AND d.refclassid OPERATOR(pg_catalog.=) d.classid AND d.refobjid OPERATOR(pg_catalog.=) c.oid
               AND d.refobjsubid OPERATOR(pg_catalog.>) 0 AND d.deptype IN ('a', 'i')
               AND coalesce(nullif(y.typbasetype, 0::pg_catalog.oid), y.oid)
                   IN ('pg_catalog.int2'::pg_catalog.regtype, 'pg_catalog.int4'::pg_catalog.regtype, 'pg_catalog.int8'::pg_catalog.regtype)
             ORDER BY d.refobjsubid, s.oid),
       ARRAY(SELECT pg_catalog.quote_ident(a.attname)
             FROM pg_catalog.pg_depend AS d
             JOIN pg_catalog.pg_class AS s ON s.oid OPERATOR(pg_catalog.=) d.objid AND s.relkind OPERATOR(pg_catalog.=) 'S'
             JOIN pg_catalog.pg_attribute AS a
               ON a.attrelid OPERATOR(pg_catalog.=) c.oid AND a.attnum OPERATOR(pg_catalog.=) d.refobjsubid
             JOIN pg_catalog.pg_type AS y ON y.oid OPERATOR(pg_catalog.=) a.atttypid
             WHERE d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
               AND d.refclassid OPERATOR(pg_catalog.=) d.classid AND d.refobjid OPERATOR(pg_catalog.=) c.oid
               AND d.refobjsubid OPERATOR(pg_catalog.>) 0 AND d.deptype IN ('a', 'i')
               AND coalesce(nullif(y.typbasetype, 0::pg_catalog.oid), y.oid)
                   IN ('pg_catalog.int2'::pg_catalog.regtype, 'pg_catalog.int4'::pg_catalog.regtype, 'pg_catalog.int8'::pg_catalog.regtype)
             ORDER BY d.refobjsubid, s.oid)
FROM tree AS t
JOIN ROWS FROM (pg_catalog.unnest($1::pg_catalog.oid[]), pg_catalog.unnest($2::pg_catalog.text[])) AS r(oid, tenant_column)
  ON r.oid OPERATOR(pg_catalog.=) t.root
JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) t.oid
JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND NOT EXISTS (SELECT FROM tree AS other
                  WHERE other.oid OPERATOR(pg_catalog.=) t.oid AND other.root OPERATOR(pg_catalog.<) t.root)
ORDER BY t.root, c.oid OPERATOR(pg_catalog.<>) t.root, n.nspname, c.relname
