-- $1 operator classes: the operators by which an index of each is searched, and whether row security lets them at it.
-- Where operators compare values of one type, as in a condition with a constant, only these count.
WITH operator AS (
    SELECT o.oid AS class, op.oprname, am.amopstrategy, p.proleakproof,
           am.amopmethod, am.amoprighttype = am.amoplefttype AS same
    FROM pg_opclass AS o
    JOIN pg_amop AS am ON am.amopfamily = o.opcfamily AND am.amoplefttype = o.opcintype AND am.amoppurpose = 's'
    JOIN pg_operator AS op ON op.oid = am.amopopr
    JOIN pg_proc AS p ON p.oid = op.oprcode
    WHERE o.oid = ANY ($1)
)
SELECT operator.class, operator.oprname::text, bool_and(operator.proleakproof)
FROM operator
WHERE operator.same
   OR NOT EXISTS (SELECT FROM operator AS o WHERE o.class = operator.class AND o.same)
GROUP BY operator.class, operator.oprname
ORDER BY operator.class, min(operator.amopstrategy)
