-- Removes what is older than so many seconds ($1), but for the last row before: it says what was used from there on. For the
-- search path pg_catalog alone.
DELETE FROM tenancy.usage_history AS h
WHERE h.hour < clock_timestamp() - make_interval(secs => $1)
  AND EXISTS (SELECT FROM tenancy.usage_history AS l
              WHERE l.tenant_id = h.tenant_id AND l.resource_id = h.resource_id
                AND l.hour > h.hour AND l.hour < clock_timestamp() - make_interval(secs => $1))
