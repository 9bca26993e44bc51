-- Of a standby: whether it streams, whether it was told to pause, whether it has replayed all that its primary has last said to
-- have, received or not (before it has said anything: what was received), and how many seconds ago what it last replayed was
-- committed.
SELECT EXISTS (SELECT FROM pg_catalog.pg_stat_get_wal_receiver() AS r WHERE r.status OPERATOR(pg_catalog.=) 'streaming'),
       pg_catalog.pg_is_wal_replay_paused(),
       (SELECT pg_catalog.pg_last_wal_replay_lsn()
               OPERATOR(pg_catalog.>=) coalesce(r.latest_end_lsn, pg_catalog.pg_last_wal_receive_lsn())
        FROM pg_catalog.pg_stat_get_wal_receiver() AS r),
       EXTRACT(epoch FROM pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) pg_catalog.pg_last_xact_replay_timestamp())::pg_catalog.int8
