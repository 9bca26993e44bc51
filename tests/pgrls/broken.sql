-- What can go wrong, one section per rule of pgrls and, at the end, what pgrls does not look at. A section breaks a table or
-- other object of its own. Its first line says what pgrls reports, where, and what tenancy.doctor() does:
--
--   -- @ RULE location -> CODE object[; CODE object …]
--   -- @ RULE location -> none: why it is no matter between tenants
--   -- @ - -> CODE object                (pgrls has no rule for it)
--
-- Not here, since they speak of what no live database or no PostgreSQL without Supabase has: HYG001 (a policy on a column that
-- does not exist), HYG004 and PERF005 (want records of tests and of production), SEC050 (Storage's buckets).

SET tenancy.guard_ddl = off;
SET client_min_messages = warning;

CREATE SCHEMA broken;
GRANT USAGE ON SCHEMA broken TO anon;
CREATE SCHEMA auth;
CREATE TABLE auth.users (id uuid, email text, role text);
CREATE FUNCTION auth.uid() RETURNS uuid STABLE LANGUAGE sql AS 'SELECT NULL::uuid';
CREATE FUNCTION auth.role() RETURNS text STABLE LANGUAGE sql AS 'SELECT NULL::text';
CREATE FUNCTION auth.email() RETURNS text STABLE LANGUAGE sql AS 'SELECT NULL::text';
CREATE FUNCTION auth.jwt() RETURNS jsonb STABLE LANGUAGE sql AS 'SELECT NULL::jsonb';

-- A protected table that tenants use, in perfect health.
CREATE PROCEDURE broken.make(name text, kind text DEFAULT 'tenant') LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TABLE broken.%I (id bigint NOT NULL, tenant_id uuid, body text, UNIQUE (tenant_id, id))', name);
    PERFORM tenancy.protect(format('broken.%I', name)::regclass, kind => kind);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON broken.%I TO anon', name);
END $$;

-- @ SEC001 broken.sec001 -> RLS_DISABLED broken.sec001; UNCLASSIFIED_TABLE broken.sec001
CREATE TABLE broken.sec001 (id bigint, tenant_id uuid);

-- @ SEC002 broken.sec002 -> RLS_NOT_FORCED broken.sec002
CALL broken.make('sec002');
ALTER TABLE broken.sec002 NO FORCE ROW LEVEL SECURITY;

-- @ SEC003 broken.sec003.support -> POLICY_EXTRA support ON broken.sec003
CALL broken.make('sec003');
CREATE POLICY support ON broken.sec003 USING (body = 'open');

-- @ SEC004 broken.sec004.inverted -> POLICY_EXTRA inverted ON broken.sec004
CALL broken.make('sec004');
CREATE POLICY inverted ON broken.sec004 USING (tenancy.current_tenant() IS NULL OR tenant_id = tenancy.current_tenant());

-- @ SEC005 broken.sec005.columnless -> POLICY_EXTRA columnless ON broken.sec005
CALL broken.make('sec005');
CREATE POLICY columnless ON broken.sec005 USING (tenancy.current_key() = 'acme');

-- @ SEC006 broken.sec006.unchecked -> POLICY_EXTRA unchecked ON broken.sec006
CALL broken.make('sec006');
CREATE POLICY unchecked ON broken.sec006 FOR INSERT TO anon;

-- @ SEC007 broken.sec007 -> NO_RESTRICTIVE_TO_PUBLIC broken.sec007; POLICY_DRIFT broken.sec007
CALL broken.make('sec007');
DROP POLICY tenant_isolation_floor ON broken.sec007;

-- @ SEC008 broken.sec008.scaffold -> POLICY_ALWAYS_TRUE scaffold ON broken.sec008
CALL broken.make('sec008');
CREATE POLICY scaffold ON broken.sec008 FOR SELECT USING (true);

-- @ SEC009 broken.sec009 -> POLICY_DRIFT broken.sec009
CALL broken.make('sec009');
DROP POLICY tenant_isolation ON broken.sec009;
DROP POLICY tenant_isolation_floor ON broken.sec009;

-- @ SEC010 broken.sec010.nothing -> POLICY_EXTRA nothing ON broken.sec010
CALL broken.make('sec010');
CREATE POLICY nothing ON broken.sec010 USING (false);

-- @ SEC011 broken.sec011.leftover -> POLICY_ALWAYS_TRUE leftover ON broken.sec011
CALL broken.make('sec011');
CREATE POLICY leftover ON broken.sec011 FOR SELECT USING (body = 'x' OR true);

-- @ SEC012 broken.sec012 -> POLICY_DRIFT broken.sec012
CALL broken.make('sec012');
DROP POLICY tenant_isolation ON broken.sec012;

-- @ SEC013 broken.sec013.audit -> TRIGGER_BYPASS audit ON broken.sec013
CALL broken.make('sec013');
CREATE FUNCTION broken.sec013() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS 'BEGIN RETURN new; END';
CREATE TRIGGER audit BEFORE INSERT ON broken.sec013 FOR EACH ROW EXECUTE FUNCTION broken.sec013();

-- @ SEC014 broken.sec014 -> SECDEF_BYPASS broken.sec014()
CREATE FUNCTION broken.sec014() RETURNS bigint LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS 'SELECT count(*) FROM shop.orders';

-- @ SEC015 broken.sec015 -> SECDEF_SEARCH_PATH broken.sec015()
CREATE FUNCTION broken.sec015() RETURNS integer LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS 'SELECT 1';
ALTER FUNCTION broken.sec015() OWNER TO app_owner;

-- @ SEC016 sec016 -> ROLE_BYPASSRLS sec016
CREATE ROLE sec016 LOGIN BYPASSRLS;
SELECT tenancy.grant_access('sec016');

-- @ SEC017 broken.sec017 -> LEAKPROOF_FN broken.sec017(text)
CREATE FUNCTION broken.sec017(text) RETURNS boolean LANGUAGE plpgsql LEAKPROOF AS 'BEGIN RETURN true; END';

-- @ SEC018 broken.sec018.by_role -> POLICY_EXTRA by_role ON broken.sec018
CALL broken.make('sec018');
CREATE POLICY by_role ON broken.sec018 USING (body = current_user);

-- @ SEC019 broken.sec019.loud -> POLICY_USERSET_GUC loud ON broken.sec019
CALL broken.make('sec019');
CREATE POLICY loud ON broken.sec019 USING (tenant_id = current_setting('app.tenant')::uuid);

-- @ SEC020 broken.sec020.unscoped_check -> POLICY_ALWAYS_TRUE unscoped_check ON broken.sec020
CALL broken.make('sec020');
CREATE POLICY unscoped_check ON broken.sec020 USING (tenant_id = tenancy.current_tenant()) WITH CHECK (true);

-- @ SEC021 broken.sec021.literal -> POLICY_EXTRA literal ON broken.sec021
CALL broken.make('sec021');
CREATE POLICY literal ON broken.sec021 USING (tenant_id = 'aaaaaaaa-0000-4000-8000-000000000001');

-- @ SEC022 broken.sec022 -> POLICY_DRIFT broken.sec022
CALL broken.make('sec022');
DROP POLICY tenant_isolation ON broken.sec022;
DROP POLICY tenant_isolation_floor ON broken.sec022;
CREATE POLICY tenant_isolation ON broken.sec022 FOR SELECT USING (tenant_id = tenancy.current_tenant());

-- @ SEC023 broken.sec023.backup -> POLICY_FOR_BYPASSER backup ON broken.sec023
CALL broken.make('sec023');
CREATE ROLE sec023 LOGIN BYPASSRLS;
CREATE POLICY backup ON broken.sec023 AS RESTRICTIVE TO sec023 USING (tenant_id = tenancy.current_tenant());

-- @ SEC024 broken.sec024.unqualified -> POLICY_USERSET_GUC unqualified ON broken.sec024
CALL broken.make('sec024');
CREATE POLICY unqualified ON broken.sec024 USING (body = current_setting('tenant', true));

-- @ SEC025 broken.sec025.members_only -> POLICY_READS_OPEN_TABLE members_only ON broken.sec025
CALL broken.make('sec025');
CREATE TABLE broken.members (who text, note text);
GRANT SELECT, INSERT ON broken.members TO anon;
CREATE POLICY members_only ON broken.sec025 AS RESTRICTIVE
    USING (EXISTS (SELECT FROM broken.members AS m WHERE m.note = body));

-- @ SEC026 broken.sec026.pattern -> POLICY_EXTRA pattern ON broken.sec026
CALL broken.make('sec026');
CREATE POLICY pattern ON broken.sec026 USING (body LIKE tenancy.current_key());

-- @ SEC027 broken.sec027 -> none: whose row it is among a tenant's users is the application's to say
CREATE TABLE broken.sec027 (tenant_id uuid PRIMARY KEY, user_id text);
SELECT tenancy.protect('broken.sec027');

-- @ SEC028 broken.sec028.open_write -> POLICY_ALWAYS_TRUE open_write ON broken.sec028
CALL broken.make('sec028');
CREATE POLICY open_write ON broken.sec028 FOR INSERT WITH CHECK (true);

-- @ SEC029 sec029 -> ROLE_CAN_BYPASS sec029
CREATE ROLE sec029_target BYPASSRLS;
CREATE ROLE sec029 LOGIN NOINHERIT IN ROLE sec029_target;
SELECT tenancy.grant_access('sec029');

-- @ SEC030 broken.sec030 -> TENANT_ID_NULLABLE broken.sec030
CALL broken.make('sec030');
ALTER TABLE broken.sec030 ALTER tenant_id DROP NOT NULL;

-- @ SEC031 broken.sec031.tenant_isolation_floor -> POLICY_ALWAYS_TRUE tenant_isolation_floor ON broken.sec031
CALL broken.make('sec031');
ALTER POLICY tenant_isolation_floor ON broken.sec031 USING (true) WITH CHECK (true);

-- @ SEC032 broken.sec032 -> RLS_DISABLED broken.sec032
CALL broken.make('sec032');
ALTER TABLE broken.sec032 DISABLE ROW LEVEL SECURITY;

-- @ SEC032 broken.sec032_global -> POLICIES_DORMANT broken.sec032_global
CREATE TABLE broken.sec032_global (owner name);
CREATE POLICY own ON broken.sec032_global USING (owner = current_user);

-- @ SEC033 broken.sec033.metadata -> POLICY_EXTRA metadata ON broken.sec033
CALL broken.make('sec033');
CREATE POLICY metadata ON broken.sec033 USING (tenant_id = ((auth.jwt() -> 'user_metadata') ->> 'tenant')::uuid);

-- @ SEC034 broken.sec034.by_address -> POLICY_EXTRA by_address ON broken.sec034
CALL broken.make('sec034');
CREATE POLICY by_address ON broken.sec034 USING (body = auth.email());

-- @ SEC035 broken.sec035 (sec035_body_key) -> UNIQUE_GLOBAL sec035_body_key ON broken.sec035
CALL broken.make('sec035');
ALTER TABLE broken.sec035 ADD UNIQUE (body);

-- @ SEC036 broken.sec036.any_admin -> POLICY_EXTRA any_admin ON broken.sec036
CALL broken.make('sec036');
CREATE POLICY any_admin ON broken.sec036 USING (EXISTS (SELECT FROM auth.users AS u WHERE u.role = 'admin'));

-- @ SEC037 broken.sec037.unknown_role -> POLICY_EXTRA unknown_role ON broken.sec037
CALL broken.make('sec037');
CREATE POLICY unknown_role ON broken.sec037 USING (body = 'x' AND auth.role() = 'admin');

-- @ SEC038 broken.sec038.disguised -> POLICY_EXTRA disguised ON broken.sec038
CALL broken.make('sec038');
CREATE POLICY disguised ON broken.sec038
    USING (NOT (tenancy.current_tenant() IS NOT NULL) OR tenant_id = tenancy.current_tenant());

-- @ SEC039 broken.sec039.guests_write -> POLICY_EXTRA guests_write ON broken.sec039
CALL broken.make('sec039');
CREATE POLICY guests_write ON broken.sec039 FOR UPDATE TO anon USING (body = 'x') WITH CHECK (body = 'x');

-- @ SEC040 broken.sec040.half_checked -> POLICY_EXTRA half_checked ON broken.sec040
CALL broken.make('sec040');
CREATE POLICY half_checked ON broken.sec040 USING (tenant_id = tenancy.current_tenant()) WITH CHECK (body <> '');

-- @ SEC041 broken.sec041_part -> PARTITION_UNPROTECTED broken.sec041_part; RLS_DISABLED broken.sec041_part
CREATE TABLE broken.sec041 (tenant_id uuid, at date) PARTITION BY RANGE (at);
SELECT tenancy.protect('broken.sec041');
CREATE TABLE broken.sec041_part PARTITION OF broken.sec041 DEFAULT;
GRANT SELECT ON broken.sec041_part TO anon;

-- @ SEC042 broken.sec042 -> SECDEF_BYPASS broken.sec042()
CREATE FUNCTION broken.sec042() RETURNS SETOF shop.orders LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS 'SELECT * FROM shop.orders';
GRANT EXECUTE ON FUNCTION broken.sec042() TO anon;

-- @ SEC043 broken.sec043_child -> PARTITION_UNPROTECTED broken.sec043_child; RLS_DISABLED broken.sec043_child
CALL broken.make('sec043');
CREATE TABLE broken.sec043_child (extra text) INHERITS (broken.sec043);
GRANT SELECT ON broken.sec043_child TO anon;

-- @ SEC044 broken -> DEFAULT_PRIV broken of postgres
ALTER DEFAULT PRIVILEGES IN SCHEMA broken GRANT SELECT ON TABLES TO PUBLIC;

-- @ SEC045 broken.sec045.password_hash -> none: which columns a tenant may read of its own rows is the application's to say
CREATE TABLE broken.sec045 (tenant_id uuid PRIMARY KEY, password_hash text);
SELECT tenancy.protect('broken.sec045');
GRANT SELECT (password_hash) ON broken.sec045 TO anon;

-- @ SEC046 broken.sec046.folded -> POLICY_NONSTABLE_FN broken.sec046()
CALL broken.make('sec046');
CREATE FUNCTION broken.sec046() RETURNS uuid LANGUAGE sql IMMUTABLE AS 'SELECT current_setting(''app.tenant'', true)::uuid';
CREATE POLICY folded ON broken.sec046 USING (tenant_id = broken.sec046());

-- @ SEC047 broken.sec047 (sec047_parent) -> FK_CROSS_TENANT sec047_parent ON broken.sec047
CREATE TABLE broken.sec047_parent (tenant_id uuid, id bigint PRIMARY KEY);
CREATE TABLE broken.sec047 (tenant_id uuid, parent_id bigint CONSTRAINT sec047_parent REFERENCES broken.sec047_parent);
SELECT tenancy.protect('broken.sec047_parent'), tenancy.protect('broken.sec047');
GRANT SELECT, INSERT ON broken.sec047, broken.sec047_parent TO anon;

-- @ SEC048 sec048 -> ROLE_OWNS_TABLES sec048; RLS_NOT_FORCED broken.sec048
CALL broken.make('sec048');
CREATE ROLE sec048_owner NOLOGIN;
CREATE ROLE sec048 LOGIN IN ROLE sec048_owner;
SELECT tenancy.grant_access('sec048');
ALTER TABLE broken.sec048 OWNER TO sec048_owner;
ALTER TABLE broken.sec048 NO FORCE ROW LEVEL SECURITY;

-- @ SEC049 broken.sec049 -> TABLE_WITHOUT_TENANT broken.sec049
CREATE TABLE broken.sec049 (body text);
GRANT SELECT ON broken.sec049 TO anon;

-- @ SEC051 broken.sec051 -> RLS_DISABLED broken.sec051; PUBLICATION supabase_realtime
CALL broken.make('sec051');
ALTER TABLE broken.sec051 DISABLE ROW LEVEL SECURITY;
CREATE PUBLICATION supabase_realtime FOR TABLE broken.sec051;

-- @ SEC052 broken.sec052 -> none: Supabase's table of users has no tenants
CREATE VIEW broken.sec052 AS SELECT * FROM auth.users;
GRANT SELECT ON broken.sec052 TO anon;

-- @ SEC053 broken.sec053 -> FOREIGN_TABLE broken.sec053
CREATE FOREIGN DATA WRAPPER nowhere;
CREATE SERVER nowhere FOREIGN DATA WRAPPER nowhere;
CREATE FOREIGN TABLE broken.sec053 (tenant_id uuid, body text) SERVER nowhere;
GRANT SELECT ON broken.sec053 TO anon;

-- @ SEC054 broken.sec054 -> MATVIEW broken.sec054
CREATE MATERIALIZED VIEW broken.sec054 AS SELECT * FROM shop.orders;
GRANT SELECT ON broken.sec054 TO anon;

-- @ SEC055 broken.sec055.silent -> POLICY_USERSET_GUC silent ON broken.sec055
CALL broken.make('sec055');
CALL broken.make('sec055_raising');
CREATE FUNCTION broken.require_tenant_id() RETURNS uuid STABLE LANGUAGE sql AS 'SELECT tenancy.require_tenant()';
CREATE POLICY raising ON broken.sec055_raising USING (tenant_id = broken.require_tenant_id());
CREATE POLICY silent ON broken.sec055 USING (tenant_id = (SELECT current_setting('app.tenant', true)::uuid));

-- @ PERF001 broken.perf001.each_row -> POLICY_USERSET_GUC each_row ON broken.perf001
CALL broken.make('perf001');
CREATE POLICY each_row ON broken.perf001 USING (tenant_id = current_setting('app.tenant', true)::uuid);

-- @ PERF002 broken.perf002.dice -> POLICY_NONSTABLE_FN pg_catalog.random()
CALL broken.make('perf002');
CREATE POLICY dice ON broken.perf002 AS RESTRICTIVE USING (body <> '' AND random() < 0.5);

-- @ PERF003 broken.perf003.tenant_isolation -> INDEX_NOT_TENANT_LED broken.perf003
CREATE TABLE broken.perf003 (id bigint PRIMARY KEY, tenant_id uuid);
SELECT tenancy.protect('broken.perf003', create_index => false);

-- @ PERF004 broken.perf004.wrapped -> POLICY_EXTRA wrapped ON broken.perf004
CALL broken.make('perf004');
CREATE INDEX ON broken.perf004 (body);
CREATE POLICY wrapped ON broken.perf004 USING (lower(body) = tenancy.current_key());

-- @ HYG002 broken.hyg002.todo -> POLICY_EXTRA todo ON broken.hyg002
CALL broken.make('hyg002');
CREATE POLICY todo ON broken.hyg002 USING (body = 'x');

-- @ HYG003 broken.hyg003.twin -> POLICY_EXTRA twin ON broken.hyg003
CALL broken.make('hyg003');
CREATE POLICY twin ON broken.hyg003 USING (tenant_id = tenancy.current_tenant()) WITH CHECK (tenant_id = tenancy.current_tenant());

-- @ VIEW001 broken.view001 -> VIEW_BYPASS broken.view001
CREATE VIEW broken.view001 WITH (security_barrier) AS SELECT * FROM shop.orders;

-- @ VIEW001 broken.view001_owner -> VIEW_NOT_INVOKER broken.view001_owner
CREATE VIEW broken.view001_owner WITH (security_barrier) AS SELECT * FROM shop.orders;
ALTER VIEW broken.view001_owner OWNER TO app_owner;

-- @ VIEW002 broken.view002 -> VIEW_NO_BARRIER broken.view002
CREATE VIEW broken.view002 WITH (security_invoker) AS
    SELECT o.* FROM shop.orders AS o JOIN shop.customers AS c USING (tenant_id, id);

-- @ VIEW003 broken.view003 -> MATVIEW broken.view003
CREATE MATERIALIZED VIEW broken.view003 AS SELECT count(*) FROM shop.orders;
GRANT SELECT ON broken.view003 TO anon;

-- @ VIEW004 broken.view004 -> SECDEF_BYPASS broken.view004_rows()
CREATE FUNCTION broken.view004_rows() RETURNS bigint LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS 'SELECT count(*) FROM shop.orders';
CREATE VIEW broken.view004 WITH (security_invoker, security_barrier) AS SELECT broken.view004_rows() AS rows;

-- @ - -> UNIQUE_GLOBAL global_key_pkey ON broken.global_key
CREATE TABLE broken.global_key (tenant_id uuid, code text PRIMARY KEY);
SELECT tenancy.protect('broken.global_key');

-- @ - -> UNIQUE_GLOBAL global_exclusion_during_excl ON broken.global_exclusion
CREATE TABLE broken.global_exclusion (tenant_id uuid, during tsrange, EXCLUDE USING gist (during WITH &&));
SELECT tenancy.protect('broken.global_exclusion');

-- @ - -> NO_RESTRICTIVE_TO_PUBLIC broken.floor_of_some
CALL broken.make('floor_of_some');
ALTER POLICY tenant_isolation_floor ON broken.floor_of_some TO anon;

-- @ - -> NO_RESTRICTIVE_TO_PUBLIC broken.floor_for_reading
CALL broken.make('floor_for_reading');
DROP POLICY tenant_isolation_floor ON broken.floor_for_reading;
CREATE POLICY tenant_isolation_floor ON broken.floor_for_reading AS RESTRICTIVE FOR SELECT
    USING (tenant_id = tenancy.current_tenant());

-- @ - -> POLICY_NOT_PUBLIC tenant_isolation ON broken.policy_of_some
CALL broken.make('policy_of_some');
ALTER POLICY tenant_isolation ON broken.policy_of_some TO anon;

-- @ - -> DANGEROUS_PRIV broken.privileges
CALL broken.make('privileges');
GRANT TRUNCATE, REFERENCES, TRIGGER ON broken.privileges TO anon;

-- @ - -> RULE copy ON broken.ruled
CALL broken.make('ruled');
CREATE RULE copy AS ON INSERT TO broken.ruled DO ALSO INSERT INTO auth.users (email) VALUES (new.body);

-- @ - -> QUOTA_NOT_COUNTED broken.not_counted
CALL broken.make('not_counted');
SELECT tenancy.create_resource('broken', 'rows');
SELECT tenancy.attach_quota('broken.not_counted', 'broken');
ALTER TABLE broken.not_counted DISABLE TRIGGER tenancy_quota_insert;

-- @ - -> PUBLICATION feed
CALL broken.make('published');
CREATE PUBLICATION feed FOR TABLE broken.published;

-- @ - -> ROLE_OWNS_TABLES broken.owned
CALL broken.make('owned');
ALTER TABLE broken.owned OWNER TO anon;

-- @ - -> ROLE_OWNS_TABLES member_of_owner
CALL broken.make('owned_by_group');
CREATE ROLE group_owner NOLOGIN;
CREATE ROLE member_of_owner LOGIN IN ROLE group_owner;
SELECT tenancy.grant_access('member_of_owner');
ALTER TABLE broken.owned_by_group OWNER TO group_owner;

-- @ - -> SCHEMA_CREATE broken
GRANT CREATE ON SCHEMA broken TO PUBLIC;

-- @ - -> POLICY_NONSTABLE_FN tenancy.current_key_int()
ALTER FUNCTION tenancy.current_key_int() VOLATILE;

-- @ - -> ROLE_BYPASSRLS superuser_app
CREATE ROLE superuser_app LOGIN SUPERUSER;
SELECT tenancy.grant_access('superuser_app');

-- @ - -> TRIGGER_OF_TENANTS spy ON broken.spied
CALL broken.make('spied');
CREATE FUNCTION broken.spy() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
ALTER FUNCTION broken.spy() OWNER TO anon;
CREATE TRIGGER spy BEFORE INSERT ON broken.spied FOR EACH ROW EXECUTE FUNCTION broken.spy();

-- @ - -> TENANT_COLUMN_MISSING broken.renamed
CALL broken.make('renamed');
ALTER TABLE broken.renamed RENAME tenant_id TO customer;

-- @ - -> TENANT_ID_FUZZY_TYPE broken.padded
CREATE TABLE broken.padded (tenant_id char(8));

-- @ - -> LO_COLUMN broken.scans.scan
CALL broken.make('scans');
ALTER TABLE broken.scans ADD scan oid;

-- @ - -> CATALOG_GRANT pg_catalog.pg_statistic
GRANT SELECT ON pg_catalog.pg_statistic TO anon;

-- @ - -> ROLE_CAN_BYPASS reader_of_all
CREATE ROLE reader_of_all LOGIN IN ROLE pg_read_all_data;
SELECT tenancy.grant_access('reader_of_all');

-- @ - -> SIGNED_ROLE_REACHES_DIRECT signed_and_more
CREATE ROLE named_by_hand;
CREATE ROLE signed_and_more LOGIN IN ROLE named_by_hand;
SELECT tenancy.grant_access('named_by_hand'), tenancy.grant_access('signed_and_more', mode => 'signed');

-- @ - -> JWT_KEY_MISSING tenancy.jwt_keys
CREATE ROLE signed_for_nobody LOGIN;
SELECT tenancy.grant_access('signed_for_nobody', mode => 'signed');

-- @ - -> RULE copy ON broken.seen
CALL broken.make('seen_by_rule');
CREATE VIEW broken.seen WITH (security_invoker, security_barrier) AS SELECT body FROM broken.seen_by_rule;
CREATE RULE copy AS ON INSERT TO broken.seen DO INSTEAD INSERT INTO auth.users (email) SELECT body FROM broken.seen_by_rule;

-- @ - -> FK_CASCADE cascading_place_fkey ON broken.cascading
CALL broken.make('cascading');
CREATE TABLE auth.places (id bigint PRIMARY KEY);
GRANT DELETE ON auth.places TO anon;
ALTER TABLE broken.cascading ADD place bigint REFERENCES auth.places ON DELETE CASCADE;

-- @ - -> TYPE_OF_TENANTS broken.note
CREATE DOMAIN broken.note AS text;
ALTER DOMAIN broken.note OWNER TO anon;
CALL broken.make('noted');
ALTER TABLE broken.noted ADD note broken.note;

-- @ - -> FUNCTION_OF_TENANTS broken.looks_fine(text)
CREATE FUNCTION broken.looks_fine(text) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RETURN true; END';
ALTER FUNCTION broken.looks_fine(text) OWNER TO anon;
CALL broken.make('looked_at');
ALTER TABLE broken.looked_at ADD CHECK (broken.looks_fine(body));
