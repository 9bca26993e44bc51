-- Of a primary: how many standbys stream, and by how many seconds the slowest is behind.
SELECT pg_catalog.count(*), EXTRACT(epoch FROM pg_catalog.max(r.replay_lag))::pg_catalog.int8
FROM pg_catalog.pg_stat_replication AS r
WHERE r.state OPERATOR(pg_catalog.=) 'streaming' AND r.application_name OPERATOR(pg_catalog.<>) 'pg_basebackup'
