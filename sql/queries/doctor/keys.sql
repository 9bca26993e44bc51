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
           k.confupdtype, k.confdeltype, k.condeferrable, k.condeferred
    FROM pg_constraint AS k
    JOIN protected AS child ON child.oid = k.conrelid
    LEFT JOIN protected AS parent ON parent.oid = k.confrelid
    WHERE k.contype = 'f' AND k.conparentid = 0
      AND ($1::oid IS NULL OR child.relnamespace = $1)
), action(code, words) AS (
    VALUES ('a', ''), ('r', ' RESTRICT'), ('c', ' CASCADE'), ('n', ' SET NULL'), ('d', ' SET DEFAULT')
), crossing AS (
    SELECT f.*,
           format('%s_%s_tenant_key', left(p.relname, 30), left(md5(f.parent_columns), 8)) AS key_name,
           -- SET NULL and SET DEFAULT must leave the tenant alone.
           format('ALTER TABLE %s DROP CONSTRAINT %I, ADD CONSTRAINT %I FOREIGN KEY (%I, %s) REFERENCES %s (%I, %s)',
                  f.child, f.conname, f.conname, f.child_column, f.child_columns,
                  f.parent, f.parent_column, f.parent_columns)
           || CASE WHEN f.confupdtype = 'a' THEN '' ELSE ' ON UPDATE' || up.words END
           || CASE WHEN f.confdeltype = 'a' THEN ''
                   WHEN f.confdeltype IN ('n', 'd') THEN format(' ON DELETE%s (%s)', del.words, f.child_columns)
                   ELSE ' ON DELETE' || del.words END
           || CASE WHEN f.condeferrable THEN ' DEFERRABLE' ELSE '' END
           || CASE WHEN f.condeferred THEN ' INITIALLY DEFERRED' ELSE '' END AS scope,
           -- A cast of somebody's own would be run to check the rows.
           EXISTS (SELECT FROM unnest(f.conkey, f.confkey) AS u(child, parent)
                   JOIN pg_attribute AS a ON a.attrelid = f.conrelid AND a.attnum = u.child
                   JOIN pg_attribute AS b ON b.attrelid = f.confrelid AND b.attnum = u.parent
                   -- From where on types are users'.
                   WHERE a.atttypid <> b.atttypid AND greatest(a.atttypid, b.atttypid) >= 16384::oid) AS casts,
           EXISTS (SELECT FROM pg_index AS i
                   WHERE i.indrelid = f.confrelid AND i.indisunique AND i.indimmediate AND i.indisvalid
                     AND i.indpred IS NULL AND i.indexprs IS NULL
                     AND i.indnkeyatts = cardinality(f.confkey) + 1
                     AND (i.indkey::int2[])[0:i.indnkeyatts - 1] @> f.confkey
                     AND (i.indkey::int2[])[0:i.indnkeyatts - 1] @> ARRAY[f.parent_tenant]) AS has_key
    FROM foreign_key AS f
    JOIN pg_class AS p ON p.oid = f.confrelid
    JOIN action AS up ON up.code = f.confupdtype::text
    JOIN action AS del ON del.code = f.confdeltype::text
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
           p.name AS relation, p.relnamespace, p.atttypid,
           -- As it stands in the replacement of a pattern.
           replace(quote_ident(p.tenant_column), '\', '\\') AS tenant, p.tenant_column, ic.relname,
           format('%I.%I', n.nspname, ic.relname) AS index_name,
           -- How the definition of an index begins, up to its columns; names in it may look like anything. What is printed
           -- of a partitioned one leaves its parts out.
           format('CREATE UNIQUE INDEX %I ON ', ic.relname) || CASE ic.relkind WHEN 'I' THEN 'ONLY ' ELSE '' END
           || format('%s USING %I (', p.name, am.amname) AS printed,
           format('CREATE UNIQUE INDEX %I ON %s USING %I (', ic.relname, p.name, am.amname) AS beginning,
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
       CASE WHEN c.parent_kind = 'shared' OR c.child_type <> c.parent_type OR c.casts THEN NULL
            WHEN c.has_key THEN c.scope
            ELSE format('CREATE UNIQUE INDEX IF NOT EXISTS %I ON %s (%I, %s); ',
                        c.key_name, c.parent, c.parent_column, c.parent_columns) || c.scope END,
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
            WHEN EXISTS (SELECT FROM pg_constraint AS f
                         LEFT JOIN crossing AS c ON c.oid = f.oid
                         WHERE f.contype = 'f' AND f.confrelid = u.indrelid AND f.conindid = u.indexrelid
                           AND f.conparentid = 0
                           AND (c.oid IS NULL OR c.parent_kind = 'shared' OR c.child_type <> c.parent_type OR c.casts))
                THEN NULL
            WHEN u.con IS NULL THEN
                CASE WHEN starts_with(pg_get_indexdef(u.indexrelid), u.printed)
                     THEN format('DROP INDEX %s; %s%I, ', u.index_name, u.beginning, u.tenant_column)
                          || substr(pg_get_indexdef(u.indexrelid), length(u.printed) + 1) END
            WHEN u.contype = 'x' OR pg_get_constraintdef(u.con) ~ ' WITHOUT OVERLAPS' THEN
                CASE WHEN EXISTS (SELECT FROM pg_opclass AS o
                                  JOIN pg_am AS am ON am.oid = o.opcmethod
                                  JOIN pg_class AS ic ON ic.relam = am.oid AND ic.oid = u.indexrelid
                                  WHERE o.opcdefault AND o.opcintype = u.atttypid) THEN ''
                     ELSE 'CREATE EXTENSION IF NOT EXISTS btree_gist; ' END
                || format('ALTER TABLE %s DROP CONSTRAINT %I, ADD CONSTRAINT %I ', u.relation, u.conname, u.conname)
                || CASE u.contype WHEN 'x' THEN
                       regexp_replace(pg_get_constraintdef(u.con), '^(EXCLUDE USING \w+ \()',
                                      '\1' || u.tenant || ' WITH OPERATOR(pg_catalog.=), ')
                   ELSE regexp_replace(pg_get_constraintdef(u.con), '^([^(]*\()', '\1' || u.tenant || ', ') END
            ELSE format('ALTER TABLE %s DROP CONSTRAINT %I, ADD CONSTRAINT %I ', u.relation, u.conname, u.conname)
                 || regexp_replace(pg_get_constraintdef(u.con), '^([^(]*\()', '\1' || u.tenant || ', ') END,
       CASE WHEN u.surrogate THEN 'low' END
FROM unique_key AS u
