-- $1 a table, $2 relations: those of them that are the table or inherit from it.
WITH RECURSIVE up(oid, above) AS (
    SELECT given.oid, given.oid FROM pg_catalog.unnest($2::pg_catalog.oid[]) AS given(oid)
  UNION
    SELECT up.oid, parent.oid
    FROM up
    CROSS JOIN LATERAL pg_catalog.unnest(ARRAY(
        SELECT i.inhparent FROM pg_catalog.pg_inherits AS i
        WHERE i.inhrelid OPERATOR(pg_catalog.=) up.above)) AS parent(oid)
    WHERE up.above OPERATOR(pg_catalog.<>) $1
)
SELECT DISTINCT up.oid FROM up WHERE up.above OPERATOR(pg_catalog.=) $1
