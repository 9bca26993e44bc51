-- Tables that nobody has protected or classified, though they look as if they should be.
, column_name(name) AS (
    SELECT 'tenant_id'::name
  UNION
    SELECT p.tenant_column FROM tenancy.protection AS p WHERE p.tenant_column IS NOT NULL
), candidate AS (
    SELECT c.oid, c.relname, c.relnamespace, c.relkind, c.relowner, c.relacl, c.relrowsecurity,
           c.relforcerowsecurity, c.relispartition,
           format('%s.%I', s.ident, c.relname) AS name
    FROM pg_class AS c
    JOIN user_schema AS s ON s.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'f') AND c.relpersistence <> 't'
      AND ($1::oid IS NULL OR c.relnamespace = $1)
      AND c.oid NOT IN (SELECT p.oid FROM protected AS p)
      AND NOT EXISTS (SELECT FROM tenancy.protection AS p WHERE p.relation = c.oid)
      AND (c.oid) NOT IN (SELECT m.object FROM member_of_extension AS m WHERE m.class = 'pg_class'::regclass)
), family(base, compared_as, own, below) AS (
    VALUES ('uuid'::regtype, 'uuid'::regtype, 'tenancy.current_tenant()', 'tenancy.visible_tenants()'),
           ('text', 'text', 'tenancy.current_key()', 'tenancy.visible_keys()'),
           ('varchar', 'text', 'tenancy.current_key()', 'tenancy.visible_keys()'),
           ('smallint', 'smallint', 'tenancy.current_key_int()', 'tenancy.visible_key_ints()'),
           ('integer', 'integer', 'tenancy.current_key_int()', 'tenancy.visible_key_ints()'),
           ('bigint', 'bigint', 'tenancy.current_key_int()', 'tenancy.visible_key_ints()')
), unrecorded AS (
    -- Tables with the extension's policies and no record, as after a restore that lost it: their policies tell what they were
    -- protected as. protect() replaces all that bear its names, and so is for those alone that are its own, word for word:
    -- somebody's own may bear them, and ask of another column, or of none that can be the tenant's.
    SELECT t.oid, t.relrowsecurity, t.relforcerowsecurity, t.name,
           (SELECT format('SELECT tenancy.protect(%L, %L, %L)', t.name, a.attname,
                          CASE WHEN bool_or(part.said IN (says.nobodys, says.readable)) THEN 'shared'
                               WHEN bool_or(part.said = says.below) THEN 'tree'
                               WHEN bool_or(pol.polname = 'tenant_isolation_floor_insert') THEN 'append_only'
                               ELSE 'tenant' END)
            FROM pg_attribute AS a
            LEFT JOIN pg_collation AS co ON co.oid = a.attcollation
            JOIN family AS f ON f.base IN (
                WITH RECURSIVE under(type) AS (
                    SELECT a.atttypid
                  UNION
                    SELECT ty.typbasetype FROM under JOIN pg_type AS ty ON ty.oid = under.type AND ty.typtype = 'd'
                )
                SELECT under.type FROM under)
            CROSS JOIN LATERAL (
                SELECT format('(%s = %s)', c.name, f.own), format('(%s = ANY (%s))', c.name, f.below),
                       n.nobodys, format('(%s OR (%s = %s))', n.nobodys, c.name, f.own)
                FROM (SELECT CASE WHEN a.atttypid = f.compared_as THEN quote_ident(a.attname)
                                  ELSE format('(%I)::%s', a.attname, f.compared_as) END) AS c(name),
                     format('((%I IS NULL) AND (tenancy.current_tenant() IS NOT NULL))', a.attname) AS n(nobodys)
            ) AS says(own, below, nobodys, readable)
            JOIN pg_policy AS pol ON pol.polrelid = t.oid
                                 AND pol.polname ~ '^tenant_isolation(_(closed|shared|insert|update|delete|floor(_[a-z]+)?))?$'
            LEFT JOIN LATERAL (
                SELECT e.said
                FROM unnest(ARRAY[pg_get_expr(pol.polqual, t.oid), pg_get_expr(pol.polwithcheck, t.oid)]) AS e(said)
                WHERE e.said IS NOT NULL) AS part ON true
            WHERE a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attidentity = '' AND a.attgenerated = ''
              AND co.collisdeterministic IS NOT FALSE
            GROUP BY a.attnum, a.attname
            HAVING bool_and(part.said IS NOT NULL
                            AND (part.said IN (says.own, says.below, says.nobodys, says.readable)
                                 OR part.said = 'false' AND pol.polname ~ '(_floor_(update|delete)|_closed)$'))
               -- Of the columns one, which is told by what else is said.
               AND bool_or(part.said <> 'false')) AS protect
    FROM candidate AS t
    WHERE EXISTS (SELECT FROM pg_policy AS own
                  JOIN pg_depend AS call ON call.classid = 'pg_policy'::regclass AND call.objid = own.oid
                                        AND call.refclassid = 'pg_proc'::regclass
                  JOIN pg_proc AS f ON f.oid = call.refobjid AND f.pronamespace = 'tenancy'::regnamespace
                  WHERE own.polrelid = t.oid AND own.polname LIKE 'tenant\_isolation%')
), forgotten AS (
    -- What has a parent among them is protected with it.
    SELECT u.* FROM unrecorded AS u
    WHERE NOT EXISTS (SELECT FROM pg_inherits AS i JOIN unrecorded AS parent ON parent.oid = i.inhparent
                      WHERE i.inhrelid = u.oid)
), with_column AS (
    SELECT DISTINCT ON (t.oid) t.*, a.attname, a.attinhcount,
           coalesce(nullif(ty.typbasetype, 0), ty.oid) AS type, coalesce(co.collisdeterministic, true) AS deterministic
    FROM candidate AS t
    JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN column_name AS k ON k.name = a.attname
    JOIN pg_type AS ty ON ty.oid = a.atttypid
    LEFT JOIN pg_collation AS co ON co.oid = a.attcollation
    ORDER BY t.oid, a.attname <> 'tenant_id', a.attname
), suspect AS (
    SELECT w.*,
           w.deterministic AND w.type IN ('uuid'::regtype, 'text'::regtype, 'varchar'::regtype, 'smallint'::regtype,
                                          'integer'::regtype, 'bigint'::regtype) AS suitable
    FROM with_column AS w
    WHERE w.relkind <> 'f' AND w.oid NOT IN (SELECT u.oid FROM unrecorded AS u)
      AND NOT EXISTS (SELECT FROM pg_inherits AS i
                      JOIN with_column AS parent ON parent.oid = i.inhparent
                      WHERE i.inhrelid = w.oid)
), root AS (
    -- To rewrite a table is to run what its owner, and whoever else has a hand in it, wrote: with the rights of who runs
    -- the fix. Nobody's but a superuser's, then.
    SELECT fuzzy.*,
           CASE WHEN fuzzy.suitable OR fuzzy.rewritable
                THEN format('SELECT tenancy.protect(%L, %L, %L)', fuzzy.name, fuzzy.attname, 'tenant') END AS protect
    FROM (
        SELECT s.*,
               NOT s.suitable AND NOT EXISTS (
                   WITH RECURSIVE part(oid) AS (
                       SELECT s.oid
                     UNION
                       SELECT i.inhrelid FROM part JOIN pg_inherits AS i ON i.inhparent = part.oid
                   ), author(role) AS (
                       SELECT c.relowner FROM part JOIN pg_class AS c ON c.oid = part.oid
                     UNION ALL
                       SELECT ty.typowner FROM pg_type AS ty WHERE ty.oid = s.type
                     UNION ALL
                       -- Of functions that conditions and generated columns call.
                       SELECT f.proowner
                       FROM part
                       JOIN pg_depend AS code ON code.refclassid = 'pg_class'::regclass AND code.refobjid = part.oid
                                             AND code.classid IN ('pg_constraint'::regclass, 'pg_attrdef'::regclass)
                       JOIN pg_depend AS used ON used.classid = code.classid AND used.objid = code.objid
                       LEFT JOIN pg_operator AS o ON used.refclassid = 'pg_operator'::regclass AND o.oid = used.refobjid
                       JOIN pg_proc AS f ON f.oid = CASE used.refclassid WHEN 'pg_proc'::regclass THEN used.refobjid
                                                                         ELSE o.oprcode::oid END
                   )
                   SELECT FROM author
                   JOIN pg_roles AS r ON r.oid = author.role
                   WHERE NOT r.rolsuper) AS rewritable
        FROM suspect AS s) AS fuzzy
)
SELECT 'TENANT_ID_FUZZY_TYPE', root.name, format('%I', root.attname),
       CASE WHEN root.rewritable
            THEN format('ALTER TABLE %s ALTER COLUMN %I TYPE text COLLATE "C" USING %3$I::text', root.name, root.attname,
                        root.attname) END,
       NULL::text
FROM root
WHERE NOT root.suitable AND root.attinhcount = 0
UNION ALL
SELECT 'RECORD_MISSING', f.name, NULL, f.protect, NULL FROM forgotten AS f
UNION ALL
SELECT 'RLS_DISABLED', f.name, NULL, f.protect, NULL FROM forgotten AS f WHERE NOT f.relrowsecurity
UNION ALL
SELECT 'RLS_NOT_FORCED', f.name, NULL, f.protect, NULL
FROM forgotten AS f WHERE f.relrowsecurity AND NOT f.relforcerowsecurity
UNION ALL
SELECT 'UNCLASSIFIED_TABLE', root.name, format('%I', root.attname), root.protect, NULL FROM root
UNION ALL
SELECT 'RLS_DISABLED', root.name, NULL, root.protect, NULL FROM root WHERE NOT root.relrowsecurity
UNION ALL
SELECT 'RLS_NOT_FORCED', root.name, NULL, root.protect, NULL
FROM root WHERE root.relrowsecurity AND NOT root.relforcerowsecurity
UNION ALL
-- A table without tenants that tenants can reach, beside tables with tenants.
SELECT 'TABLE_WITHOUT_TENANT', c.name, NULL, format('SELECT tenancy.classify(%L, %L)', c.name, 'global'), NULL
FROM candidate AS c
WHERE c.relkind <> 'f' AND NOT c.relispartition
  AND c.oid NOT IN (SELECT w.oid FROM with_column AS w)
  AND c.oid NOT IN (SELECT u.oid FROM unrecorded AS u)
  AND c.relnamespace IN (SELECT p.relnamespace FROM protected AS p)
  AND EXISTS (SELECT FROM aclexplode(c.relacl) AS x
              JOIN holder AS h ON h.role = x.grantee
              WHERE x.grantee <> c.relowner)
UNION ALL
-- Foreign tables know no row security.
SELECT 'FOREIGN_TABLE', f.name, NULL,
       CASE WHEN i.inhparent IS NULL THEN
                format('REVOKE ALL ON TABLE %s FROM %s', f.name, granted.who)
            WHEN f.relispartition THEN
                format('ALTER TABLE %s DETACH PARTITION %s', i.inhparent::regclass, f.name)
            ELSE format('ALTER FOREIGN TABLE %s NO INHERIT %s', f.name, i.inhparent::regclass) END,
       NULL
FROM (SELECT c.*, format('%I.%I', n.nspname, c.relname) AS name
      FROM pg_class AS c
      JOIN pg_namespace AS n ON n.oid = c.relnamespace
      WHERE c.relkind = 'f' AND ($1::oid IS NULL OR c.relnamespace = $1)) AS f
LEFT JOIN LATERAL (SELECT inh.inhparent FROM pg_inherits AS inh
                   JOIN protected AS p ON p.oid = inh.inhparent
                   WHERE inh.inhrelid = f.oid LIMIT 1) AS i ON true
LEFT JOIN LATERAL (SELECT string_agg(DISTINCT h.ident, ', ') AS who
                   FROM aclexplode(f.relacl) AS x
                   JOIN holder AS h ON h.role = x.grantee
                   WHERE x.grantee <> f.relowner) AS granted ON true
WHERE i.inhparent IS NOT NULL
   OR granted.who IS NOT NULL AND f.oid IN (SELECT w.oid FROM with_column AS w)
