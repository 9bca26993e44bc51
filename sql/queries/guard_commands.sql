-- What the current DDL command reports, by catalog. Privileges are reported without an object.
SELECT c.classid::pg_catalog.regclass::pg_catalog.text,
       c.objid,
       c.in_extension
FROM pg_catalog.pg_event_trigger_ddl_commands() AS c
WHERE c.objid IS NOT NULL
