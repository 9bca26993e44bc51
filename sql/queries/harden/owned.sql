-- What the roles own here.
SELECT o.role, pg_describe_object(o.class, o.object, 0)
FROM owning AS o
WHERE o.role IN (SELECT given.role FROM given)
ORDER BY o.role, 2
