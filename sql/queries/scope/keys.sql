-- $1 a table, $2 the type under the domains of its tenant column, $3 that column's number, both 0 where it has none: its unique
-- and exclusion constraints and unique indexes, and all that is to be kept of them.
WITH key AS (
    SELECT i.indexrelid, i.indrelid, i.indkey::int2[] AS attnums, i.indnkeyatts, i.indnatts, i.indisvalid, i.indexprs,
           i.indpred, i.indnullsnotdistinct, i.indisreplident, i.indisclustered,
           ic.relname, ic.relispartition, ic.reloptions, ic.reltablespace, ic.relam, xn.nspname AS index_schema,
           am.amname, c.relname AS table_name, c.relkind, n.nspname AS table_schema,
           c.relreplident,
           k.oid AS con, coalesce(k.contype::text, 'i') AS kind, k.condeferrable, k.condeferred,
           coalesce((to_jsonb(k) ->> 'conperiod')::boolean, false) AS period
    FROM pg_index AS i
    JOIN pg_class AS ic ON ic.oid = i.indexrelid
    JOIN pg_namespace AS xn ON xn.oid = ic.relnamespace
    JOIN pg_am AS am ON am.oid = ic.relam
    JOIN pg_class AS c ON c.oid = i.indrelid
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    LEFT JOIN pg_constraint AS k
           ON k.conindid = i.indexrelid AND k.conrelid = i.indrelid AND k.contype IN ('p', 'u', 'x')
    WHERE i.indrelid = $1 AND (i.indisunique OR i.indisexclusion)
), printed AS (
    -- What follows the opening parenthesis, where it has to be taken over as PostgreSQL prints it.
    SELECT key.*,
           CASE key.kind WHEN 'i' THEN pg_get_indexdef(key.indexrelid)
                         WHEN 'x' THEN pg_get_constraintdef(key.con) END AS definition,
           CASE key.kind WHEN 'i' THEN format('CREATE UNIQUE INDEX %I ON %s%I.%I USING %I (', key.relname,
                                              CASE key.relkind WHEN 'p' THEN 'ONLY ' ELSE '' END,
                                              key.table_schema, key.table_name, key.amname)
                         WHEN 'x' THEN format('EXCLUDE USING %I (', key.amname) END AS head,
           CASE WHEN key.kind = 'i' AND key.indpred IS NOT NULL
                THEN ' WHERE ' || pg_get_expr(key.indpred, key.indrelid) ELSE '' END AS foot
    FROM key
)
SELECT p.indexrelid, p.kind, p.relname::text, quote_ident(p.relname), format('%I.%I', p.index_schema, p.relname),
       quote_ident(p.amname), p.attnums[0:p.indnkeyatts - 1],
       (SELECT array_agg(coalesce(quote_ident(a.attname), '') ORDER BY u.place)
        FROM unnest(p.attnums) WITH ORDINALITY AS u(attnum, place)
        LEFT JOIN pg_attribute AS a ON a.attrelid = p.indrelid AND a.attnum = u.attnum),
       p.indexprs IS NOT NULL
       OR EXISTS (SELECT FROM pg_attribute AS a
                  WHERE a.attrelid = p.indrelid AND a.attnum = ANY (p.attnums[0:p.indnkeyatts - 1])
                    AND NOT a.attnotnull),
       p.indisvalid, coalesce(p.condeferrable, false), coalesce(p.condeferred, false), p.indnullsnotdistinct, p.period,
       (SELECT string_agg(format('%I=%L', split_part(o, '=', 1), substr(o, strpos(o, '=') + 1)), ', ')
        FROM unnest(p.reloptions) AS o),
       (SELECT quote_ident(t.spcname) FROM pg_tablespace AS t WHERE t.oid = p.reltablespace),
       p.indisreplident, p.indisclustered, obj_description(p.con, 'pg_constraint'),
       obj_description(p.indexrelid, 'pg_class'), p.relispartition,
       CASE WHEN starts_with(p.definition, p.head) AND right(p.definition, length(p.foot)) = p.foot
            THEN substr(p.definition, length(p.head) + 1,
                        length(p.definition) - length(p.head) - length(p.foot)) END,
       p.foot,
       coalesce((SELECT array_agg(DISTINCT pg_describe_object(d.classid, d.objid, d.objsubid))
                 FROM pg_depend AS d
                 WHERE d.deptype = 'n' AND d.classid <> 'pg_constraint'::regclass
                   AND (d.refclassid = 'pg_constraint'::regclass AND d.refobjid = p.con
                        OR d.refclassid = 'pg_class'::regclass AND d.refobjid = p.indexrelid)), '{}')
       -- What is replicated by the key must have the tenant column as well, or UPDATE and DELETE fail.
       || coalesce((SELECT array_agg(format('the list of columns of publication %I, which lacks the tenant column',
                                            b.pubname) ORDER BY b.pubname)
                    FROM pg_publication_rel AS r
                    JOIN pg_publication AS b ON b.oid = r.prpubid
                    WHERE r.prrelid = p.indrelid AND (b.pubupdate OR b.pubdelete)
                      AND (p.indisreplident OR p.kind = 'p' AND p.relreplident = 'd')
                      AND $3::int2 <> 0 AND $3::int2 <> ALL (r.prattrs::int2[])), '{}'),
       EXISTS (SELECT FROM pg_partition_tree(p.indexrelid) AS t
               JOIN pg_index AS i ON i.indexrelid = t.relid
               WHERE t.level > 0 AND (i.indisreplident OR i.indisclustered)),
       pg_indexam_has_property(p.relam, 'can_multi_col'),
       p.amname = 'btree'
       OR EXISTS (SELECT FROM pg_opclass AS o WHERE o.opcmethod = p.relam AND o.opcintype = $2 AND o.opcdefault),
       p.attnums[p.indnkeyatts:]
FROM printed AS p
ORDER BY p.kind = 'p' DESC, p.relname
