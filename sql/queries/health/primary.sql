-- Of a primary: how many standbys follow it, how many of these are still to catch up, and by how many seconds the slowest is
-- behind. Who merely receives or backs up WAL replays none of it, and what a subscription replays is no copy of the server.
SELECT pg_catalog.count(*),
       pg_catalog.count(*) FILTER (WHERE r.state OPERATOR(pg_catalog.=) 'catchup'),
       EXTRACT(epoch FROM pg_catalog.max(r.replay_lag))::pg_catalog.int8
FROM pg_catalog.pg_stat_replication AS r
WHERE r.replay_lsn IS NOT NULL
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_replication_slots AS s
                  WHERE s.active_pid OPERATOR(pg_catalog.=) r.pid AND s.slot_type OPERATOR(pg_catalog.=) 'logical')
