-- $1 tables, $2 the names of their tenant columns, $3 whether to descend: the tables, and all that inherits from them, each
-- once and parents first. Arrays and OFFSET 0 keep the look-ups look-ups: nobody can guess how many tables these are, and to
-- read the catalogs whole for a few takes long where there are many.
WITH RECURSIVE tree(root, tenant_column, oid, parent, depth) AS (
    SELECT given.oid, given.tenant_column::pg_catalog.name, given.oid, NULL::pg_catalog.oid, 0
    FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.oid[]), pg_catalog.unnest($2::pg_catalog.text[]))
         AS given(oid, tenant_column)
  UNION
    -- Once for each parent and depth: the ways that lead there may be more than anybody can count.
    SELECT tree.root, tree.tenant_column, child.oid, tree.oid, tree.depth OPERATOR(pg_catalog.+) 1
    FROM tree
    CROSS JOIN LATERAL pg_catalog.unnest(ARRAY(
        SELECT i.inhrelid FROM pg_catalog.pg_inherits AS i
        WHERE i.inhparent OPERATOR(pg_catalog.=) tree.oid)) AS child(oid)
    WHERE $3
), nearest AS (
    SELECT DISTINCT ON (oid) root, tenant_column, oid, parent, depth FROM tree ORDER BY oid, depth, root
)
SELECT c.oid,
       nearest.parent,
       pg_catalog.format('%I.%I', n.nspname, c.relname),
       c.relkind,
       c.relpersistence OPERATOR(pg_catalog.=) 't',
       c.relrowsecurity,
       c.relforcerowsecurity,
       pg_catalog.quote_ident(a.attname),
       a.atttypid,
       pg_catalog.format_type(a.atttypid, a.atttypmod),
       coalesce(co.collisdeterministic, true),
       a.attnotnull AND (SELECT true FROM pg_catalog.pg_constraint AS k
                         WHERE k.conrelid OPERATOR(pg_catalog.=) c.oid
                           AND k.contype OPERATOR(pg_catalog.=) 'n'
                           AND k.conkey OPERATOR(pg_catalog.=) ARRAY[a.attnum]
                           AND NOT k.convalidated
                         LIMIT 1) IS NOT TRUE,
       (SELECT true FROM pg_catalog.pg_index AS i
        WHERE i.indrelid OPERATOR(pg_catalog.=) c.oid AND i.indisprimary
          AND a.attnum OPERATOR(pg_catalog.=) ANY (i.indkey)
        LIMIT 1) IS TRUE,
       a.attidentity OPERATOR(pg_catalog.<>) '' OR a.attgenerated OPERATOR(pg_catalog.<>) '',
       pg_catalog.pg_get_expr(d.adbin, d.adrelid),
       (SELECT true FROM pg_catalog.pg_index AS i
        JOIN pg_catalog.pg_class AS ic ON ic.oid OPERATOR(pg_catalog.=) i.indexrelid
        JOIN pg_catalog.pg_am AS am ON am.oid OPERATOR(pg_catalog.=) ic.relam
        WHERE i.indrelid OPERATOR(pg_catalog.=) c.oid
          AND i.indkey[0] OPERATOR(pg_catalog.=) a.attnum
          AND i.indcollation[0] OPERATOR(pg_catalog.=) a.attcollation
          AND i.indisvalid AND i.indpred IS NULL
          AND am.amname OPERATOR(pg_catalog.=) 'btree'
        LIMIT 1) IS TRUE,
       (SELECT true FROM pg_catalog.pg_constraint AS k
        WHERE k.conrelid OPERATOR(pg_catalog.=) c.oid
          AND k.contype OPERATOR(pg_catalog.=) 'f' AND k.convalidated
          AND k.conkey OPERATOR(pg_catalog.=) ARRAY[a.attnum]
          AND k.confrelid OPERATOR(pg_catalog.=) 'tenancy.tenants'::pg_catalog.regclass
        LIMIT 1) IS TRUE,
       nearest.root,
       c.relnamespace,
       -- 34: BEFORE TRUNCATE FOR EACH STATEMENT, and nothing else.
       (SELECT CASE WHEN t.tgfoid OPERATOR(pg_catalog.=) 'tenancy.guard_truncate()'::pg_catalog.regprocedure
                     AND t.tgtype OPERATOR(pg_catalog.=) 34::pg_catalog.int2 AND t.tgqual IS NULL
                    THEN t.tgenabled::pg_catalog.text ELSE 'other' END
        FROM pg_catalog.pg_trigger AS t
        WHERE t.tgrelid OPERATOR(pg_catalog.=) c.oid
          AND t.tgname OPERATOR(pg_catalog.=) 'tenant_isolation_truncate'),
       -- Where there is none: NULL since PostgreSQL 17, -1 before.
       CASE WHEN a.attstattarget OPERATOR(pg_catalog.>=) 0 THEN a.attstattarget::pg_catalog.int4 END,
       (SELECT o.option_value FROM pg_catalog.pg_options_to_table(c.reloptions) AS o
        WHERE o.option_name OPERATOR(pg_catalog.=) 'autovacuum_analyze_scale_factor')
FROM nearest
CROSS JOIN LATERAL (SELECT * FROM pg_catalog.pg_class AS c WHERE c.oid OPERATOR(pg_catalog.=) nearest.oid OFFSET 0) AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
LEFT JOIN LATERAL (SELECT * FROM pg_catalog.pg_attribute AS a
                   WHERE a.attrelid OPERATOR(pg_catalog.=) nearest.oid
                     AND a.attname OPERATOR(pg_catalog.=) nearest.tenant_column
                     AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped OFFSET 0) AS a ON true
LEFT JOIN pg_catalog.pg_collation AS co ON co.oid OPERATOR(pg_catalog.=) a.attcollation
LEFT JOIN LATERAL (SELECT * FROM pg_catalog.pg_attrdef AS d
                   WHERE d.adrelid OPERATOR(pg_catalog.=) nearest.oid
                     AND d.adnum OPERATOR(pg_catalog.=) a.attnum OFFSET 0) AS d ON true
-- A temporary child is its own session's alone, and row security can't be planned for others'.
WHERE c.relpersistence OPERATOR(pg_catalog.<>) 't' OR nearest.depth OPERATOR(pg_catalog.=) 0
ORDER BY nearest.root, nearest.depth, n.nspname, c.relname
