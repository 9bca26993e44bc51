-- $1 tables and indexes: bytes of each with its partitions.
SELECT asked.oid,
       CASE WHEN c.relkind IN ('p', 'I')
            THEN (SELECT coalesce(sum(pg_relation_size(t.relid)), 0)::bigint
                  FROM pg_partition_tree(c.oid) AS t
                  WHERE t.isleaf)
            ELSE coalesce(pg_relation_size(c.oid), 0) END
FROM unnest($1::oid[]) AS asked(oid)
JOIN pg_class AS c ON c.oid = asked.oid
