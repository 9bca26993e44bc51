-- Months of the audit log that have no partition: this one, the three that follow, and those of entries that came
-- into the default partition. Name, beginning, end, and whether there are such entries. Months are those of UTC.
WITH wanted(month, is_filled) AS (
    SELECT month, false
    FROM pg_catalog.generate_series(
        pg_catalog.date_trunc('month', pg_catalog.timezone('UTC', pg_catalog.clock_timestamp())),
        pg_catalog.date_trunc('month', pg_catalog.timezone('UTC', pg_catalog.clock_timestamp()))
            OPERATOR(pg_catalog.+) '3 months'::pg_catalog.interval,
        '1 month') AS month
  UNION ALL
    SELECT DISTINCT pg_catalog.date_trunc('month', pg_catalog.timezone('UTC', at)), true
    FROM tenancy.audit_log_default
)
SELECT 'audit_log_' OPERATOR(pg_catalog.||) pg_catalog.to_char(wanted.month, 'YYYY_MM'),
       pg_catalog.to_char(wanted.month, 'YYYY-MM-DD"T00:00:00Z"'),
       pg_catalog.to_char(wanted.month OPERATOR(pg_catalog.+) '1 month'::pg_catalog.interval, 'YYYY-MM-DD"T00:00:00Z"'),
       pg_catalog.bool_or(wanted.is_filled)
FROM wanted
WHERE NOT EXISTS (
    SELECT FROM pg_catalog.pg_inherits AS i
    JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) i.inhrelid
    WHERE i.inhparent OPERATOR(pg_catalog.=) 'tenancy.audit_log'::pg_catalog.regclass
      AND c.relname OPERATOR(pg_catalog.=)
          ('audit_log_' OPERATOR(pg_catalog.||) pg_catalog.to_char(wanted.month, 'YYYY_MM'))::pg_catalog.name)
GROUP BY wanted.month
ORDER BY wanted.month
