-- How many tables are audited, how many seconds ago the log was last sealed, and whether entries older than $1 seconds have
-- come since. Entries are found by the index on their time.
SELECT (SELECT pg_catalog.count(*) FROM tenancy.audited),
       EXTRACT(epoch FROM pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) last.sealed_at)::pg_catalog.int8,
       last.sealed_at IS NOT NULL
       AND EXISTS (SELECT FROM tenancy.audit_log AS l
                   WHERE l.at OPERATOR(pg_catalog.>) last.sealed_at
                     AND l.at OPERATOR(pg_catalog.<) (pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) pg_catalog.make_interval(secs => $1)))
FROM (SELECT (SELECT k.sealed_at FROM tenancy.audit_chain AS k
              WHERE k.kind OPERATOR(pg_catalog.=) 'entries' ORDER BY k.seq DESC LIMIT 1)) AS last(sealed_at)
