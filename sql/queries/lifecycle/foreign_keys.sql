-- $1 tables: the foreign keys of theirs and of what inherits from them, as what is true of a row c that refers to a row which is
-- not there.
SELECT k.conname::pg_catalog.text, pg_catalog.format('%I.%I', cn.nspname, c.relname), t.root,
       pg_catalog.format('%s AND NOT EXISTS (SELECT FROM %I.%I AS p WHERE %s)',
                         pair.given, pn.nspname, p.relname, pair.equal)
FROM pg_catalog.pg_constraint AS k
JOIN tree AS t ON t.oid OPERATOR(pg_catalog.=) k.conrelid
JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) k.conrelid
JOIN pg_catalog.pg_namespace AS cn ON cn.oid OPERATOR(pg_catalog.=) c.relnamespace
JOIN pg_catalog.pg_class AS p ON p.oid OPERATOR(pg_catalog.=) k.confrelid
JOIN pg_catalog.pg_namespace AS pn ON pn.oid OPERATOR(pg_catalog.=) p.relnamespace
CROSS JOIN LATERAL (
    SELECT pg_catalog.string_agg(pg_catalog.format('c.%I IS NOT NULL', ca.attname), ' AND ' ORDER BY u.place) AS given,
           pg_catalog.string_agg(pg_catalog.format('p.%I OPERATOR(%I.%s) c.%I', pa.attname, o.nspname, o.oprname, ca.attname),
                                 ' AND ' ORDER BY u.place) AS equal
    FROM ROWS FROM (pg_catalog.unnest(k.conkey), pg_catalog.unnest(k.confkey), pg_catalog.unnest(k.conpfeqop)) WITH ORDINALITY
         AS u(child, parent, operator, place)
    JOIN pg_catalog.pg_attribute AS ca
      ON ca.attrelid OPERATOR(pg_catalog.=) k.conrelid AND ca.attnum OPERATOR(pg_catalog.=) u.child
    JOIN pg_catalog.pg_attribute AS pa
      ON pa.attrelid OPERATOR(pg_catalog.=) k.confrelid AND pa.attnum OPERATOR(pg_catalog.=) u.parent
    JOIN (SELECT op.oid, op.oprname, opn.nspname
          FROM pg_catalog.pg_operator AS op
          JOIN pg_catalog.pg_namespace AS opn ON opn.oid OPERATOR(pg_catalog.=) op.oprnamespace) AS o
      ON o.oid OPERATOR(pg_catalog.=) u.operator) AS pair
WHERE k.contype OPERATOR(pg_catalog.=) 'f' AND k.conparentid OPERATOR(pg_catalog.=) 0::pg_catalog.oid AND k.convalidated
  AND coalesce((pg_catalog.to_jsonb(k) OPERATOR(pg_catalog.->>) 'conenforced')::pg_catalog.bool, true)
  AND NOT coalesce((pg_catalog.to_jsonb(k) OPERATOR(pg_catalog.->>) 'conperiod')::pg_catalog.bool, false)
ORDER BY 2, 1
