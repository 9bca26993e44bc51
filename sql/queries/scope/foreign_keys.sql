-- $1 tables: the foreign keys that they have or are referred to by. Those that PostgreSQL makes for partitions are
-- listed with the table that has them alone. $2 a role.
SELECT k.conname::text, quote_ident(k.conname), k.conrelid, k.confrelid,
       coalesce(pg_partition_root(k.conindid)::oid, k.conindid), k.conparentid <> 0,
       k.conkey, k.confkey, pair.child_columns, pair.parent_columns, pair.operators, pair.parent_casts, pair.child_casts,
       pair.collations, pair.nullable,
       k.confupdtype::text, k.confdeltype::text,
       (SELECT array_agg(quote_ident(a.attname) ORDER BY u.place)
        FROM unnest(k.confdelsetcols) WITH ORDINALITY AS u(attnum, place)
        JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = u.attnum),
       k.confmatchtype = 'f', k.condeferrable, k.condeferred, k.convalidated,
       coalesce((to_jsonb(k) ->> 'conenforced')::boolean, true),
       coalesce((to_jsonb(k) ->> 'conperiod')::boolean, false),
       obj_description(k.oid, 'pg_constraint'), pair.cast_owners
FROM pg_constraint AS k
CROSS JOIN LATERAL (
    SELECT array_agg(quote_ident(c.attname) ORDER BY u.place) AS child_columns,
           array_agg(quote_ident(p.attname) ORDER BY u.place) AS parent_columns,
           array_agg(format('OPERATOR(%I.%s)', n.nspname, o.oprname) ORDER BY u.place) AS operators,
           -- As PostgreSQL's own check of a foreign key compares them.
           array_agg(CASE WHEN p.atttypid = o.oprleft OR l.typtype = 'p' THEN ''
                          ELSE '::' || format_type(o.oprleft, -1) END ORDER BY u.place) AS parent_casts,
           array_agg(CASE WHEN c.atttypid = o.oprright OR r.typtype = 'p' THEN ''
                          ELSE '::' || format_type(o.oprright, -1) END ORDER BY u.place) AS child_casts,
           array_agg(CASE WHEN p.attcollation IN (0, c.attcollation) THEN ''
                          ELSE (SELECT format(' COLLATE %I.%I', cn.nspname, co.collname)
                                FROM pg_collation AS co
                                JOIN pg_namespace AS cn ON cn.oid = co.collnamespace
                                WHERE co.oid = p.attcollation) END ORDER BY u.place) AS collations,
           bool_or(NOT c.attnotnull) AS nullable,
           -- Whose functions such a comparison calls, other than the role's own and superusers'.
           (SELECT array_agg(DISTINCT u.rolname::text)
            FROM ROWS FROM (unnest(k.conkey), unnest(k.conpfeqop)) AS compared(child, operator)
            JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = compared.child
            JOIN pg_operator AS op ON op.oid = compared.operator
            JOIN pg_cast AS ca ON ca.casttarget = op.oprright
            JOIN pg_proc AS f ON f.oid = ca.castfunc
            JOIN pg_roles AS u ON u.oid = f.proowner
            WHERE NOT u.rolsuper AND u.oid <> $2
              AND ca.castsource IN (
                  WITH RECURSIVE base(oid) AS (
                      SELECT a.atttypid
                    UNION
                      SELECT t.typbasetype FROM base JOIN pg_type AS t ON t.oid = base.oid WHERE t.typtype = 'd')
                  SELECT base.oid FROM base)) AS cast_owners
    FROM ROWS FROM (unnest(k.conkey), unnest(k.confkey), unnest(k.conpfeqop)) WITH ORDINALITY
         AS u(child, parent, operator, place)
    JOIN pg_attribute AS c ON c.attrelid = k.conrelid AND c.attnum = u.child
    JOIN pg_attribute AS p ON p.attrelid = k.confrelid AND p.attnum = u.parent
    JOIN pg_operator AS o ON o.oid = u.operator
    JOIN pg_namespace AS n ON n.oid = o.oprnamespace
    JOIN pg_type AS l ON l.oid = o.oprleft
    JOIN pg_type AS r ON r.oid = o.oprright) AS pair
WHERE k.contype = 'f'
  AND (k.conrelid = ANY ($1) OR k.confrelid = ANY ($1) AND k.conparentid = 0)
ORDER BY k.conrelid::regclass::text, k.conname
