-- The context: who may act for whom, and for how long.
CREATE EXTENSION pg_tenancy;
CREATE ROLE regress_app LOGIN;

SELECT tenancy.create_tenant('acme', '11111111-1111-1111-1111-111111111111');
SELECT tenancy.create_tenant('42',   '22222222-2222-2222-2222-222222222222');
SELECT tenancy.create_tenant(NULL,   '33333333-3333-3333-3333-333333333333', 'Gadgets Ltd');
SELECT id, key, name, status FROM tenancy.tenants ORDER BY id;

-- A role may act for nobody until it is granted access; unknown and forbidden look alike.
SET SESSION AUTHORIZATION regress_app;
SELECT tenancy.set_tenant('acme', is_local => false);
SELECT tenancy.set_tenant('nobody', is_local => false);
RESET SESSION AUTHORIZATION;
SELECT tenancy.grant_access('regress_app');
SELECT tenancy.grant_access('regress_app');  -- no harm in it
SET SESSION AUTHORIZATION regress_app;

SELECT tenancy.current_tenant(), tenancy.current_key(), tenancy.current_key_int();
SELECT tenancy.require_tenant();

-- Local by default, and then only inside a transaction block.
SELECT tenancy.set_tenant('acme');
SET LOCAL tenancy.tenant_id = 'acme';
BEGIN;
SELECT tenancy.set_tenant('acme');
SELECT tenancy.current_tenant(), tenancy.current_key(), tenancy.current_key_int(), tenancy.require_tenant();
COMMIT;
SELECT tenancy.current_tenant();

-- Plain SET, by id or key, is an equal way in; the key as a number where it is one.
BEGIN;
SET LOCAL tenancy.tenant_id = '42';
SELECT tenancy.current_tenant(), tenancy.current_key(), tenancy.current_key_int();
SELECT tenancy.set_tenant('22222222-2222-2222-2222-222222222222'::uuid);
COMMIT;

-- One tenant per transaction.
BEGIN;
SELECT tenancy.set_tenant('acme');
SELECT tenancy.set_tenant('42');
ROLLBACK;
BEGIN;
SAVEPOINT s;
SELECT tenancy.set_tenant('acme');
ROLLBACK TO s;
SELECT tenancy.current_key();
SET LOCAL tenancy.tenant_id = '42';
ROLLBACK;
BEGIN;
SELECT tenancy.set_tenant('acme');
SELECT tenancy.clear_tenant();
SELECT tenancy.current_key();
SELECT tenancy.set_tenant('acme');
SELECT tenancy.current_key();
COMMIT;

-- What is no tenant at all.
SET tenancy.tenant_id = ' acme';
SET tenancy.tenant_id = E'ac\tme';
SELECT tenancy.set_tenant(repeat('x', 256), false);
SELECT tenancy.set_tenant('', false);
SELECT tenancy.set_tenant(NULL::text, false);
SET tenancy.unknown = 1;
SET tenancy.allow_switch = on;

-- For the session, until it is reset.
SELECT tenancy.set_tenant('acme', is_local => false);
SHOW tenancy.tenant_id;
DISCARD ALL;
SET SESSION AUTHORIZATION regress_app;
SELECT tenancy.current_key();

-- A suspended tenant is stopped.
SET tenancy.tenant_id = 'acme';
SELECT tenancy.current_key();
SET SESSION AUTHORIZATION DEFAULT;
SELECT tenancy.suspend_tenant('acme', 'unpaid');
SET SESSION AUTHORIZATION regress_app;
SELECT tenancy.current_key();
SET SESSION AUTHORIZATION DEFAULT;
SELECT tenancy.resume_tenant('acme');
SET SESSION AUTHORIZATION regress_app;
SELECT tenancy.current_key();
RESET tenancy.tenant_id;
SET SESSION AUTHORIZATION DEFAULT;
