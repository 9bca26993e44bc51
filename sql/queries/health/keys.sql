-- Whether access asks for tokens, how many keys verify them now, and for how many seconds the last of these will.
SELECT EXISTS (SELECT FROM tenancy.access AS a WHERE a.mode OPERATOR(pg_catalog.=) 'signed'),
       pg_catalog.count(*),
       CASE WHEN pg_catalog.bool_and(k.not_after IS NOT NULL) THEN
           EXTRACT(epoch FROM pg_catalog.max(k.not_after) OPERATOR(pg_catalog.-) pg_catalog.now())::pg_catalog.int8 END
FROM tenancy.jwt_keys AS k
WHERE (k.not_before IS NULL OR k.not_before OPERATOR(pg_catalog.<=) pg_catalog.now())
  AND (k.not_after IS NULL OR k.not_after OPERATOR(pg_catalog.>) pg_catalog.now())
