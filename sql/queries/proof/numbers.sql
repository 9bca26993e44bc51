-- $1 whether they must fit a smallint: two numbers that no tenant has as its key. Not the low ones, which tenants are
-- likely to have, nor negative ones while there are others.
SELECT drawn.number::pg_catalog.text
FROM (
    SELECT DISTINCT choice.place,
           (choice.lowest OPERATOR(pg_catalog.+)
            pg_catalog.floor(pg_catalog.random() OPERATOR(pg_catalog.*) choice.count::pg_catalog.float8)
            ::pg_catalog.int8) AS number
    FROM (VALUES (1, 10000, 22768, true), (2, 100000, 999000000, false), (3, -32768, 32768, true))
         AS choice(place, lowest, count, small)
    CROSS JOIN pg_catalog.generate_series(1, 200)
    WHERE choice.small OR NOT $1
) AS drawn
WHERE NOT EXISTS (SELECT FROM tenancy.tenants AS t
                  WHERE t.key OPERATOR(pg_catalog.=) drawn.number::pg_catalog.text)
ORDER BY drawn.place, pg_catalog.random()
LIMIT 2
