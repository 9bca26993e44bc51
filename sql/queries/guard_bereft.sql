-- Protected tables of which the current command dropped a part.
WITH part AS (
    SELECT d.classid, d.objid, d.objsubid, d.object_type, d.address_names
    FROM pg_catalog.pg_event_trigger_dropped_objects() AS d
    WHERE d.object_type IN ('policy', 'trigger', 'rule', 'default value', 'table column', 'table constraint')
), bereft(oid) AS (
    SELECT part.objid FROM part
    WHERE part.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
  UNION
    SELECT c.oid
    FROM part
    JOIN pg_catalog.pg_namespace AS n ON n.nspname OPERATOR(pg_catalog.=) part.address_names[1]::pg_catalog.name
    JOIN pg_catalog.pg_class AS c
      ON c.relnamespace OPERATOR(pg_catalog.=) n.oid
     AND c.relname OPERATOR(pg_catalog.=) part.address_names[2]::pg_catalog.name
    WHERE part.object_type OPERATOR(pg_catalog.<>) 'table column'
)
SELECT c.oid, p.kind, p.tenant_column::pg_catalog.text
FROM bereft
JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) bereft.oid
JOIN tenancy.protection AS p ON p.relation OPERATOR(pg_catalog.=) c.oid
WHERE p.kind OPERATOR(pg_catalog.<>) 'global'
ORDER BY c.oid
