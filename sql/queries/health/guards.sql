-- The extension's event triggers that are gone, or don't always fire. Of an earlier version of its schema, those that it has.
SELECT wanted.name
FROM (VALUES ('tenancy_forget_dropped', 'tenancy.forget_dropped()'), ('tenancy_guard_command', 'tenancy.guard_command()'),
             ('tenancy_guard_grant', 'tenancy.guard_grant()'), ('tenancy_guard_drop', 'tenancy.guard_drop()'),
             ('tenancy_guard_removal', 'tenancy.guard_removal()'), ('tenancy_follow_schema', 'tenancy.follow_schema()'),
             ('tenancy_quota_parts', 'tenancy.count_parts()')) AS wanted(name, function)
WHERE pg_catalog.to_regprocedure(wanted.function) IS NOT NULL
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_event_trigger AS e
                  WHERE e.evtname OPERATOR(pg_catalog.=) wanted.name::pg_catalog.name
                    AND e.evtenabled OPERATOR(pg_catalog.=) 'A')
ORDER BY 1
