-- Which of the tables refers to which, be it to itself.
SELECT DISTINCT child.root, parent.root
FROM pg_catalog.pg_constraint AS k
JOIN tree AS child ON child.oid OPERATOR(pg_catalog.=) k.conrelid
JOIN tree AS parent ON parent.oid OPERATOR(pg_catalog.=) k.confrelid
WHERE k.contype OPERATOR(pg_catalog.=) 'f'
