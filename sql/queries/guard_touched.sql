-- $1 relations, $2 triggers, $3 policies, $4 rules, $5 types that a command reports: the tables among
-- them, or behind them, with what is recorded of each, of its nearest protected parent, and of its
-- schema. Tables of which nothing is recorded are left out.
WITH RECURSIVE reported(oid) AS (
    SELECT pg_catalog.unnest($1::pg_catalog.oid[])
  UNION
    SELECT t.tgrelid FROM pg_catalog.pg_trigger AS t WHERE t.oid OPERATOR(pg_catalog.=) ANY ($2::pg_catalog.oid[])
  UNION
    SELECT p.polrelid FROM pg_catalog.pg_policy AS p WHERE p.oid OPERATOR(pg_catalog.=) ANY ($3::pg_catalog.oid[])
  UNION
    SELECT r.ev_class FROM pg_catalog.pg_rewrite AS r WHERE r.oid OPERATOR(pg_catalog.=) ANY ($4::pg_catalog.oid[])
  UNION
    -- Tables OF a type, which ALTER TYPE ... CASCADE changes without a word.
    SELECT d.objid
    FROM pg_catalog.pg_depend AS d
    WHERE d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
      AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_type'::pg_catalog.regclass
      AND d.refobjid OPERATOR(pg_catalog.=) ANY (
          $5::pg_catalog.oid[] OPERATOR(pg_catalog.||)
          ARRAY(SELECT c.reltype FROM pg_catalog.pg_class AS c
                WHERE c.oid OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.oid[])
                  AND c.relkind OPERATOR(pg_catalog.=) 'c'))
), touched(oid, is_reported) AS (
    SELECT reported.oid, true FROM reported
  UNION
    -- Protected children of a table that is not: it passes on what is done to it, and shows their rows.
    SELECT child.oid, false
    FROM touched
    CROSS JOIN LATERAL pg_catalog.unnest(ARRAY(
        SELECT i.inhrelid FROM pg_catalog.pg_inherits AS i
        WHERE i.inhparent OPERATOR(pg_catalog.=) touched.oid)) AS child(oid)
    WHERE (SELECT true FROM tenancy.protection AS p
           WHERE p.relation OPERATOR(pg_catalog.=) touched.oid AND p.tenant_column IS NOT NULL
           LIMIT 1) IS NOT TRUE
)
SELECT DISTINCT c.oid,
       own.kind,
       own.tenant_column::pg_catalog.text,
       above.kind,
       above.tenant_column::pg_catalog.text,
       CASE WHEN c.relpersistence OPERATOR(pg_catalog.<>) 't' AND c.relkind IN ('r', 'p') THEN m.on_new END,
       m.tenant_column::pg_catalog.text
FROM touched
-- OFFSET 0 keeps the look-ups look-ups.
CROSS JOIN LATERAL (SELECT c.oid, c.relkind, c.relpersistence,
                           (SELECT n.nspname FROM pg_catalog.pg_namespace AS n
                            WHERE n.oid OPERATOR(pg_catalog.=) c.relnamespace) AS nspname
                    FROM pg_catalog.pg_class AS c
                    WHERE c.oid OPERATOR(pg_catalog.=) touched.oid OFFSET 0) AS c
LEFT JOIN LATERAL (SELECT p.kind, p.tenant_column FROM tenancy.protection AS p
                   WHERE p.relation OPERATOR(pg_catalog.=) touched.oid OFFSET 0) AS own ON true
LEFT JOIN LATERAL (
    WITH RECURSIVE up(oid, depth) AS (
        SELECT i.inhparent, 1 FROM pg_catalog.pg_inherits AS i WHERE i.inhrelid OPERATOR(pg_catalog.=) c.oid
      UNION
        SELECT parent.oid, up.depth OPERATOR(pg_catalog.+) 1
        FROM up
        CROSS JOIN LATERAL pg_catalog.unnest(ARRAY(
            SELECT i.inhparent FROM pg_catalog.pg_inherits AS i
            WHERE i.inhrelid OPERATOR(pg_catalog.=) up.oid)) AS parent(oid)
    )
    SELECT p.kind, p.tenant_column
    FROM up
    CROSS JOIN LATERAL (SELECT p.kind, p.tenant_column FROM tenancy.protection AS p
                        WHERE p.relation OPERATOR(pg_catalog.=) up.oid OFFSET 0) AS p
    ORDER BY p.kind OPERATOR(pg_catalog.=) 'global', up.depth
    LIMIT 1
) AS above ON true
LEFT JOIN LATERAL (SELECT m.on_new, m.tenant_column FROM tenancy.managed_schema AS m
                   WHERE m.schema OPERATOR(pg_catalog.=) c.nspname OFFSET 0) AS m ON true
WHERE c.relkind IN ('r', 'p', 'f')
  AND coalesce(own.tenant_column::pg_catalog.text,
               CASE WHEN touched.is_reported THEN coalesce(own.kind, above.kind, m.on_new) END) IS NOT NULL
ORDER BY c.oid
