-- Writes down what tenants use: for the hour that has ended, exactly as it was then, and for the one that runs, so far.
-- An hour without a row is one in which nothing changed. For the search path pg_catalog alone. Hours are those of UTC.
WITH clock AS MATERIALIZED (
    -- After the snapshot was taken: no slot that is seen is of a later hour.
    SELECT date_trunc('hour', clock_timestamp(), 'UTC') AS hour
), reading AS MATERIALIZED (
    SELECT s.tenant_id, s.resource_id, clock.hour, clock.hour - interval '1 hour' AS last_hour,
           least(sum(s.used), 9223372036854775807)::bigint AS used,
           least(sum(s.taken), 9223372036854775807)::bigint AS taken,
           least(sum(CASE WHEN s.hour < clock.hour THEN s.used ELSE s.used_before END), 9223372036854775807)::bigint AS used_before,
           least(sum(CASE WHEN s.hour < clock.hour THEN s.taken ELSE s.taken_before END), 9223372036854775807)::bigint AS taken_before
    FROM tenancy.quota_slots AS s CROSS JOIN clock
    GROUP BY s.tenant_id, s.resource_id, clock.hour
), wanted AS (
    SELECT r.tenant_id, r.resource_id, r.last_hour AS hour, r.used_before AS used, r.taken_before AS reading,
           coalesce(p.used, 0) AS former_used,
           -- Slots that were removed with their tenant begin anew.
           CASE WHEN p.reading <= r.taken_before THEN p.reading ELSE 0 END AS former_reading
    FROM reading AS r
    LEFT JOIN LATERAL (SELECT h.used, h.reading FROM tenancy.usage_history AS h
                       WHERE h.tenant_id = r.tenant_id AND h.resource_id = r.resource_id AND h.hour < r.last_hour
                       ORDER BY h.hour DESC LIMIT 1) AS p ON true
  UNION ALL
    SELECT r.tenant_id, r.resource_id, r.hour, r.used, r.taken, r.used_before, r.taken_before
    FROM reading AS r
)
INSERT INTO tenancy.usage_history AS h (tenant_id, resource_id, resource, hour, used, peak, added, removed, reading)
SELECT w.tenant_id, w.resource_id, s.name, w.hour, w.used, greatest(w.used, w.former_used),
       w.reading - w.former_reading,
       w.reading - w.former_reading - (w.used - w.former_used),
       w.reading
FROM wanted AS w
JOIN tenancy.resources AS s ON s.id = w.resource_id
LEFT JOIN tenancy.usage_history AS o
       ON o.tenant_id = w.tenant_id AND o.resource_id = w.resource_id AND o.hour = w.hour
-- What is there already is written again only where it differs, peaks aside, which only grow.
WHERE CASE WHEN o.hour IS NULL THEN w.reading <> w.former_reading OR w.used <> w.former_used
           ELSE o.used <> w.used OR o.reading <> w.reading END
ON CONFLICT (tenant_id, resource_id, hour) DO UPDATE
SET resource = EXCLUDED.resource, used = EXCLUDED.used, peak = greatest(h.peak, EXCLUDED.peak), added = EXCLUDED.added,
    removed = EXCLUDED.removed, reading = EXCLUDED.reading
