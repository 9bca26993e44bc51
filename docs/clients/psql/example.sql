-- psql -X -q -A -t -f example.sql
-- Values go into statements as :'name', which psql quotes; an error's SQLSTATE is in LAST_ERROR_SQLSTATE.
\set again ''
\set orders_query 'SELECT coalesce(string_agg(item || \' \' || quantity, \', \' ORDER BY item), \'nothing\') AS orders FROM orders'

:orders_query \gset
\echo 'without a tenant:' :orders

\set tenant globex
BEGIN;
SELECT tenancy.set_tenant(:'tenant') \gset
:orders_query \gset
COMMIT;
\echo 'globex:' :orders

-- The idiom: the tenant is the first thing in each transaction, and ends with it.
\set tenant acme
\set item anvil
BEGIN;
SELECT tenancy.set_tenant(:'tenant') \gset
INSERT INTO orders (item) VALUES (:'item');
:orders_query \gset
SELECT pg_backend_pid() AS pid \gset
COMMIT;
\echo 'acme:' :orders

-- What is refused has a name, which refusal.sql tells.
\set what 'a tenant that is not there'
\set tenant 'acme\' OR \'a\' = \'a'
BEGIN;
SELECT tenancy.set_tenant(:'tenant') \gset
ROLLBACK;
\ir refusal.sql

\set what 'a name that no tenant can have'
SELECT repeat('a', 256) AS tenant \gset
BEGIN;
SELECT tenancy.set_tenant(:'tenant') \gset
ROLLBACK;
\ir refusal.sql

\set what 'two tenants in one transaction'
\set tenant acme
\set other globex
BEGIN;
SELECT tenancy.set_tenant(:'tenant') \gset
SELECT tenancy.set_tenant(:'other') \gset
ROLLBACK;
\ir refusal.sql

\set what 'a suspended tenant'
\set tenant initech
BEGIN;
SELECT tenancy.set_tenant(:'tenant') \gset
ROLLBACK;
\ir refusal.sql

\set what 'more than the quota'
\set tenant acme
BEGIN;
SELECT tenancy.set_tenant(:'tenant') \gset
INSERT INTO orders (item) VALUES ('rope'), ('rocket');
ROLLBACK;
\ir refusal.sql

-- A COMMIT of what has failed is a ROLLBACK, and no error. Any statement before it is one.
\set what 'a refusal that is swallowed'
BEGIN;
SELECT tenancy.set_tenant(:'tenant') \gset
INSERT INTO orders (item) VALUES ('rope'), ('rocket');
SELECT 1 \g /dev/null
COMMIT;
\ir refusal.sql

\set what 'a token that proves nothing'
\set token 'e30.e30.e30'
BEGIN;
SELECT tenancy.authenticate(:'token') \gset
ROLLBACK;
\ir refusal.sql

\set what 'a deadlock'
BEGIN;
DO $$BEGIN RAISE deadlock_detected; END$$;
ROLLBACK;
\ir refusal.sql

-- Read, compute, write: another session (the \! line) is quicker, and so it is done again.
\set what 'two writers at once'
BEGIN;
SELECT tenancy.set_tenant(:'tenant') \gset
SELECT quantity + 1 AS quantity FROM orders WHERE item = :'item' \gset
\! psql -X -q -o /dev/null -c "BEGIN" -c "SELECT tenancy.set_tenant('acme')" -c "UPDATE orders SET quantity = quantity + 1 WHERE item = 'anvil'" -c "COMMIT"
UPDATE orders SET quantity = :'quantity' WHERE item = :'item';
\if :ERROR
    ROLLBACK;
    \set again ', and it is tried again'
    \ir refusal.sql
    BEGIN;
    SELECT tenancy.set_tenant(:'tenant') \gset
    SELECT quantity + 1 AS quantity FROM orders WHERE item = :'item' \gset
    UPDATE orders SET quantity = :'quantity' WHERE item = :'item';
\endif
:orders_query \gset
COMMIT;
\echo 'acme:' :orders

-- The session goes on, and has no tenant.
SELECT pg_backend_pid() = :'pid' AND tenancy.current_tenant() IS NULL AS is_clean \gset
:orders_query \gset
\if :is_clean
    \echo 'the connection\'s next user:' :orders
\else
    \echo 'not the session that was used, or one with a tenant'
\endif
