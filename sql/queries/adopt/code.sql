-- $1 a table: whether an UPDATE of it runs functions of roles that are no superusers also while its triggers are silenced.
WITH function(oid) AS (
    SELECT t.tgfoid FROM pg_trigger AS t
    WHERE t.tgrelid = $1 AND NOT t.tgisinternal AND t.tgenabled IN ('A', 'R')
  UNION ALL
    SELECT CASE d.refclassid WHEN 'pg_proc'::regclass THEN d.refobjid
                             ELSE (SELECT o.oprcode FROM pg_operator AS o WHERE o.oid = d.refobjid) END
    FROM pg_depend AS d
    WHERE d.refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass)
      AND (d.classid = 'pg_class'::regclass
           AND (d.objid = $1 OR d.objid IN (SELECT i.indexrelid FROM pg_index AS i WHERE i.indrelid = $1))
           OR d.classid = 'pg_attrdef'::regclass
              AND d.objid IN (SELECT f.oid FROM pg_attrdef AS f WHERE f.adrelid = $1)
           OR d.classid = 'pg_constraint'::regclass
              AND d.objid IN (SELECT k.oid FROM pg_constraint AS k WHERE k.conrelid = $1)
           OR d.classid = 'pg_rewrite'::regclass
              AND d.objid IN (SELECT r.oid FROM pg_rewrite AS r WHERE r.ev_class = $1 AND r.ev_enabled IN ('A', 'R')))
)
SELECT EXISTS (SELECT FROM function
               JOIN pg_proc AS f ON f.oid = function.oid
               JOIN pg_roles AS owner ON owner.oid = f.proowner
               WHERE NOT owner.rolsuper)
