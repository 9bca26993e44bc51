-- $1 a table, $2 a column name: the foreign keys of the table that have the column, and hold.
SELECT format('%I ON %I.%I', k.conname, n.nspname, c.relname), cardinality(k.conkey) = 1,
       CASE WHEN p.relkind = 'p' THEN '' ELSE 'ONLY ' END || format('%I.%I', pn.nspname, p.relname), p.relowner,
       format('%I', pa.attname), format('OPERATOR(%I.%s)', o_n.nspname, o.oprname), format_type(o.oprright, -1)
FROM pg_constraint AS k
JOIN pg_class AS c ON c.oid = k.conrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_class AS p ON p.oid = k.confrelid
JOIN pg_namespace AS pn ON pn.oid = p.relnamespace
JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attname = $2::name
CROSS JOIN LATERAL ROWS FROM (unnest(k.conkey), unnest(k.confkey), unnest(k.conpfeqop)) AS u(child, parent, operator)
JOIN pg_attribute AS pa ON pa.attrelid = k.confrelid AND pa.attnum = u.parent
JOIN pg_operator AS o ON o.oid = u.operator
JOIN pg_namespace AS o_n ON o_n.oid = o.oprnamespace
WHERE k.contype = 'f' AND k.conrelid = $1 AND u.child = a.attnum
  AND coalesce((to_jsonb(k) ->> 'conenforced')::boolean, true)
  -- Not those that PostgreSQL makes for the partitions that it refers to.
  AND NOT EXISTS (SELECT FROM pg_constraint AS whole WHERE whole.oid = k.conparentid AND whole.conrelid = k.conrelid)
ORDER BY k.conname
