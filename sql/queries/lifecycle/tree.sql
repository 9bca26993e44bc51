-- $1 tables: each with all that inherits from it. What follows is a query of the same WITH.
WITH RECURSIVE tree(root, oid) AS (
    SELECT r.oid, r.oid FROM pg_catalog.unnest($1::pg_catalog.oid[]) AS r(oid)
  UNION
    SELECT t.root, i.inhrelid
    FROM tree AS t
    JOIN pg_catalog.pg_inherits AS i ON i.inhparent OPERATOR(pg_catalog.=) t.oid
)
