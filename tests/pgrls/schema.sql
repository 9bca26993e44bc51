-- A database in good health, for pgrls and the doctor to look at: tables of every kind, every type of tenant column, partitions,
-- children, keys, views, and a role that acts for tenants. Roles are the server's, so it is for a throw-away one.
CREATE EXTENSION pg_tenancy;

CREATE ROLE app_owner NOLOGIN;
-- It acts for tenants. pgrls takes roles of this name for untrusted ones, and asks what they can reach.
CREATE ROLE anon LOGIN;

DO $$ BEGIN EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database()); END $$;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
CREATE SCHEMA shop AUTHORIZATION app_owner;
GRANT USAGE ON SCHEMA shop TO anon;

SET ROLE app_owner;

CREATE TABLE shop.customers (
    id        bigint GENERATED ALWAYS AS IDENTITY,
    tenant_id uuid,
    email     text NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, email)
);
CREATE TABLE shop.orders (
    id          bigint GENERATED ALWAYS AS IDENTITY,
    tenant_id   uuid,
    customer_id bigint,
    placed      date NOT NULL DEFAULT current_date,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, customer_id) REFERENCES shop.customers (tenant_id, id) ON DELETE SET NULL (customer_id)
);
CREATE INDEX ON shop.orders (tenant_id, customer_id);
CREATE TABLE shop.tags (tenant_id text COLLATE "C", tag text, PRIMARY KEY (tenant_id, tag));
CREATE TABLE shop.labels (tenant_id varchar(255) COLLATE "C", label text, PRIMARY KEY (tenant_id, label));
CREATE TABLE shop.small_counts (tenant_id smallint, amount integer);
CREATE TABLE shop.counts (tenant_id integer, amount integer);
CREATE TABLE shop.large_counts (tenant_id bigint, amount integer);
CREATE TABLE shop.named_otherwise (account uuid, note text);
CREATE TABLE shop.prices (tenant_id uuid, item text, price numeric, UNIQUE NULLS NOT DISTINCT (tenant_id, item));
CREATE TABLE shop.currencies (tenant_id text COLLATE "C", code text);
CREATE TABLE shop.ledger (tenant_id uuid, line text);
CREATE TABLE shop.numbered_ledger (tenant_id integer, line text);
CREATE TABLE shop.outlets (tenant_id uuid, name text, PRIMARY KEY (tenant_id, name));
CREATE TABLE shop.outlet_names (tenant_id text COLLATE "C", name text);
CREATE TABLE shop.outlet_counts (tenant_id integer, amount integer);
CREATE TABLE shop.events (tenant_id uuid, at date, what text, PRIMARY KEY (tenant_id, at, what)) PARTITION BY RANGE (at);
CREATE TABLE shop.events_2025 PARTITION OF shop.events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE shop.events_2026 PARTITION OF shop.events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')
    PARTITION BY LIST (what);
CREATE TABLE shop.events_2026_rest PARTITION OF shop.events_2026 DEFAULT;
CREATE TABLE shop.documents (tenant_id uuid, body text);
CREATE TABLE shop.contracts (signed date) INHERITS (shop.documents);
CREATE TABLE shop.countries (code text PRIMARY KEY, name text);

RESET ROLE;

SELECT tenancy.protect('shop.customers');
SELECT tenancy.protect('shop.orders', reference_tenants => true);
SELECT tenancy.protect(name::regclass)
FROM unnest(ARRAY['shop.tags', 'shop.labels', 'shop.small_counts', 'shop.counts', 'shop.large_counts', 'shop.events',
                  'shop.documents']) AS name;
SELECT tenancy.protect('shop.named_otherwise', 'account');
SELECT tenancy.protect('shop.prices', kind => 'shared');
SELECT tenancy.protect('shop.currencies', kind => 'shared');
SELECT tenancy.protect('shop.ledger', kind => 'append_only');
SELECT tenancy.protect('shop.numbered_ledger', kind => 'append_only');
SELECT tenancy.protect(name::regclass, kind => 'tree')
FROM unnest(ARRAY['shop.outlets', 'shop.outlet_names', 'shop.outlet_counts']) AS name;
SELECT tenancy.classify('shop.countries', 'global');

SET ROLE app_owner;
CREATE VIEW shop.recent_orders WITH (security_invoker, security_barrier) AS
    SELECT o.*, c.email FROM shop.orders AS o JOIN shop.customers AS c USING (tenant_id) WHERE o.placed > current_date - 30;
CREATE VIEW shop.recent_days WITH (security_invoker, security_barrier) AS SELECT DISTINCT placed FROM shop.recent_orders;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA shop TO anon;
RESET ROLE;

SELECT tenancy.grant_access('anon');
SELECT tenancy.create_tenant('acme');
SELECT tenancy.create_tenant('globex');
