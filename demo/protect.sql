-- One call per table, then a role for the application that may act for any tenant and bypass nothing.
SELECT tenancy.protect('customers');
SELECT tenancy.protect('orders');
SELECT tenancy.protect('order_items');
SELECT tenancy.protect('events');
SELECT tenancy.protect('price_list', kind => 'shared');

CREATE ROLE app LOGIN NOSUPERUSER NOBYPASSRLS;
GRANT SELECT, INSERT, UPDATE, DELETE ON customers, orders, order_items, events, price_list TO app;
GRANT SELECT ON events_2026_01, events_2026_02, events_2026_03 TO app;
SELECT tenancy.grant_access('app');
