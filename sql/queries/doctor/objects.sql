-- Rules, triggers, types and functions, large objects, publications and foreign servers: ways round a protected table.
-- Types that columns of protected tables are made of.
, column_type(oid) AS (
    SELECT DISTINCT a.atttypid
    FROM protected AS p
    JOIN pg_attribute AS a ON a.attrelid = p.oid AND a.attnum > 0 AND NOT a.attisdropped
    -- Nothing to look for where tenants own nothing.
    WHERE EXISTS (SELECT FROM holder AS h
                  WHERE h.role IN (SELECT t.typowner FROM pg_type AS t UNION ALL SELECT f.proowner FROM pg_proc AS f))
  UNION
    SELECT part.oid
    FROM column_type AS c
    JOIN pg_type AS t ON t.oid = c.oid
    CROSS JOIN LATERAL (
        SELECT t.typbasetype
      UNION ALL
        SELECT t.typelem
      UNION ALL
        SELECT a.atttypid FROM pg_attribute AS a WHERE t.typrelid <> 0 AND a.attrelid = t.typrelid AND NOT a.attisdropped
      UNION ALL
        SELECT r.rngsubtype FROM pg_range AS r WHERE t.oid IN (r.rngtypid, r.rngmultitypid)) AS part(oid)
    WHERE part.oid <> 0
)
SELECT 'RULE', format('%I ON %s', r.rulename, p.name), NULL::text,
       format('DROP RULE %I ON %s', r.rulename, p.name), NULL::text
FROM protected AS p
JOIN pg_rewrite AS r ON r.ev_class = p.oid
WHERE $1::oid IS NULL OR p.relnamespace = $1
UNION ALL
SELECT 'TRIGGER_OF_TENANTS', format('%I ON %s', t.tgname, p.name),
       quote_ident(pg_get_userbyid(f.proowner)), format('DROP TRIGGER %I ON %s', t.tgname, p.name), NULL
FROM protected AS p
JOIN pg_trigger AS t ON t.tgrelid = p.oid AND NOT t.tgisinternal AND t.tgparentid = 0
JOIN pg_proc AS f ON f.oid = t.tgfoid
WHERE f.proowner IN (SELECT h.role FROM holder AS h)
  AND f.oid NOT IN ('tenancy.guard_truncate()'::regprocedure, 'tenancy.count_rows()'::regprocedure)
  AND ($1::oid IS NULL OR p.relnamespace = $1)
UNION ALL
-- ALTER DOMAIN checks a new condition on every row, and asks no policy.
SELECT 'TYPE_OF_TENANTS', format('%I.%I', n.nspname, t.typname), quote_ident(pg_get_userbyid(t.typowner)),
       (SELECT format('ALTER DOMAIN %I.%I OWNER TO %s', n.nspname, t.typname, keeper.ident) FROM keeper), NULL
FROM column_type AS c
JOIN pg_type AS t ON t.oid = c.oid AND t.typtype = 'd'
JOIN pg_namespace AS n ON n.oid = t.typnamespace
WHERE t.typowner IN (SELECT h.role FROM holder AS h)
  AND ($1::oid IS NULL OR t.typnamespace = $1)
UNION ALL
-- What a tenant wrote must not come to run with its new owner's rights, whatever he makes of it until then.
SELECT 'FUNCTION_OF_TENANTS', called.name, quote_ident(pg_get_userbyid(f.proowner)),
       (SELECT format('ALTER FUNCTION %s SECURITY INVOKER; ALTER FUNCTION %s OWNER TO %s', called.name, called.name,
                      keeper.ident) FROM keeper), NULL
FROM pg_proc AS f
JOIN pg_namespace AS n ON n.oid = f.pronamespace
CROSS JOIN LATERAL (
    SELECT format('%I.%I(%s)', n.nspname, f.proname, pg_get_function_identity_arguments(f.oid)) AS name) AS called
WHERE f.proowner IN (SELECT h.role FROM holder AS h)
  AND ($1::oid IS NULL OR f.pronamespace = $1)
  AND f.oid IN (
      -- Itself, or as an operator.
      SELECT CASE d.refclassid WHEN 'pg_proc'::regclass THEN d.refobjid ELSE o.oprcode END
      FROM pg_depend AS d
      LEFT JOIN pg_operator AS o ON d.refclassid = 'pg_operator'::regclass AND o.oid = d.refobjid
      LEFT JOIN pg_constraint AS k ON d.classid = 'pg_constraint'::regclass AND k.oid = d.objid
      LEFT JOIN pg_attrdef AS a ON d.classid = 'pg_attrdef'::regclass AND a.oid = d.objid
      LEFT JOIN pg_index AS i ON d.classid = 'pg_class'::regclass AND i.indexrelid = d.objid
      LEFT JOIN pg_policy AS pol ON d.classid = 'pg_policy'::regclass AND pol.oid = d.objid
      WHERE d.refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass)
        AND (coalesce(nullif(k.conrelid, 0), a.adrelid, i.indrelid, pol.polrelid) IN (SELECT p.oid FROM protected AS p)
             OR k.contypid IN (SELECT c.oid FROM column_type AS c)))
UNION ALL
-- What it reads and writes in a tenant's statement is whatever it pleases; only its author knows whether that is meant.
SELECT 'TRIGGER_BYPASS', format('%I ON %s', t.tgname, p.name), quote_ident(pg_get_userbyid(f.proowner)), NULL, NULL
FROM protected AS p
JOIN pg_trigger AS t ON t.tgrelid = p.oid AND NOT t.tgisinternal AND t.tgparentid = 0
JOIN pg_proc AS f ON f.oid = t.tgfoid AND f.prosecdef
WHERE f.proowner IN (SELECT b.role FROM bypasser AS b)
  AND f.oid NOT IN (SELECT m.object FROM member_of_extension AS m WHERE m.class = 'pg_proc'::regclass)
  AND ($1::oid IS NULL OR p.relnamespace = $1)
UNION ALL
-- A large object has rights of its own, and no tenant. No fix: a row may have any object's number, and who may read all
-- of them must not put them into tenants' rows.
SELECT 'LO_COLUMN', format('%s.%I', p.name, a.attname), NULL, NULL, NULL
FROM protected AS p
JOIN pg_attribute AS a ON a.attrelid = p.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attinhcount = 0
JOIN pg_type AS ty ON ty.oid = a.atttypid
WHERE (ty.oid = 'oid'::regtype OR ty.typbasetype = 'oid'::regtype AND ty.typname = 'lo')
  AND ($1::oid IS NULL OR p.relnamespace = $1)
UNION ALL
SELECT 'PUBLICATION', quote_ident(pub.pubname), p.name,
       format('ALTER PUBLICATION %I DROP TABLE %s', pub.pubname, p.name), NULL
FROM pg_publication_rel AS r
JOIN pg_publication AS pub ON pub.oid = r.prpubid
JOIN protected AS p ON p.oid = r.prrelid
WHERE r.prqual IS NULL AND ($1::oid IS NULL OR p.relnamespace = $1)
UNION ALL
SELECT 'PUBLICATION', quote_ident(pub.pubname), format('schema %I', n.nspname),
       format('ALTER PUBLICATION %I DROP TABLES IN SCHEMA %I', pub.pubname, n.nspname), NULL
FROM pg_publication_namespace AS r
JOIN pg_publication AS pub ON pub.oid = r.pnpubid
JOIN pg_namespace AS n ON n.oid = r.pnnspid
WHERE n.oid IN (SELECT p.relnamespace FROM protected AS p)
  AND ($1::oid IS NULL OR n.oid = $1)
UNION ALL
SELECT 'PUBLICATION', quote_ident(pub.pubname), 'all tables', format('DROP PUBLICATION %I', pub.pubname), NULL
FROM pg_publication AS pub
WHERE pub.puballtables AND EXISTS (SELECT FROM protected AS p WHERE $1::oid IS NULL OR p.relnamespace = $1)
UNION ALL
-- A server that leads back into this database, for somebody who acts for tenants.
SELECT 'FDW_LOOPBACK', quote_ident(s.srvname), h.ident,
       format('DROP USER MAPPING FOR %s SERVER %I', h.ident, s.srvname), NULL
FROM pg_foreign_server AS s
JOIN pg_foreign_data_wrapper AS w ON w.oid = s.srvfdw
LEFT JOIN pg_proc AS handler ON handler.oid = w.fdwhandler
JOIN pg_user_mapping AS m ON m.umserver = s.oid
JOIN holder AS h ON h.role = m.umuser
CROSS JOIN LATERAL (SELECT max(o.option_value) FILTER (WHERE o.option_name IN ('host', 'hostaddr')) AS host,
                           max(o.option_value) FILTER (WHERE o.option_name = 'dbname') AS dbname
                    FROM pg_options_to_table(s.srvoptions) AS o) AS o
WHERE $1::oid IS NULL
  AND (w.fdwname IN ('postgres_fdw', 'dblink_fdw') OR handler.proname = 'postgres_fdw_handler')
  AND (o.host IS NULL OR o.host ~ '^(/|@|localhost|127\.|::1)' OR o.host = '')
  AND coalesce(o.dbname, current_database()) = current_database()
UNION ALL
-- Tables that count for a quota, without all that counts them: made again as tenancy.attach_quota() makes it. What is there
-- and doesn't always fire, as after a restore, is enabled alone: the guard refuses to drop it.
SELECT 'QUOTA_NOT_COUNTED', q.name, string_agg(w.trigger, ', ' ORDER BY w.trigger),
       string_agg(CASE WHEN there.fits THEN ''
                       ELSE format('%sCREATE TRIGGER %s %s ON %s%s FOR EACH STATEMENT EXECUTE FUNCTION tenancy.count_rows(); ',
                                   CASE WHEN there.fits IS NOT NULL THEN format('DROP TRIGGER %s ON %s; ', w.trigger, q.name)
                                        ELSE '' END,
                                   w.trigger, w.event, q.name, w.rows) END
                  || format('ALTER TABLE ONLY %s ENABLE ALWAYS TRIGGER %s; ', q.name, w.trigger), '' ORDER BY w.trigger)
           || 'SELECT tenancy.recount()', NULL
FROM (SELECT DISTINCT c.oid, format('%I.%I', n.nspname, c.relname) AS name
      FROM tenancy.quota_tables AS q
      JOIN pg_class AS c ON c.oid = q.relation
      JOIN pg_namespace AS n ON n.oid = c.relnamespace
      WHERE $1::oid IS NULL OR c.relnamespace = $1) AS q
CROSS JOIN (VALUES ('tenancy_quota_insert', 'AFTER INSERT', ' REFERENCING NEW TABLE AS added'),
                   ('tenancy_quota_update', 'AFTER UPDATE', ' REFERENCING OLD TABLE AS removed NEW TABLE AS added'),
                   ('tenancy_quota_delete', 'AFTER DELETE', ' REFERENCING OLD TABLE AS removed'),
                   ('tenancy_quota_truncate', 'BEFORE TRUNCATE', '')) AS w(trigger, event, rows)
LEFT JOIN LATERAL (SELECT t.tgenabled, t.tgqual IS NULL AND t.tgattr = '' AND t.tgfoid = 'tenancy.count_rows()'::regprocedure AS fits
                   FROM pg_trigger AS t
                   WHERE t.tgrelid = q.oid AND t.tgname = w.trigger) AS there ON true
WHERE NOT coalesce(there.fits AND there.tgenabled = 'A', false)
GROUP BY q.oid, q.name
UNION ALL
SELECT 'AUDIT_NO_KEY', format('%I.%I', n.nspname, c.relname), NULL, NULL, NULL
FROM tenancy.audited AS a
JOIN pg_class AS c ON c.oid = a.relation
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE ($1::oid IS NULL OR c.relnamespace = $1)
  AND NOT EXISTS (SELECT FROM pg_index AS i WHERE i.indrelid = c.oid AND (i.indisprimary OR i.indisreplident))
UNION ALL
-- Triggers that were taken while nobody watched. The topmost audited table has them made again for all below.
SELECT 'AUDIT_TRIGGER_MISSING', format('%I.%I', n.nspname, c.relname), (4 - count(t.oid))::text,
       format('SELECT tenancy.audit(%L, ignore => %L, redact => %L)',
              (WITH RECURSIVE up(oid, depth) AS (
                   SELECT a.relation::oid, 0
                 UNION ALL
                   SELECT i.inhparent, up.depth + 1
                   FROM up JOIN pg_inherits AS i ON i.inhrelid = up.oid
                   JOIN tenancy.audited AS parent ON parent.relation = i.inhparent)
               SELECT format('%I.%I', tn.nspname, top.relname)
               FROM up JOIN pg_class AS top ON top.oid = up.oid JOIN pg_namespace AS tn ON tn.oid = top.relnamespace
               ORDER BY up.depth DESC LIMIT 1),
              a.ignore, a.redact), NULL
FROM tenancy.audited AS a
JOIN pg_class AS c ON c.oid = a.relation
JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_trigger AS t ON t.tgrelid = c.oid AND t.tgenabled = 'A' AND t.tgqual IS NULL AND t.tgattr = ''
  AND t.tgfoid = 'tenancy.audit_change()'::regprocedure
  AND t.tgname IN ('tenancy_audit_insert', 'tenancy_audit_update', 'tenancy_audit_delete', 'tenancy_audit_truncate')
WHERE $1::oid IS NULL OR c.relnamespace = $1
GROUP BY a.relation, a.ignore, a.redact, n.nspname, c.relname
HAVING count(t.oid) < 4
