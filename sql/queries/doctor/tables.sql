-- Protected tables: row security, the tenant column, its index.
, lacks_index AS (
    SELECT p.oid
    FROM protected AS p
    WHERE p.attnum IS NOT NULL
      AND NOT EXISTS (SELECT FROM pg_index AS i
                      JOIN pg_class AS ic ON ic.oid = i.indexrelid
                      JOIN pg_am AS am ON am.oid = ic.relam
                      WHERE i.indrelid = p.oid AND i.indkey[0] = p.attnum
                        AND i.indcollation[0] = p.attcollation
                        AND i.indisvalid AND i.indpred IS NULL AND am.amname = 'btree')
)
SELECT found.code, found.name, found.note, found.fix, NULL::text AS severity
FROM (
    SELECT 'RLS_DISABLED' AS code, p.name, NULL::text AS note, p.protect AS fix, p.relnamespace
    FROM protected AS p
    WHERE NOT p.relrowsecurity
  UNION ALL
    SELECT 'RLS_NOT_FORCED', p.name, NULL, p.protect, p.relnamespace
    FROM protected AS p
    WHERE p.relrowsecurity AND NOT p.relforcerowsecurity
  UNION ALL
    SELECT 'PARTITION_UNPROTECTED', p.name, NULL, p.protect, p.relnamespace
    FROM protected AS p
    WHERE NOT EXISTS (SELECT FROM tenancy.protection AS r WHERE r.relation = p.oid AND r.tenant_column IS NOT NULL)
  UNION ALL
    SELECT 'PARENT_UNPROTECTED', format('%I.%I', n.nspname, c.relname), p.name,
           CASE WHEN EXISTS (SELECT FROM pg_attribute AS a
                             WHERE a.attrelid = c.oid AND a.attname = p.tenant_column AND a.attnum > 0
                               AND NOT a.attisdropped)
                THEN format('SELECT tenancy.protect(%L, %L, %L)', format('%I.%I', n.nspname, c.relname),
                            p.tenant_column, p.kind)
                ELSE format('ALTER TABLE %s NO INHERIT %I.%I', p.name, n.nspname, c.relname) END,
           c.relnamespace
    FROM protected AS p
    JOIN pg_inherits AS i ON i.inhrelid = p.oid
    JOIN pg_class AS c ON c.oid = i.inhparent
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE NOT EXISTS (SELECT FROM protected AS q WHERE q.oid = c.oid)
  UNION ALL
    SELECT 'TENANT_ID_NULLABLE', p.name, format('%I', p.tenant_column), p.protect, p.relnamespace
    FROM protected AS p
    WHERE p.kind <> 'shared' AND NOT p.attnotnull
  UNION ALL
    SELECT 'TENANT_ID_DEFAULT', p.name, format('%I', p.tenant_column), p.protect, p.relnamespace
    FROM protected AS p
    LEFT JOIN pg_attrdef AS d ON d.adrelid = p.oid AND d.adnum = p.attnum
    WHERE p.attnum IS NOT NULL
      -- Most defaults are a plain call, which need not be printed to be known.
      AND CASE WHEN d.adbin::text LIKE format('{FUNCEXPR :funcid %s %%', 'tenancy.current_tenant()'::regprocedure::oid)
               THEN false
               ELSE coalesce(pg_get_expr(d.adbin, d.adrelid), '') NOT IN
                    ('tenancy.current_tenant()', 'tenancy.current_key()', 'tenancy.current_key_int()') END
  UNION ALL
    -- A partition gets its index through its parent's.
    SELECT 'INDEX_NOT_TENANT_LED', p.name, format('%I', p.tenant_column), p.protect, p.relnamespace
    FROM lacks_index
    JOIN protected AS p ON p.oid = lacks_index.oid
    WHERE NOT (p.relispartition
               AND EXISTS (SELECT FROM pg_inherits AS i
                           JOIN lacks_index AS parent ON parent.oid = i.inhparent
                           WHERE i.inhrelid = p.oid))
  UNION ALL
    -- Renamed, most likely: the policies still name the column.
    SELECT 'TENANT_COLUMN_MISSING', p.name, format('%I', p.tenant_column),
           (SELECT format('SELECT tenancy.protect(%L, %L, %L)', p.name, min(a.attname::text), p.kind)
            FROM pg_policy AS pol
            JOIN pg_depend AS d ON d.classid = 'pg_policy'::regclass AND d.objid = pol.oid
                               AND d.refclassid = 'pg_class'::regclass AND d.refobjid = p.oid AND d.refobjsubid > 0
            JOIN pg_attribute AS a ON a.attrelid = p.oid AND a.attnum = d.refobjsubid AND NOT a.attisdropped
            WHERE pol.polrelid = p.oid AND pol.polname LIKE 'tenant\_isolation%'
            HAVING count(DISTINCT a.attnum) = 1),
           p.relnamespace
    FROM protected AS p
    WHERE p.attnum IS NULL AND p.oid = p.root
) AS found
WHERE $1::oid IS NULL OR found.relnamespace = $1
UNION ALL
SELECT 'RECORD_STALE', 'tenancy.protection', NULL,
       format('DELETE FROM tenancy.protection WHERE relation = %s', r.relation::oid), NULL
FROM tenancy.protection AS r
WHERE $1::oid IS NULL
  AND NOT EXISTS (SELECT FROM pg_class AS c WHERE c.oid = r.relation)
