-- Members: which users belong to a tenant, and invitations to become one.

-- The library reads members by attribute number: new columns come last.
CREATE TABLE tenancy.members (
    tenant_id uuid NOT NULL REFERENCES tenancy.tenants (id) ON DELETE CASCADE,
    user_id   text COLLATE "C" NOT NULL
              CHECK (char_length(user_id) BETWEEN 1 AND 255 AND user_id !~ '[[:cntrl:]]'),
    role      text NOT NULL DEFAULT 'member' CHECK (role IN ('owner', 'admin', 'member', 'viewer')),
    added_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, user_id)
);
CREATE INDEX members_owner_idx ON tenancy.members (tenant_id) WHERE role = 'owner';
CREATE INDEX members_user_id_idx ON tenancy.members (user_id);
COMMENT ON TABLE tenancy.members IS 'Users of each tenant; a role sees those of the tenant it acts for, bypassing roles see all';
COMMENT ON COLUMN tenancy.members.user_id IS 'What the application sets tenancy.user_id to';
COMMENT ON COLUMN tenancy.members.role IS 'owner, admin, member or viewer: each may what those after it may';

CREATE TABLE tenancy.invitations (
    token_hash bytea NOT NULL PRIMARY KEY,
    tenant_id  uuid NOT NULL REFERENCES tenancy.tenants (id) ON DELETE CASCADE,
    role       text NOT NULL CHECK (role IN ('owner', 'admin', 'member', 'viewer')),
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);
CREATE INDEX invitations_tenant_id_idx ON tenancy.invitations (tenant_id);
CREATE INDEX invitations_expires_at_idx ON tenancy.invitations (expires_at);
COMMENT ON TABLE tenancy.invitations IS 'Invitations that are neither used nor known to have expired; their tokens are kept nowhere';
COMMENT ON COLUMN tenancy.invitations.token_hash IS 'SHA-256 of the token';

SELECT pg_extension_config_dump('tenancy.members', '');
SELECT pg_extension_config_dump('tenancy.invitations', '');

ALTER TABLE tenancy.members ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenancy.invitations ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON tenancy.members FOR SELECT TO PUBLIC
    USING (tenant_id = tenancy.current_tenant());
GRANT SELECT ON tenancy.members TO PUBLIC;

CREATE FUNCTION tenancy.members_changed() RETURNS trigger
    LANGUAGE c
    AS 'MODULE_PATHNAME', 'tenancy_members_changed';
REVOKE EXECUTE ON FUNCTION tenancy.members_changed() FROM PUBLIC;
COMMENT ON FUNCTION tenancy.members_changed() IS
    'Trigger: tells every session that members changed';
-- Sessions may know that somebody is no member. For each row only where those who apply a subscription write: after each
-- announcement the plans by which foreign keys are checked are made anew, so that it would be the better part of a load.
CREATE TRIGGER members_changed
    AFTER INSERT OR UPDATE OR DELETE ON tenancy.members
    FOR EACH ROW EXECUTE FUNCTION tenancy.members_changed();
CREATE TRIGGER members_changed_in_bulk
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON tenancy.members
    FOR EACH STATEMENT EXECUTE FUNCTION tenancy.members_changed();
ALTER TABLE tenancy.members ENABLE REPLICA TRIGGER members_changed, ENABLE ALWAYS TRIGGER members_changed_in_bulk;

CREATE FUNCTION tenancy.keep_owner() RETURNS trigger
    LANGUAGE c SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'tenancy_keep_owner';
REVOKE EXECUTE ON FUNCTION tenancy.keep_owner() FROM PUBLIC;
COMMENT ON FUNCTION tenancy.keep_owner() IS
    'Trigger: refuses to leave a tenant that is active or suspended without an owner (55000)';
-- What is replicated has been decided elsewhere.
CREATE TRIGGER keep_owner_at_update
    AFTER UPDATE ON tenancy.members
    FOR EACH ROW WHEN (OLD.role = 'owner' AND (NEW.role <> 'owner' OR NEW.tenant_id <> OLD.tenant_id))
    EXECUTE FUNCTION tenancy.keep_owner();
CREATE TRIGGER keep_owner_at_delete
    AFTER DELETE ON tenancy.members
    FOR EACH ROW WHEN (OLD.role = 'owner') EXECUTE FUNCTION tenancy.keep_owner();

CREATE FUNCTION tenancy.has_role(role text) RETURNS boolean
    LANGUAGE c STABLE STRICT PARALLEL SAFE COST 1
    AS 'MODULE_PATHNAME', 'tenancy_has_role';
COMMENT ON FUNCTION tenancy.has_role(text) IS
    'Whether the current user (tenancy.user_id) has at least that role within the tenant acted for: owner > admin > member > viewer; false without tenant or user. Raises 22023 unknown role, other errors as for current_tenant()';

-- NULL is nobody, and not the session's user: policies pass columns.
CREATE FUNCTION tenancy.is_member() RETURNS boolean
    LANGUAGE c STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'is_current_member_wrapper';
COMMENT ON FUNCTION tenancy.is_member() IS
    'Whether the current user (tenancy.user_id) is a member of the tenant acted for; false without tenant or user. Errors as for current_tenant()';

CREATE FUNCTION tenancy.is_member(user_id text) RETURNS boolean
    LANGUAGE c STABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'is_member_wrapper';
COMMENT ON FUNCTION tenancy.is_member(text) IS
    'Whether a user is a member of the tenant acted for; false without a tenant. Errors as for current_tenant()';

CREATE FUNCTION tenancy.is_member(user_id text, tenant text) RETURNS boolean
    LANGUAGE c STABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'is_member_by_name_wrapper';
COMMENT ON FUNCTION tenancy.is_member(text, text) IS
    'Whether a user is a member of a tenant; false when the tenant is unknown, not active here, or not the role''s to act for, and, where the role may act for it as a member alone, for all users but the current one. Raises 22023 malformed tenant, 42501 another tenant than the one acted for, other errors as for current_tenant()';

CREATE FUNCTION tenancy.is_member(user_id text, tenant uuid) RETURNS boolean
    LANGUAGE c STABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'is_member_by_id_wrapper';
COMMENT ON FUNCTION tenancy.is_member(text, uuid) IS
    'Whether a user is a member of a tenant, by its id. Errors as for is_member(text, text)';

CREATE FUNCTION tenancy.add_member(tenant text, user_id text, role text DEFAULT 'member') RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'add_member_wrapper';
REVOKE EXECUTE ON FUNCTION tenancy.add_member(text, text, text) FROM PUBLIC;
COMMENT ON FUNCTION tenancy.add_member(text, text, text) IS
    'Makes a user a member of a tenant, or gives a member that role: owner, admin, member or viewer. Raises 42704 unknown tenant, 22023 malformed user or unknown role, 55000 the tenant would lose its last owner';

CREATE FUNCTION tenancy.remove_member(tenant text, user_id text) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'remove_member_wrapper';
REVOKE EXECUTE ON FUNCTION tenancy.remove_member(text, text) FROM PUBLIC;
COMMENT ON FUNCTION tenancy.remove_member(text, text) IS
    'Ends a user''s membership, in open sessions at their next statement. Raises 42704 unknown tenant or no such member, 55000 the last owner';

CREATE FUNCTION tenancy.invite_member(tenant text, role text DEFAULT 'member', expires interval DEFAULT '7 days')
    RETURNS text
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'invite_member_wrapper';
REVOKE EXECUTE ON FUNCTION tenancy.invite_member(text, text, interval) FROM PUBLIC;
COMMENT ON FUNCTION tenancy.invite_member(text, text, interval) IS
    'Makes an invitation to become a member of a tenant, and returns its token, which is good for one user, until it expires. Only a hash of it is kept. Raises 42704 unknown tenant, 22023 unknown role or an interval that is not positive';

CREATE FUNCTION tenancy.revoke_invitation(token text) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'revoke_invitation_wrapper';
REVOKE EXECUTE ON FUNCTION tenancy.revoke_invitation(text) FROM PUBLIC;
COMMENT ON FUNCTION tenancy.revoke_invitation(text) IS
    'Takes an invitation back: its token is good for nobody any more. Raises 42704 no such invitation, or used';

-- For everybody: the token is the proof. The library writes as the tables' owner.
CREATE FUNCTION tenancy.accept_invitation(token text, user_id text) RETURNS uuid
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'accept_invitation_wrapper';
COMMENT ON FUNCTION tenancy.accept_invitation(text, text) IS
    'Makes a user a member by an invitation, and returns the tenant''s id; a greater role that he has already he keeps. Raises 28000 no such invitation, or used, expired, or for a tenant that is not active here or that the role may not act for, 42501 the transaction has another tenant, 22023 malformed user, 25006 in a read-only transaction';
