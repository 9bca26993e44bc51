-- What the examples work on, made by a superuser in a database of its own.
CREATE EXTENSION pg_tenancy;

CREATE TABLE orders (
    id        bigint GENERATED ALWAYS AS IDENTITY,
    tenant_id uuid NOT NULL,
    item      text NOT NULL,
    quantity  integer NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, id)
);
SELECT tenancy.protect('orders');

SELECT tenancy.create_tenant('acme');
SELECT tenancy.create_tenant('globex');
SELECT tenancy.create_tenant('initech');
-- Users of the application that asks for membership, which is the one in Django.
SELECT tenancy.add_member(key, 'alice') FROM tenancy.tenants;
SELECT tenancy.add_member('globex', 'bob');
SELECT tenancy.suspend_tenant('initech', 'unpaid');

SELECT tenancy.create_resource('orders', 'rows');
SELECT tenancy.attach_quota('orders', 'orders');
SELECT tenancy.set_quota('acme', 'orders', 2);

-- The application: no superuser, no owner. Who reads a row and then writes it is told of a writer in between (40001).
CREATE ROLE shop_app LOGIN;
ALTER ROLE shop_app SET default_transaction_isolation = 'repeatable read';
GRANT SELECT, INSERT, UPDATE, DELETE ON orders TO shop_app;
SELECT tenancy.grant_access('shop_app');

BEGIN;
SELECT tenancy.set_tenant('globex');
INSERT INTO orders (item, quantity) VALUES ('umbrella', 5);
COMMIT;
