-- Signed context: tokens, and the keys that they are verified with.

-- The library reads the keys by attribute number: new columns come last.
CREATE TABLE tenancy.jwt_keys (
    kid          text COLLATE "C" NOT NULL PRIMARY KEY,
    algorithm    text NOT NULL CHECK (algorithm IN ('EdDSA', 'ES256', 'RS256', 'HS256')),
    key          text NOT NULL,
    tenant_claim text NOT NULL DEFAULT 'tenant_id' CHECK (tenant_claim <> ''),
    issuer       text,
    audience     text,
    leeway       integer NOT NULL DEFAULT 0 CHECK (leeway BETWEEN 0 AND 3600),
    not_before   timestamptz,
    not_after    timestamptz,
    added_at     timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE tenancy.jwt_keys IS
    'Keys that tokens are verified with; for the extension''s owner alone, and not part of a dump';
COMMENT ON COLUMN tenancy.jwt_keys.kid IS 'The id by which tokens name the key; empty for tokens that name none';
COMMENT ON COLUMN tenancy.jwt_keys.key IS 'In base64url: the point of Ed25519 or P-256, a DER RSAPublicKey, the secret';
COMMENT ON COLUMN tenancy.jwt_keys.tenant_claim IS
    'The claim that holds the tenant''s id or key; a JSON pointer where it begins with a slash';
COMMENT ON COLUMN tenancy.jwt_keys.issuer IS 'What the claim iss must be; NULL for anything';
COMMENT ON COLUMN tenancy.jwt_keys.audience IS 'What the claim aud must be or contain; NULL for anything';
COMMENT ON COLUMN tenancy.jwt_keys.leeway IS 'By how many seconds clocks may differ';
COMMENT ON COLUMN tenancy.jwt_keys.not_before IS 'Tokens are taken from then on';
COMMENT ON COLUMN tenancy.jwt_keys.not_after IS 'Tokens are taken until then';
ALTER TABLE tenancy.jwt_keys ENABLE ROW LEVEL SECURITY;

CREATE TRIGGER registry_changed
    AFTER INSERT OR UPDATE OR DELETE ON tenancy.jwt_keys
    FOR EACH ROW EXECUTE FUNCTION tenancy.registry_changed();
CREATE TRIGGER registry_changed_in_bulk
    AFTER TRUNCATE ON tenancy.jwt_keys
    FOR EACH STATEMENT EXECUTE FUNCTION tenancy.registry_changed();
ALTER TABLE tenancy.jwt_keys ENABLE ALWAYS TRIGGER registry_changed, ENABLE ALWAYS TRIGGER registry_changed_in_bulk;

CREATE FUNCTION tenancy.authenticate(token text, is_local boolean DEFAULT true) RETURNS uuid
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'authenticate_wrapper';
COMMENT ON FUNCTION tenancy.authenticate(text, boolean) IS
    'Acts for the tenant and the user that a signed token (JWT) names, until the transaction (is_local) or the session ends. Returns the tenant''s id. Raises 28000 a token that proves nothing; other errors as for set_tenant(text)';

CREATE FUNCTION tenancy.add_jwt_key(
    kid text,
    algorithm text,
    key text,
    tenant_claim text DEFAULT 'tenant_id',
    issuer text DEFAULT NULL,
    audience text DEFAULT NULL,
    leeway interval DEFAULT '0',
    not_before timestamptz DEFAULT NULL,
    not_after timestamptz DEFAULT NULL
) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'add_jwt_key_wrapper';
REVOKE EXECUTE ON FUNCTION
    tenancy.add_jwt_key(text, text, text, text, text, text, interval, timestamptz, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION tenancy.add_jwt_key(text, text, text, text, text, text, interval, timestamptz, timestamptz) IS
    'Registers a key for tokens: a public key in PEM format (EdDSA, ES256, RS256), or a secret (HS256). Raises 22023 a key or an algorithm that can''t be used, 42710 id taken';

CREATE FUNCTION tenancy.remove_jwt_key(kid text) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'remove_jwt_key_wrapper';
REVOKE EXECUTE ON FUNCTION tenancy.remove_jwt_key(text) FROM PUBLIC;
COMMENT ON FUNCTION tenancy.remove_jwt_key(text) IS
    'Removes a key; tokens signed with it are refused, in open sessions from their next statement on. Raises 42704 unknown key';

CREATE FUNCTION tenancy.import_jwks(
    jwks jsonb,
    tenant_claim text DEFAULT 'tenant_id',
    issuer text DEFAULT NULL,
    audience text DEFAULT NULL,
    leeway interval DEFAULT '0',
    not_before timestamptz DEFAULT NULL,
    not_after timestamptz DEFAULT NULL
) RETURNS integer
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'import_jwks_wrapper';
REVOKE EXECUTE ON FUNCTION
    tenancy.import_jwks(jsonb, text, text, text, interval, timestamptz, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION tenancy.import_jwks(jsonb, text, text, text, interval, timestamptz, timestamptz) IS
    'Registers the keys of a JSON Web Key Set that tokens can be signed with, in place of those of the same id and issuer. Returns how many. Raises 22023 a malformed set, 42710 id of another issuer''s key';
