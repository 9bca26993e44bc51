-- $1 a table, $2 the name of its tenant column: its columns, and what a value of each must be like.
WITH RECURSIVE typed(attnum, typid, required) AS (
    SELECT a.attnum, a.atttypid, a.attnotnull
    FROM pg_catalog.pg_attribute AS a
    WHERE a.attrelid OPERATOR(pg_catalog.=) $1 AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped
  UNION ALL
    -- What is under a domain.
    SELECT typed.attnum, t.typbasetype, typed.required OR t.typnotnull
    FROM typed
    JOIN pg_catalog.pg_type AS t ON t.oid OPERATOR(pg_catalog.=) typed.typid
    WHERE t.typtype OPERATOR(pg_catalog.=) 'd'
), condition(attnum, checked, text) AS (
    -- Those on one column alone can be tried before a row is made.
    SELECT k.attnum, pg_catalog.cardinality(c.conkey) OPERATOR(pg_catalog.=) 1,
           pg_catalog.pg_get_expr(c.conbin, c.conrelid)
    FROM pg_catalog.pg_constraint AS c
    CROSS JOIN LATERAL pg_catalog.unnest(c.conkey) AS k(attnum)
    WHERE c.conrelid OPERATOR(pg_catalog.=) $1 AND c.contype OPERATOR(pg_catalog.=) 'c'
  UNION ALL
    -- A domain's are tried by the cast to it.
    SELECT typed.attnum, false, pg_catalog.pg_get_constraintdef(c.oid)
    FROM typed
    JOIN pg_catalog.pg_constraint AS c ON c.contypid OPERATOR(pg_catalog.=) typed.typid
    WHERE c.contype OPERATOR(pg_catalog.=) 'c'
), global_key(attnum) AS (
    -- Columns of keys that don't contain the tenant column: a value must not be there yet.
    SELECT d.refobjsubid::pg_catalog.int2
    FROM pg_catalog.pg_index AS i
    JOIN pg_catalog.pg_depend AS d
      ON d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
     AND d.objid OPERATOR(pg_catalog.=) i.indexrelid
     AND d.refobjid OPERATOR(pg_catalog.=) i.indrelid
    WHERE i.indrelid OPERATOR(pg_catalog.=) $1
      AND (i.indisunique OR i.indisexclusion)
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_attribute AS a
                      WHERE a.attrelid OPERATOR(pg_catalog.=) $1
                        AND a.attname OPERATOR(pg_catalog.=) $2::pg_catalog.name
                        AND a.attnum OPERATOR(pg_catalog.=) ANY (
                            (i.indkey::pg_catalog.int2[])[0:i.indnkeyatts OPERATOR(pg_catalog.-) 1]))
  UNION
    -- An index that backs a constraint depends on the constraint, and that on the columns.
    SELECT k.attnum
    FROM pg_catalog.pg_constraint AS c
    CROSS JOIN LATERAL pg_catalog.unnest(c.conkey) AS k(attnum)
    WHERE c.conrelid OPERATOR(pg_catalog.=) $1
      AND c.contype IN ('p', 'u', 'x')
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_attribute AS a
                      WHERE a.attrelid OPERATOR(pg_catalog.=) $1
                        AND a.attname OPERATOR(pg_catalog.=) $2::pg_catalog.name
                        AND a.attnum OPERATOR(pg_catalog.=) ANY (c.conkey))
)
SELECT pg_catalog.quote_ident(a.attname),
       pg_catalog.format_type(a.atttypid, a.atttypmod),
       base.typname::pg_catalog.text,
       base.typcategory,
       a.attname OPERATOR(pg_catalog.=) $2::pg_catalog.name,
       typed.required,
       a.attgenerated OPERATOR(pg_catalog.<>) '',
       CASE WHEN a.attidentity OPERATOR(pg_catalog.<>) ''
              OR pg_catalog.pg_get_expr(d.adbin, d.adrelid) OPERATOR(pg_catalog.~) '\mnextval\(' THEN 'sequence'
            WHEN d.oid IS NOT NULL THEN 'default'
            ELSE 'none' END,
       a.attnum IN (SELECT g.attnum FROM global_key AS g),
       ARRAY(SELECT c.text FROM condition AS c
             WHERE c.attnum OPERATOR(pg_catalog.=) a.attnum AND c.checked ORDER BY c.text),
       ARRAY(SELECT c.text FROM condition AS c
             WHERE c.attnum OPERATOR(pg_catalog.=) a.attnum ORDER BY c.text),
       ARRAY(SELECT e.enumlabel::pg_catalog.text FROM pg_catalog.pg_enum AS e
             WHERE e.enumtypid OPERATOR(pg_catalog.=) base.oid ORDER BY e.enumsortorder),
       base.oid OPERATOR(pg_catalog.<>) a.atttypid
FROM pg_catalog.pg_attribute AS a
JOIN LATERAL (
    SELECT typed.typid, pg_catalog.bool_or(typed.required) OVER () AS required
    FROM typed
    JOIN pg_catalog.pg_type AS t ON t.oid OPERATOR(pg_catalog.=) typed.typid
    WHERE typed.attnum OPERATOR(pg_catalog.=) a.attnum
    ORDER BY t.typtype OPERATOR(pg_catalog.=) 'd'
    LIMIT 1
) AS typed ON true
JOIN pg_catalog.pg_type AS base ON base.oid OPERATOR(pg_catalog.=) typed.typid
LEFT JOIN pg_catalog.pg_attrdef AS d
       ON d.adrelid OPERATOR(pg_catalog.=) a.attrelid AND d.adnum OPERATOR(pg_catalog.=) a.attnum
WHERE a.attrelid OPERATOR(pg_catalog.=) $1 AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped
ORDER BY a.attnum
