-- The extension's event triggers that are gone, or don't always fire.
SELECT wanted.name
FROM (VALUES ('tenancy_forget_dropped'), ('tenancy_follow_schema'), ('tenancy_guard_command'), ('tenancy_guard_grant'),
             ('tenancy_guard_drop'), ('tenancy_guard_removal'), ('tenancy_quota_parts')) AS wanted(name)
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_event_trigger AS e
                  WHERE e.evtname OPERATOR(pg_catalog.=) wanted.name::pg_catalog.name
                    AND e.evtenabled OPERATOR(pg_catalog.=) 'A')
ORDER BY 1
