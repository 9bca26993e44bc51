-- What the extension consists of, as text, one line for each thing and what is true of it; the same in any two databases where it
-- is the same. Numbers that the server gives out are left out.
WITH member AS (
    SELECT d.classid, d.objid FROM pg_depend AS d
    JOIN pg_extension AS e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
    WHERE e.extname = 'pg_tenancy' AND d.deptype = 'e'
), relation AS (
    SELECT c.* FROM pg_class AS c WHERE c.oid IN (SELECT objid FROM member WHERE classid = 'pg_class'::regclass)
)
SELECT format('member %s', i.type || ' ' || i.identity)
FROM member AS m, pg_identify_object(m.classid, m.objid, 0) AS i
UNION ALL
SELECT format('function %s', concat_ws(' ', p.proowner::regrole, pg_get_functiondef(p.oid), p.proacl, p.procost, p.prorows, p.prosupport, obj_description(p.oid, 'pg_proc')))
FROM pg_proc AS p JOIN member AS m ON m.classid = 'pg_proc'::regclass AND m.objid = p.oid
UNION ALL
SELECT format('relation %s', concat_ws(' ', r.oid::regclass, r.relowner::regrole, r.relkind, r.relpersistence, r.relreplident, r.relrowsecurity, r.relforcerowsecurity,
              r.reloptions, r.relacl, pg_get_partkeydef(r.oid), pg_get_expr(r.relpartbound, r.oid), obj_description(r.oid, 'pg_class')))
FROM relation AS r
UNION ALL
-- The library reads columns by number. Some builds of PostgreSQL keep a version of each column (pg_attver) among its options.
SELECT format('column %s', concat_ws(' ', r.oid::regclass, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attstorage,
              a.attcollation::regcollation, a.attidentity, a.attgenerated, pg_get_expr(d.adbin, d.adrelid), a.attacl,
              ARRAY(SELECT o FROM unnest(a.attoptions) AS o WHERE o NOT LIKE 'pg\_attver=%'),
              col_description(r.oid, a.attnum)))
FROM relation AS r JOIN pg_attribute AS a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attrdef AS d ON d.adrelid = r.oid AND d.adnum = a.attnum
UNION ALL
SELECT format('sequence %s', concat_ws(' ', s.seqrelid::regclass, s.seqtypid::regtype, s.seqstart, s.seqincrement, s.seqmax, s.seqmin,
              s.seqcache, s.seqcycle))
FROM relation AS r JOIN pg_sequence AS s ON s.seqrelid = r.oid
UNION ALL
SELECT format('constraint %s', concat_ws(' ', r.oid::regclass, k.conname, pg_get_constraintdef(k.oid), k.convalidated,
              obj_description(k.oid, 'pg_constraint')))
FROM relation AS r JOIN pg_constraint AS k ON k.conrelid = r.oid
UNION ALL
SELECT format('index %s', concat_ws(' ', pg_get_indexdef(i.indexrelid), i.indisvalid, i.indisreplident,
              (SELECT c.relowner::regrole FROM pg_class AS c WHERE c.oid = i.indexrelid), obj_description(i.indexrelid, 'pg_class')))
FROM relation AS r JOIN pg_index AS i ON i.indrelid = r.oid
UNION ALL
SELECT format('trigger %s', concat_ws(' ', r.oid::regclass, pg_get_triggerdef(t.oid), t.tgenabled, obj_description(t.oid, 'pg_trigger')))
FROM relation AS r JOIN pg_trigger AS t ON t.tgrelid = r.oid AND NOT t.tgisinternal
UNION ALL
SELECT format('policy %s', concat_ws(' ', r.oid::regclass, p.polname, p.polcmd, p.polpermissive, p.polroles, pg_get_expr(p.polqual, p.polrelid),
              pg_get_expr(p.polwithcheck, p.polrelid), obj_description(p.oid, 'pg_policy')))
FROM relation AS r JOIN pg_policy AS p ON p.polrelid = r.oid
UNION ALL
SELECT format('view %s', concat_ws(' ', r.oid::regclass, pg_get_viewdef(r.oid))) FROM relation AS r WHERE r.relkind = 'v'
UNION ALL
SELECT format('event trigger %s', concat_ws(' ', t.evtname, t.evtowner::regrole, t.evtevent, t.evtenabled, t.evttags, t.evtfoid::regprocedure,
              obj_description(t.oid, 'pg_event_trigger')))
FROM pg_event_trigger AS t JOIN member AS m ON m.classid = 'pg_event_trigger'::regclass AND m.objid = t.oid
UNION ALL
SELECT format('operator %s', concat_ws(' ', f.opfname, o.amopstrategy, o.amopopr::regoperator, o.amoppurpose)) FROM pg_amop AS o
JOIN pg_opfamily AS f ON f.oid = o.amopfamily JOIN member AS m ON m.classid = 'pg_opfamily'::regclass AND m.objid = f.oid
UNION ALL
SELECT format('support function %s', concat_ws(' ', f.opfname, o.amprocnum, o.amproc::regprocedure)) FROM pg_amproc AS o
JOIN pg_opfamily AS f ON f.oid = o.amprocfamily JOIN member AS m ON m.classid = 'pg_opfamily'::regclass AND m.objid = f.oid
UNION ALL
SELECT format('operator family %s', concat_ws(' ', f.opfname, f.opfowner::regrole, obj_description(f.oid, 'pg_opfamily'))) FROM pg_opfamily AS f
JOIN member AS m ON m.classid = 'pg_opfamily'::regclass AND m.objid = f.oid
UNION ALL
SELECT format('operator class %s', concat_ws(' ', c.opcname, c.opcowner::regrole, c.opcintype::regtype, c.opcdefault, c.opckeytype::regtype,
              obj_description(c.oid, 'pg_opclass'))) FROM pg_opclass AS c
JOIN member AS m ON m.classid = 'pg_opclass'::regclass AND m.objid = c.oid
UNION ALL
SELECT format('schema %s', concat_ws(' ', n.nspname, n.nspowner::regrole, n.nspacl, obj_description(n.oid, 'pg_namespace'))) FROM pg_namespace AS n
JOIN member AS m ON m.classid = 'pg_namespace'::regclass AND m.objid = n.oid
UNION ALL
SELECT format('dumped %s', concat_ws(' ', c.relation::regclass, c.condition))
FROM pg_extension AS e, ROWS FROM (unnest(e.extconfig), unnest(e.extcondition)) AS c(relation, condition)
WHERE e.extname = 'pg_tenancy'
UNION ALL
SELECT format('extension %s', concat_ws(' ', e.extowner::regrole, e.extversion, e.extrelocatable, e.extnamespace::regnamespace)) FROM pg_extension AS e
WHERE e.extname = 'pg_tenancy'
ORDER BY 1
