-- $1 tables, $2 the name of their tenant column: what is so, in the catalogs' own terms, as pairs of a part
-- and its state. Also read as it was before a command, so nothing here may print an expression.
SELECT c.oid, 'owner', c.relowner::pg_catalog.text
FROM pg_catalog.pg_class AS c WHERE c.oid OPERATOR(pg_catalog.=) ANY ($1)
UNION ALL
SELECT c.oid, 'schema', c.relnamespace::pg_catalog.text
FROM pg_catalog.pg_class AS c WHERE c.oid OPERATOR(pg_catalog.=) ANY ($1)
UNION ALL
SELECT c.oid, 'row security', ''
FROM pg_catalog.pg_class AS c WHERE c.oid OPERATOR(pg_catalog.=) ANY ($1) AND c.relrowsecurity
UNION ALL
SELECT c.oid, 'forced', ''
FROM pg_catalog.pg_class AS c WHERE c.oid OPERATOR(pg_catalog.=) ANY ($1) AND c.relforcerowsecurity
UNION ALL
SELECT a.attrelid, 'column',
       pg_catalog.format('%s %s %s %s %s %s', a.attnum, a.atttypid, a.atttypmod, a.attcollation, a.attidentity, a.attgenerated)
FROM pg_catalog.pg_attribute AS a
WHERE a.attrelid OPERATOR(pg_catalog.=) ANY ($1) AND a.attname OPERATOR(pg_catalog.=) $2::pg_catalog.name
  AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped
UNION ALL
SELECT a.attrelid, 'not null',
       coalesce((SELECT true FROM pg_catalog.pg_constraint AS k
                 WHERE k.conrelid OPERATOR(pg_catalog.=) a.attrelid
                   AND k.contype OPERATOR(pg_catalog.=) 'n'
                   AND k.conkey OPERATOR(pg_catalog.=) ARRAY[a.attnum]
                   AND NOT k.convalidated
                 LIMIT 1), false)::pg_catalog.text
FROM pg_catalog.pg_attribute AS a
WHERE a.attrelid OPERATOR(pg_catalog.=) ANY ($1) AND a.attname OPERATOR(pg_catalog.=) $2::pg_catalog.name
  AND a.attnum OPERATOR(pg_catalog.>) 0 AND a.attnotnull
UNION ALL
SELECT a.attrelid, 'default', d.adbin::pg_catalog.text
FROM pg_catalog.pg_attribute AS a
JOIN pg_catalog.pg_attrdef AS d
  ON d.adrelid OPERATOR(pg_catalog.=) a.attrelid AND d.adnum OPERATOR(pg_catalog.=) a.attnum
WHERE a.attrelid OPERATOR(pg_catalog.=) ANY ($1) AND a.attname OPERATOR(pg_catalog.=) $2::pg_catalog.name
UNION ALL
SELECT p.polrelid, 'policy ' OPERATOR(pg_catalog.||) p.polname::pg_catalog.text,
       pg_catalog.format('%s %s %s %s %s', p.polpermissive, p.polcmd, p.polroles, p.polqual, p.polwithcheck)
FROM pg_catalog.pg_policy AS p WHERE p.polrelid OPERATOR(pg_catalog.=) ANY ($1)
UNION ALL
SELECT t.tgrelid, 'truncate guard', pg_catalog.format('%s %s %s %s', t.tgfoid, t.tgtype, t.tgenabled, t.tgqual)
FROM pg_catalog.pg_trigger AS t
WHERE t.tgrelid OPERATOR(pg_catalog.=) ANY ($1)
  AND t.tgname OPERATOR(pg_catalog.=) 'tenant_isolation_truncate'
UNION ALL
SELECT i.inhrelid, 'parent ' OPERATOR(pg_catalog.||) i.inhparent::pg_catalog.text, ''
FROM pg_catalog.pg_inherits AS i WHERE i.inhrelid OPERATOR(pg_catalog.=) ANY ($1)
UNION ALL
SELECT r.ev_class, 'rule ' OPERATOR(pg_catalog.||) r.rulename::pg_catalog.text, ''
FROM pg_catalog.pg_rewrite AS r WHERE r.ev_class OPERATOR(pg_catalog.=) ANY ($1)
UNION ALL
SELECT c.oid, pg_catalog.format('grant %s %s', x.grantee, x.privilege_type),
       pg_catalog.format('%s granted to %s', x.privilege_type,
                         CASE WHEN x.grantee OPERATOR(pg_catalog.=) 0::pg_catalog.oid THEN 'PUBLIC'
                              ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(x.grantee)) END)
FROM pg_catalog.pg_class AS c
CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) AS x
WHERE c.oid OPERATOR(pg_catalog.=) ANY ($1)
  AND x.grantee OPERATOR(pg_catalog.<>) c.relowner
  AND x.privilege_type OPERATOR(pg_catalog.=) ANY ('{TRUNCATE,REFERENCES,TRIGGER}'::pg_catalog.text[])
UNION ALL
SELECT c.oid, pg_catalog.format('grant %s REFERENCES (%s)', x.grantee, a.attnum),
       pg_catalog.format('REFERENCES (%I) granted to %s', a.attname,
                         CASE WHEN x.grantee OPERATOR(pg_catalog.=) 0::pg_catalog.oid THEN 'PUBLIC'
                              ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(x.grantee)) END)
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_attribute AS a ON a.attrelid OPERATOR(pg_catalog.=) c.oid
CROSS JOIN LATERAL pg_catalog.aclexplode(a.attacl) AS x
WHERE c.oid OPERATOR(pg_catalog.=) ANY ($1)
  AND x.grantee OPERATOR(pg_catalog.<>) c.relowner
  AND x.privilege_type OPERATOR(pg_catalog.=) 'REFERENCES'
