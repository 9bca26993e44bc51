-- $1 tables: their indexes.
SELECT i.indexrelid, i.indrelid, format('%I.%I', n.nspname, c.relname), am.amname::text,
       keys.attributes, keys.classes, keys.collations, keys.options,
       ARRAY(SELECT u.attnum FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS u(attnum, place)
             WHERE u.place > i.indnkeyatts ORDER BY u.attnum),
       CASE WHEN i.indexprs IS NOT NULL THEN pg_get_expr(i.indexprs, i.indrelid) END,
       CASE WHEN i.indpred IS NOT NULL THEN pg_get_expr(i.indpred, i.indrelid) END,
       i.indisunique, i.indnullsnotdistinct,
       i.indisvalid AND i.indisready AND i.indislive,
       i.indisreplident OR i.indisclustered OR i.indisexclusion
       OR i.indexrelid IN (SELECT k.conindid FROM pg_constraint AS k WHERE k.conindid <> 0),
       c.relkind = 'I', c.relispartition,
       keys.texts, i.indimmediate
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_am AS am ON am.oid = c.relam
CROSS JOIN LATERAL (
    SELECT array_agg(u.attnum ORDER BY u.place) AS attributes,
           array_agg(u.class ORDER BY u.place) AS classes,
           array_agg(u.sort ORDER BY u.place) AS collations,
           array_agg(u.options ORDER BY u.place) AS options,
           array_agg(coalesce(quote_ident(a.attname), pg_get_indexdef(i.indexrelid, u.place::int, false))
                     ORDER BY u.place) AS texts
    FROM ROWS FROM (unnest(i.indkey::int2[]), unnest(i.indclass::oid[]), unnest(i.indcollation::oid[]),
                    unnest(i.indoption::int2[])) WITH ORDINALITY AS u(attnum, class, sort, options, place)
    LEFT JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = u.attnum AND u.attnum <> 0
    WHERE u.place <= i.indnkeyatts) AS keys
WHERE i.indrelid = ANY ($1)
ORDER BY i.indexrelid
