-- Where guards are switched off: by the server's configuration, as it is for this session when it has set nothing, and for
-- roles in this database. PostgreSQL has a setting for event triggers from 17 on.
SELECT s.name
FROM pg_catalog.pg_settings AS s
WHERE s.name OPERATOR(pg_catalog.=) ANY ('{event_triggers,tenancy.guard_ddl}'::pg_catalog.text[])
  AND s.reset_val OPERATOR(pg_catalog.=) 'off'
UNION
SELECT pg_catalog.format('%s%s', o.option_name,
                         CASE WHEN s.setrole OPERATOR(pg_catalog.<>) 0::pg_catalog.oid
                              THEN pg_catalog.format(' for role %I', pg_catalog.pg_get_userbyid(s.setrole)) END)
FROM pg_catalog.pg_db_role_setting AS s
CROSS JOIN LATERAL pg_catalog.pg_options_to_table(s.setconfig) AS o
WHERE (s.setdatabase OPERATOR(pg_catalog.=) 0::pg_catalog.oid
       OR s.setdatabase OPERATOR(pg_catalog.=) (SELECT d.oid FROM pg_catalog.pg_database AS d
                                                WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()))
  AND pg_catalog.lower(o.option_name) OPERATOR(pg_catalog.=) ANY ('{event_triggers,tenancy.guard_ddl}'::pg_catalog.text[])
  AND o.option_value OPERATOR(pg_catalog.~*) '^(of|off|f|fa|fal|fals|false|n|no|0)$'
ORDER BY 1
