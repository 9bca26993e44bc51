-- The registry: lifecycle, plans, administrators, and what is logged.
SELECT tenancy.create_plan('gold', '{"seats": 10}');
SELECT tenancy.create_plan('gold');
SELECT tenancy.create_plan('bad', '[1]');
SELECT tenancy.create_tenant('initech', '44444444-4444-4444-4444-444444444444', plan => 'gold', region => 'eu');
SELECT tenancy.create_tenant('initech');
SELECT tenancy.create_tenant('initrode', plan => 'lead');
SELECT tenancy.create_tenant(' initrode');
SELECT tenancy.create_tenant('55555555-5555-5555-5555-555555555555', '66666666-6666-6666-6666-666666666666');
SELECT tenancy.create_tenant('{55555555-5555-5555-5555-555555555555}');

-- active <-> suspended -> archived
SELECT tenancy.resume_tenant('initech');
SELECT tenancy.archive_tenant('initech');
SELECT tenancy.suspend_tenant('initech', 'end of contract');
SELECT tenancy.suspend_tenant('initech');
SELECT tenancy.archive_tenant('44444444-4444-4444-4444-444444444444');
SELECT tenancy.resume_tenant('initech');
SELECT tenancy.suspend_tenant('nobody');
SELECT id, key, status, plan, region FROM tenancy.tenants ORDER BY id;

SELECT tenancy.grant_access('nobody');
SELECT tenancy.grant_access('regress_app', 'nobody');
SELECT tenancy.grant_access('regress_app', mode => 'blind');

-- Who is no administrator changes nothing; who is one, does.
SET SESSION AUTHORIZATION regress_app;
SELECT tenancy.create_tenant('mine');
SELECT tenancy.grant_access('regress_app');
SELECT tenancy.grant_admin('regress_app');
SELECT tenancy.protect('app.orders');
INSERT INTO tenancy.tenants (key) VALUES ('mine');
SELECT * FROM tenancy.access;
SET SESSION AUTHORIZATION DEFAULT;
SELECT tenancy.grant_admin('regress_app');
SET SESSION AUTHORIZATION regress_app;
SELECT tenancy.create_tenant('theirs', '77777777-7777-7777-7777-777777777777');
SELECT tenancy.protect('app.orders');  -- still not the owner
SET SESSION AUTHORIZATION DEFAULT;
SELECT tenancy.revoke_admin('regress_app');
SET SESSION AUTHORIZATION regress_app;
SELECT tenancy.create_tenant('ours');

-- A tenant sees itself, and what was done about it.
BEGIN;
SELECT tenancy.set_tenant('acme');
SELECT key, status FROM tenancy.tenants;
SELECT event, role_name, reason FROM tenancy.event_log ORDER BY id;
COMMIT;
SELECT count(*) FROM tenancy.tenants;
SET SESSION AUTHORIZATION DEFAULT;

SELECT event, object, detail - 'ddl' AS detail FROM tenancy.event_log
WHERE event NOT LIKE 'tenant.%' AND event NOT LIKE 'bypass.%' ORDER BY id;

-- Access is for a tenant, or for any; inherited privileges count, SET ROLE does, too.
CREATE ROLE regress_team;
CREATE ROLE regress_member LOGIN IN ROLE regress_team;
SELECT tenancy.grant_access('regress_team', '42');
SET SESSION AUTHORIZATION regress_member;
SELECT tenancy.set_tenant('42', false);
SELECT tenancy.set_tenant('acme', false);
SET SESSION AUTHORIZATION DEFAULT;
SELECT tenancy.revoke_access('regress_team', '42');
SET SESSION AUTHORIZATION regress_member;
SELECT tenancy.current_key();
RESET tenancy.tenant_id;
SET SESSION AUTHORIZATION DEFAULT;
DROP ROLE regress_member, regress_team;
