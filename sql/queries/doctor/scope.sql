-- What all of the doctor's questions stand on; each of them follows this text as one more query of
-- the same WITH. $1 is the schema asked about, or NULL for all of them. What a question doesn't use
-- is not run.
WITH RECURSIVE
-- Who is a member of what. The owner of a database is one of pg_database_owner, which no table says;
-- inherit_option came with PostgreSQL 16.
edge(member, granted, grantor, inherits) AS (
    SELECT m.member, m.roleid, m.grantor,
           coalesce((to_jsonb(m) ->> 'inherit_option')::boolean, r.rolinherit)
    FROM pg_auth_members AS m
    JOIN pg_roles AS r ON r.oid = m.member
  UNION ALL
    SELECT d.datdba, r.oid, NULL, true
    FROM pg_database AS d
    JOIN pg_roles AS r ON r.rolname = 'pg_database_owner'
    WHERE d.datname = current_database()
),
-- Roles that act for tenants: those that were given access, and those that inherit from them.
app(role) AS (
    SELECT r.oid
    FROM tenancy.access AS a
    JOIN pg_roles AS r ON r.oid = a.role
  UNION
    SELECT e.member
    FROM app
    JOIN edge AS e ON e.granted = app.role
    WHERE e.inherits
),
-- Each of them with all that it is a member of, since SET ROLE takes what is not inherited.
reach(role, target) AS (
    SELECT app.role, app.role FROM app
  UNION
    SELECT reach.role, e.granted
    FROM reach
    JOIN edge AS e ON e.member = reach.target
),
-- Whose privileges tenants have; 0 is PUBLIC.
holder(role, ident) AS (
    SELECT 0::oid, 'PUBLIC'
  UNION ALL
    SELECT r.oid, quote_ident(r.rolname)
    FROM pg_roles AS r
    WHERE r.oid IN (SELECT reach.target FROM reach)
),
bypasser(role) AS (
    SELECT r.oid FROM pg_roles AS r WHERE r.rolsuper OR r.rolbypassrls
),
-- What belongs to an extension is that extension's to define.
member_of_extension(class, object) AS (
    SELECT d.classid, d.objid FROM pg_depend AS d WHERE d.deptype = 'e'
),
user_schema(oid, ident) AS (
    SELECT n.oid, quote_ident(n.nspname)
    FROM pg_namespace AS n
    WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'tenancy')
      AND n.nspname !~ '^pg_(toast_)?temp_'
),
-- Who can own what tenants must not, if there is such a role: the database's owner, or the one who owns protected tables.
-- A plain role that is no tenant's: what it gets must lend nobody a right.
keeper(ident) AS (
    SELECT min(quote_ident(r.rolname))
    FROM pg_roles AS r
    JOIN pg_database AS d ON d.datname = current_database()
    LEFT JOIN (SELECT DISTINCT c.relowner
               FROM tenancy.protection AS p
               JOIN pg_class AS c ON c.oid = p.relation
               WHERE p.tenant_column IS NOT NULL) AS o ON o.relowner = r.oid
    WHERE (r.oid = d.datdba OR o.relowner IS NOT NULL)
      AND NOT (r.rolsuper OR r.rolbypassrls OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication)
      AND r.oid NOT IN (SELECT holder.role FROM holder)
      AND NOT EXISTS (SELECT FROM pg_auth_members AS m WHERE m.member = r.oid)
    -- Of several who own tables none is to get what is another one's.
    GROUP BY r.oid = d.datdba
    HAVING count(*) = 1
    ORDER BY r.oid = d.datdba DESC
    LIMIT 1
),
-- Protected tables and all that inherits from them, each with the table that protect() is to be
-- called on.
tree(oid, root, kind, tenant_column) AS (
    SELECT p.relation::oid, p.relation::oid, p.kind, p.tenant_column
    FROM tenancy.protection AS p
    WHERE p.tenant_column IS NOT NULL
      AND NOT EXISTS (SELECT FROM pg_inherits AS i
                      JOIN tenancy.protection AS q ON q.relation = i.inhparent
                      WHERE i.inhrelid = p.relation AND q.tenant_column IS NOT NULL)
  UNION
    SELECT i.inhrelid, tree.root, tree.kind, tree.tenant_column
    FROM tree
    JOIN pg_inherits AS i ON i.inhparent = tree.oid
),
protected AS (
    SELECT DISTINCT ON (c.oid)
           c.oid, tree.root, tree.kind, tree.tenant_column,
           c.relnamespace, c.relkind, c.relowner, c.relacl, c.relispartition,
           c.relrowsecurity, c.relforcerowsecurity,
           format('%I.%I', n.nspname, c.relname) AS name,
           format('SELECT tenancy.protect(%L, %L, %L)',
                  format('%I.%I', rn.nspname, rc.relname), tree.tenant_column, tree.kind) AS protect,
           a.attnum, a.attnotnull, a.atttypid, a.attcollation
    FROM tree
    JOIN pg_class AS c ON c.oid = tree.oid
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    JOIN pg_class AS rc ON rc.oid = tree.root
    JOIN pg_namespace AS rn ON rn.oid = rc.relnamespace
    LEFT JOIN pg_attribute AS a
           ON a.attrelid = c.oid AND a.attname = tree.tenant_column AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relkind IN ('r', 'p')
    ORDER BY c.oid, tree.root
)
