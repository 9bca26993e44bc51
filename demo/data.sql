-- Four tenants and 100,000 rows, dealt out in turn: row n belongs to tenant (n - 1) % 4 of acme, globex, initech, umbrella.
SELECT tenancy.create_tenant('acme', name => 'Acme Corporation');
SELECT tenancy.create_tenant('globex', name => 'Globex');
SELECT tenancy.create_tenant('initech', name => 'Initech');
SELECT tenancy.create_tenant('umbrella', name => 'Umbrella');

CREATE TEMPORARY TABLE dealt AS SELECT row_number() OVER (ORDER BY key) - 1 AS turn, id AS tenant_id FROM tenancy.tenants;

INSERT INTO customers (id, tenant_id, name)
SELECT n, tenant_id, 'Customer ' || n
FROM generate_series(1, 4000) AS n JOIN dealt ON turn = (n - 1) % 4;

INSERT INTO orders (id, tenant_id, customer_id, ordered_on)
SELECT n, tenant_id, (n - 1) % 4000 + 1, date '2026-01-01' + n % 90
FROM generate_series(1, 20000) AS n JOIN dealt ON turn = (n - 1) % 4;

INSERT INTO order_items (id, tenant_id, order_id, article, quantity)
SELECT n, tenant_id, (n - 1) % 20000 + 1, 'Article ' || n % 10 + 1, n % 5 + 1
FROM generate_series(1, 50000) AS n JOIN dealt ON turn = (n - 1) % 4;

INSERT INTO events (id, tenant_id, at, kind)
SELECT n, tenant_id, timestamptz '2026-01-01 00:00+00' + make_interval(hours => n % 2160), (ARRAY['login', 'view', 'buy'])[n % 3 + 1]
FROM generate_series(1, 26000) AS n JOIN dealt ON turn = (n - 1) % 4;

INSERT INTO price_list (id, tenant_id, article, price)
SELECT n, NULL, 'Article ' || n, n * 10 FROM generate_series(1, 10) AS n
UNION ALL
SELECT 11 + turn, tenant_id, 'Special offer', 5 FROM dealt;

ALTER TABLE customers ALTER id RESTART WITH 1000001;
ALTER TABLE orders ALTER id RESTART WITH 1000001;
ALTER TABLE order_items ALTER id RESTART WITH 1000001;
ALTER TABLE events ALTER id RESTART WITH 1000001;
ALTER TABLE price_list ALTER id RESTART WITH 1000001;
ANALYZE;
