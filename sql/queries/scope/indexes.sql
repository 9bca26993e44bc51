-- $1 tables: their indexes, but for those that partitions have through their parent's.
SELECT i.indrelid, quote_ident(ic.relname), format('%I.%I', n.nspname, ic.relname), i.indisunique, i.indimmediate,
       i.indisvalid, i.indpred IS NULL AND i.indexprs IS NULL, i.indnullsnotdistinct,
       EXISTS (SELECT FROM pg_constraint AS k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x')),
       am.amname = 'btree' AND 0 = ALL (i.indoption::int2[])
       AND NOT EXISTS (
           SELECT FROM ROWS FROM (unnest(i.indclass::oid[]), unnest(i.indcollation::oid[]), unnest(i.indkey::int2[]))
                  AS u(opclass, coll, attnum)
           JOIN pg_opclass AS o ON o.oid = u.opclass
           JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = u.attnum
           WHERE NOT o.opcdefault OR u.coll <> a.attcollation),
       (i.indkey::int2[])[0:i.indnkeyatts - 1],
       (i.indkey::int2[])[i.indnkeyatts:]
FROM pg_index AS i
JOIN pg_class AS ic ON ic.oid = i.indexrelid
JOIN pg_namespace AS n ON n.oid = ic.relnamespace
JOIN pg_am AS am ON am.oid = ic.relam
WHERE i.indrelid = ANY ($1)
ORDER BY i.indrelid, ic.relname
