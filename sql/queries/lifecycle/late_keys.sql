-- $1 tables: the deferrable keys of theirs and of what inherits from them, as what is true of two rows, one and other, that can't
-- both be there. Their parts are k1, k2, ...
SELECT k.conname::pg_catalog.text, pg_catalog.format('%I.%I', n.nspname, c.relname), t.root,
       k.contype OPERATOR(pg_catalog.<>) 'x', keys.columns,
       CASE WHEN c.relkind OPERATOR(pg_catalog.=) 'p' THEN '' ELSE 'ONLY ' END
           OPERATOR(pg_catalog.||) pg_catalog.format('%I.%I', n.nspname, c.relname),
       coalesce(pg_catalog.pg_get_expr(i.indpred, i.indrelid), 'true'), keys.collides
FROM pg_catalog.pg_constraint AS k
JOIN tree AS t ON t.oid OPERATOR(pg_catalog.=) k.conrelid
JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) k.conrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
JOIN pg_catalog.pg_index AS i ON i.indexrelid OPERATOR(pg_catalog.=) k.conindid
CROSS JOIN LATERAL (
    SELECT pg_catalog.string_agg(pg_catalog.format('(%s) AS k%s', pg_catalog.pg_get_indexdef(i.indexrelid, p.place, true), p.place),
                                 ', ' ORDER BY p.place) AS columns,
           pg_catalog.string_agg(
               pg_catalog.format(CASE WHEN i.indnullsnotdistinct
                                      THEN '(one.k%1$s OPERATOR(%2$I.%3$s) other.k%1$s OR one.k%1$s IS NULL AND other.k%1$s IS NULL)'
                                      ELSE 'one.k%1$s OPERATOR(%2$I.%3$s) other.k%1$s' END,
                                 p.place, o.nspname, o.oprname),
               ' AND ' ORDER BY p.place) AS collides
    FROM pg_catalog.generate_series(1, i.indnkeyatts::pg_catalog.int4) AS p(place)
    JOIN pg_catalog.pg_opclass AS oc ON oc.oid OPERATOR(pg_catalog.=) i.indclass[p.place OPERATOR(pg_catalog.-) 1]
    LEFT JOIN pg_catalog.pg_amop AS am
      ON k.conexclop IS NULL AND am.amopfamily OPERATOR(pg_catalog.=) oc.opcfamily
     AND am.amoplefttype OPERATOR(pg_catalog.=) oc.opcintype AND am.amoprighttype OPERATOR(pg_catalog.=) oc.opcintype
     AND am.amopstrategy OPERATOR(pg_catalog.=) 3
    JOIN (SELECT op.oid, op.oprname, opn.nspname
          FROM pg_catalog.pg_operator AS op
          JOIN pg_catalog.pg_namespace AS opn ON opn.oid OPERATOR(pg_catalog.=) op.oprnamespace) AS o
      ON o.oid OPERATOR(pg_catalog.=) coalesce(k.conexclop[p.place], am.amopopr)) AS keys
WHERE k.contype IN ('p', 'u', 'x') AND k.condeferrable AND k.conparentid OPERATOR(pg_catalog.=) 0::pg_catalog.oid
  AND keys.columns IS NOT NULL
ORDER BY 2, 1
