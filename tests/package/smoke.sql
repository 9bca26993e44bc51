-- What somebody does first with an installed package: each step fails the script where it does not do what it should.
CREATE EXTENSION pg_tenancy;
CREATE TABLE orders (id integer NOT NULL, tenant_id uuid NOT NULL, item text, PRIMARY KEY (tenant_id, id));
CREATE ROLE app LOGIN;
GRANT SELECT, INSERT, UPDATE, DELETE ON orders TO app;
SELECT tenancy.protect('orders') \g /dev/null
SELECT tenancy.create_tenant('acme'), tenancy.create_tenant('globex'), tenancy.grant_access('app') \g /dev/null
\c - app
BEGIN;
SELECT tenancy.set_tenant('acme') \g /dev/null
INSERT INTO orders (id, item) VALUES (1, 'of acme');
COMMIT;
BEGIN;
SELECT tenancy.set_tenant('globex') \g /dev/null
INSERT INTO orders (id, item) VALUES (1, 'of globex');
DO $$ BEGIN ASSERT (SELECT string_agg(item, ',') FROM orders) = 'of globex', 'another tenant shows'; END $$;
COMMIT;
DO $$ BEGIN ASSERT (SELECT count(*) FROM orders) = 0, 'rows without a tenant'; END $$;
\c - postgres
DO $$ BEGIN
    ASSERT (SELECT count(*) FROM orders) = 2, 'rows are missing';
    ASSERT (SELECT bool_and(blocked IS TRUE) FROM tenancy.prove('orders')), 'an attack succeeds, or none was tried';
    ASSERT current_setting('tenancy.max_tracked_tenants') <> '', 'the library is not loaded from the start';
END $$;
