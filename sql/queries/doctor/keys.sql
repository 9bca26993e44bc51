-- Keys: what is unique across tenants, what refers across them, and what refers without an index.
, foreign_key AS (
    SELECT k.oid, k.conname, k.conrelid, k.confrelid, k.conkey, k.confkey,
           child.name AS child, child.relnamespace, child.kind AS child_kind, child.attnum AS child_tenant,
           child.tenant_column AS child_column, child.atttypid AS child_type,
           parent.name AS parent, parent.kind AS parent_kind, parent.attnum AS parent_tenant,
           parent.tenant_column AS parent_column, parent.atttypid AS parent_type,
           -- The tenant column on both sides, at the same place.
           coalesce(array_position(k.conkey, child.attnum) = array_position(k.confkey, parent.attnum), false) AS scoped,
           (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY u.place)
            FROM unnest(k.conkey) WITH ORDINALITY AS u(attnum, place)
            JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = u.attnum) AS child_columns,
           (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY u.place)
            FROM unnest(k.confkey) WITH ORDINALITY AS u(attnum, place)
            JOIN pg_attribute AS a ON a.attrelid = k.confrelid AND a.attnum = u.attnum) AS parent_columns,
           k.confupdtype, k.confdeltype, coalesce((to_jsonb(k) ->> 'conperiod')::boolean, false) AS period
    FROM pg_constraint AS k
    JOIN protected AS child ON child.oid = k.conrelid
    LEFT JOIN protected AS parent ON parent.oid = k.confrelid
    WHERE k.contype = 'f' AND k.conparentid = 0
      AND ($1::oid IS NULL OR child.relnamespace = $1)
), crossing AS (
    -- mendable: scope_foreign_key() and scope_unique() take it.
    SELECT f.*,
           f.parent_kind <> 'shared' AND child_type.typcategory = parent_type.typcategory
           AND NOT f.child_tenant = ANY (f.conkey) AND NOT f.parent_tenant = ANY (f.confkey)
           AND f.confupdtype NOT IN ('n', 'd')
           -- A cast of somebody's own would be run to check the rows.
           AND NOT EXISTS (SELECT FROM unnest(f.conkey, f.confkey) AS u(child, parent)
                           JOIN pg_attribute AS a ON a.attrelid = f.conrelid AND a.attnum = u.child
                           JOIN pg_attribute AS b ON b.attrelid = f.confrelid AND b.attnum = u.parent
                           -- From where on types are users'.
                           WHERE a.atttypid <> b.atttypid AND greatest(a.atttypid, b.atttypid) >= 16384::oid) AS mendable
    FROM foreign_key AS f
    JOIN pg_type AS child_type ON child_type.oid = f.child_type
    JOIN pg_type AS parent_type ON parent_type.oid = f.parent_type
    WHERE f.parent_tenant IS NOT NULL AND f.child_tenant IS NOT NULL AND NOT f.scoped
), unindexed AS (
    -- The index that would do: led by the key's columns, with the tenant's before them where the
    -- parent has tenants too.
    SELECT DISTINCT ON (f.conrelid, f.conkey) f.*
    FROM foreign_key AS f
    WHERE NOT EXISTS (
        SELECT FROM pg_index AS i
        CROSS JOIN LATERAL (SELECT CASE WHEN f.parent_tenant IS NULL OR f.child_tenant = ANY (f.conkey) THEN f.conkey
                                        ELSE f.conkey || f.child_tenant END AS wide) AS w
        WHERE i.indrelid = f.conrelid AND i.indisvalid AND i.indpred IS NULL
          AND ((i.indkey::int2[])[0:cardinality(f.conkey) - 1] @> f.conkey
               OR (i.indkey::int2[])[0:cardinality(w.wide) - 1] @> w.wide))
    ORDER BY f.conrelid, f.conkey, f.oid
), unique_key AS (
    SELECT i.indexrelid, i.indrelid, i.indisexclusion, i.indexprs, i.indkey, k.oid AS con, k.conname, k.contype,
           p.name AS relation, p.relnamespace, p.kind, p.atttypid, ic.relname, ic.relam, i.indnullsnotdistinct,
           coalesce((to_jsonb(k) ->> 'conperiod')::boolean, false) AS period,
           -- What scope_unique() refuses: keys that others than foreign keys build on, that can't hold what belongs
           -- to nobody, of one column by nature, or with parts that are marked.
           EXISTS (SELECT FROM pg_depend AS d
                   WHERE d.deptype = 'n' AND d.classid <> 'pg_constraint'::regclass
                     AND (d.refclassid = 'pg_constraint'::regclass AND d.refobjid = k.oid
                          OR d.refclassid = 'pg_class'::regclass AND d.refobjid = i.indexrelid))
           OR p.kind = 'shared'
              AND (i.indisprimary OR i.indisexclusion
                   OR NOT i.indnullsnotdistinct
                      AND (k.oid IS NULL
                           OR EXISTS (SELECT FROM pg_attribute AS a
                                      WHERE a.attrelid = i.indrelid AND NOT a.attnotnull
                                        AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1]))))
           OR NOT pg_indexam_has_property(ic.relam, 'can_multi_col')
           OR ic.relkind = 'I'
              AND EXISTS (SELECT FROM pg_partition_tree(i.indexrelid) AS t
                          JOIN pg_index AS part ON part.indexrelid = t.relid
                          WHERE t.level > 0 AND (part.indisreplident OR part.indisclustered)) AS fixed,
           -- Values that nobody chooses tell little.
           i.indexprs IS NULL AND NOT i.indisexclusion AND NOT EXISTS (
               SELECT FROM pg_attribute AS a
               LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
               WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
                 AND a.attidentity = ''
                 AND coalesce(pg_get_expr(d.adbin, d.adrelid), '') !~ '^(nextval|gen_random_uuid|uuidv[47]|uuid_generate)'
           ) AS surrogate
    FROM pg_index AS i
    JOIN protected AS p ON p.oid = i.indrelid
    JOIN pg_class AS ic ON ic.oid = i.indexrelid
    JOIN pg_am AS am ON am.oid = ic.relam
    JOIN pg_namespace AS n ON n.oid = ic.relnamespace
    LEFT JOIN pg_constraint AS k ON k.conindid = i.indexrelid AND k.conrelid = i.indrelid AND k.contype IN ('p', 'u', 'x')
    WHERE (i.indisunique OR i.indisexclusion)
      AND NOT ic.relispartition
      AND p.attnum IS NOT NULL
      AND NOT (p.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1]))
      AND ($1::oid IS NULL OR p.relnamespace = $1)
)
SELECT 'FK_CROSS_TENANT', format('%I ON %s', c.conname, c.child), c.parent,
       -- One of periods goes along with the key it refers to.
       CASE WHEN c.mendable AND NOT c.period THEN format('SELECT tenancy.scope_foreign_key(%L, %L)', c.child, c.conname) END,
       CASE WHEN c.parent_kind = 'shared' THEN 'medium' END
FROM crossing AS c
UNION ALL
-- PostgreSQL carries out a foreign key's action on whoever's rows.
SELECT 'FK_CASCADE', format('%I ON %s', f.conname, f.child),
       format('%s by %s', h.ident, string_agg(DISTINCT x.privilege || ' on ' || parent.name, ', ')),
       -- What an owner made of his table must not become somebody else's.
       CASE WHEN h.role <> parent.relowner
            THEN format('REVOKE %s ON TABLE %s FROM %s CASCADE', string_agg(DISTINCT x.privilege, ', '), parent.name,
                        h.ident) END,
       NULL
FROM foreign_key AS f
CROSS JOIN LATERAL (SELECT c.oid, c.relowner, c.relacl, format('%I.%I', n.nspname, c.relname) AS name
                    FROM pg_class AS c
                    JOIN pg_namespace AS n ON n.oid = c.relnamespace
                    -- Who put it under row security says which rows tenants change.
                    WHERE c.oid = f.confrelid AND NOT c.relrowsecurity) AS parent
CROSS JOIN LATERAL (
    SELECT x.grantee, x.privilege_type AS privilege
    FROM aclexplode(coalesce(parent.relacl, acldefault('r', parent.relowner))) AS x
  UNION ALL
    SELECT x.grantee, x.privilege_type
    FROM pg_attribute AS a
    CROSS JOIN LATERAL aclexplode(a.attacl) AS x
    WHERE a.attrelid = parent.oid AND a.attnum = ANY (f.confkey) AND a.attacl IS NOT NULL) AS x
JOIN holder AS h ON h.role = x.grantee
WHERE f.parent_kind IS NULL AND EXISTS (SELECT FROM app)
  AND (x.privilege = 'DELETE' AND f.confdeltype IN ('c', 'n', 'd')
       OR x.privilege = 'UPDATE' AND f.confupdtype IN ('c', 'n', 'd'))
GROUP BY f.conname, f.child, parent.name, parent.relowner, h.role, h.ident
UNION ALL
SELECT 'FK_NO_INDEX', format('%I ON %s', u.conname, u.child), u.child_columns,
       CASE WHEN u.parent_tenant IS NULL OR u.child_tenant = ANY (u.conkey)
            THEN format('CREATE INDEX ON %s (%s)', u.child, u.child_columns)
            ELSE format('CREATE INDEX ON %s (%I, %s)', u.child, u.child_column, u.child_columns) END,
       NULL
FROM unindexed AS u
UNION ALL
SELECT 'UNIQUE_GLOBAL', format('%I ON %s', u.relname, u.relation),
       NULL,
       CASE -- A table without tenants refers to the key as it is.
            WHEN u.fixed
                 OR EXISTS (SELECT FROM pg_constraint AS f
                            LEFT JOIN crossing AS c ON c.oid = f.oid
                            WHERE f.contype = 'f' AND f.conparentid = 0
                              AND coalesce(pg_partition_root(f.conindid)::oid, f.conindid) = u.indexrelid
                              AND c.mendable IS NOT TRUE) THEN NULL
            ELSE CASE WHEN (u.contype = 'x' OR u.period)
                       AND NOT EXISTS (SELECT FROM pg_opclass AS o
                                       WHERE o.opcdefault AND o.opcmethod = u.relam AND o.opcintype = u.atttypid)
                      THEN 'CREATE EXTENSION IF NOT EXISTS btree_gist; ' ELSE '' END
                 || format('SELECT tenancy.scope_unique(%L, %L)', u.relation, u.relname) END,
       CASE WHEN u.surrogate THEN 'low' END
FROM unique_key AS u
