-- $1 a table: the current role's privileges on it, and the columns on which alone it has one.
SELECT command.name,
       pg_catalog.has_table_privilege($1, command.name),
       CASE WHEN command.name OPERATOR(pg_catalog.<>) 'DELETE' THEN
            (SELECT pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ', ' ORDER BY a.attnum)
             FROM pg_catalog.pg_attribute AS a
             WHERE a.attrelid OPERATOR(pg_catalog.=) $1
               AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped
               AND pg_catalog.has_column_privilege($1, a.attnum, command.name)) END
FROM (VALUES (1, 'SELECT'), (2, 'INSERT'), (3, 'UPDATE'), (4, 'DELETE')) AS command(place, name)
ORDER BY command.place
