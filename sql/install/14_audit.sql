-- Audit: what was changed in which rows, by whom.

CREATE TABLE tenancy.audited (
    relation    regclass NOT NULL PRIMARY KEY,
    ignore      text[] NOT NULL DEFAULT '{}',
    redact      text[] NOT NULL DEFAULT '{}',
    recorded_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE tenancy.audited ENABLE ROW LEVEL SECURITY;
COMMENT ON TABLE tenancy.audited IS
    'Audited tables and their parts, with the columns that tenancy.audit() was told to ignore and to redact';
SELECT pg_extension_config_dump('tenancy.audited', '');

-- The library writes the log by attribute number: new columns come last. No index on the parent: those of a
-- partition are its own, so that a dump, in which partitions come as tables, makes each of them once.
CREATE SEQUENCE tenancy.audit_log_id_seq;
CREATE TABLE tenancy.audit_log (
    id               bigint NOT NULL,
    at               timestamptz NOT NULL,
    tenant_id        uuid,
    user_id          text COLLATE "C",
    request_id       text COLLATE "C",
    role_name        text COLLATE "C" NOT NULL,
    txid             xid8 NOT NULL,
    tbl              regclass NOT NULL,
    table_name       text COLLATE "C" NOT NULL,
    op               text COLLATE "C" NOT NULL,
    row_key          jsonb,
    old_row          jsonb,
    new_row          jsonb,
    changed          name[],
    session_role     text COLLATE "C" NOT NULL,
    application_name text COLLATE "C",
    client_addr      inet,
    bypass           boolean NOT NULL,
    reason           text COLLATE "C",
    row_hash         bigint
) PARTITION BY RANGE (at);
COMMENT ON TABLE tenancy.audit_log IS
    'What was changed in the rows of audited tables: a role sees what its tenant''s rows went through, bypassing roles see all';
COMMENT ON COLUMN tenancy.audit_log.id IS 'Ascending within a transaction, and for one row of a table; transactions need not commit in this order';
COMMENT ON COLUMN tenancy.audit_log.at IS 'The server''s clock when the statement ended';
COMMENT ON COLUMN tenancy.audit_log.tenant_id IS 'Whose row it is; for a table without tenant column, whom the session acted for';
COMMENT ON COLUMN tenancy.audit_log.user_id IS 'The setting tenancy.user_id: as trustworthy as the application';
COMMENT ON COLUMN tenancy.audit_log.request_id IS 'The setting tenancy.request_id: as trustworthy as the application';
COMMENT ON COLUMN tenancy.audit_log.role_name IS 'The role acted as (SET ROLE counts)';
COMMENT ON COLUMN tenancy.audit_log.txid IS 'The transaction, as pg_current_xact_id() names it';
COMMENT ON COLUMN tenancy.audit_log.tbl IS 'The table; of a partition the audited table that it belongs to';
COMMENT ON COLUMN tenancy.audit_log.table_name IS 'Its name at that time';
COMMENT ON COLUMN tenancy.audit_log.op IS 'INSERT, UPDATE, DELETE or TRUNCATE';
COMMENT ON COLUMN tenancy.audit_log.row_key IS 'The primary key, or else the replica identity, or else the whole row; after an UPDATE';
COMMENT ON COLUMN tenancy.audit_log.old_row IS 'The row before UPDATE and DELETE, without redacted columns';
COMMENT ON COLUMN tenancy.audit_log.new_row IS 'The row after INSERT and UPDATE, without redacted columns';
COMMENT ON COLUMN tenancy.audit_log.changed IS 'The columns that an UPDATE changed, without ignored ones';
COMMENT ON COLUMN tenancy.audit_log.session_role IS 'The role that the session logged in as';
COMMENT ON COLUMN tenancy.audit_log.application_name IS 'The setting application_name: as trustworthy as the client';
COMMENT ON COLUMN tenancy.audit_log.client_addr IS 'Where the client connected from; NULL for a Unix socket';
COMMENT ON COLUMN tenancy.audit_log.bypass IS 'Row security did not bind who changed the row';
COMMENT ON COLUMN tenancy.audit_log.reason IS 'The reason that was declared for that, by tenancy.bypass()';
COMMENT ON COLUMN tenancy.audit_log.row_hash IS 'tenancy.audit_row_hash(row_key), by which tenancy.audit_history() finds the row';
SELECT pg_extension_config_dump('tenancy.audit_log_id_seq', '');

CREATE FUNCTION tenancy.guard_audit_log() RETURNS trigger
    LANGUAGE c
    AS 'MODULE_PATHNAME', 'tenancy_guard_audit_log';
REVOKE EXECUTE ON FUNCTION tenancy.guard_audit_log() FROM PUBLIC;
COMMENT ON FUNCTION tenancy.guard_audit_log() IS
    'Trigger: refuses to change, remove and truncate what is in the audit log (42501)';

-- Rows of times for which no month has been made. Maintenance empties it.
CREATE TABLE tenancy.audit_log_default PARTITION OF tenancy.audit_log DEFAULT;
ALTER TABLE tenancy.audit_log_default REPLICA IDENTITY FULL;
COMMENT ON TABLE tenancy.audit_log_default IS
    'Entries of tenancy.audit_log for which there is no month yet; tenancy.audit_maintain() moves them';
SELECT pg_extension_config_dump('tenancy.audit_log_default', '');

ALTER TABLE tenancy.audit_log ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenancy.audit_log_default ENABLE ROW LEVEL SECURITY;
-- Whoever may not read a table may not read what was in it either.
CREATE POLICY own_tenant ON tenancy.audit_log FOR SELECT TO PUBLIC
    USING (tenant_id = tenancy.current_tenant() AND has_table_privilege(tbl, 'SELECT'));
GRANT SELECT ON tenancy.audit_log TO PUBLIC;

-- ALWAYS: session_replication_role = replica must not open the log.
CREATE TRIGGER guard_audit_log BEFORE UPDATE OR DELETE OR TRUNCATE ON tenancy.audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION tenancy.guard_audit_log();
ALTER TABLE tenancy.audit_log ENABLE ALWAYS TRIGGER guard_audit_log;
CREATE TRIGGER guard_audit_log BEFORE UPDATE OR DELETE OR TRUNCATE ON tenancy.audit_log_default
    FOR EACH STATEMENT EXECUTE FUNCTION tenancy.guard_audit_log();
ALTER TABLE tenancy.audit_log_default ENABLE ALWAYS TRIGGER guard_audit_log;

-- PostgreSQL has no BRIN operator class for xid8.
CREATE OPERATOR FAMILY tenancy.xid8_minmax_ops USING brin;
CREATE OPERATOR CLASS tenancy.xid8_minmax_ops FOR TYPE xid8 USING brin FAMILY tenancy.xid8_minmax_ops AS
    OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >,
    FUNCTION 1 (xid8, xid8) brin_minmax_opcinfo(internal),
    FUNCTION 2 (xid8, xid8) brin_minmax_add_value(internal, internal, internal, internal),
    FUNCTION 3 (xid8, xid8) brin_minmax_consistent(internal, internal, internal),
    FUNCTION 4 (xid8, xid8) brin_minmax_union(internal, internal, internal);

CREATE INDEX audit_log_default_at_txid_idx ON tenancy.audit_log_default
    USING brin (at, txid tenancy.xid8_minmax_ops) WITH (pages_per_range = 32, autosummarize = on);
CREATE INDEX audit_log_default_tenant_id_at_idx ON tenancy.audit_log_default (tenant_id, at);
CREATE INDEX audit_log_default_row_hash_tbl_idx ON tenancy.audit_log_default (row_hash, tbl);

-- The trigger function is not for everybody: a trigger on a table of one's own would write to the log.
CREATE FUNCTION tenancy.audit_change() RETURNS trigger
    LANGUAGE c
    AS 'MODULE_PATHNAME', 'tenancy_audit_change';
REVOKE EXECUTE ON FUNCTION tenancy.audit_change() FROM PUBLIC;
COMMENT ON FUNCTION tenancy.audit_change() IS
    'Trigger: writes to tenancy.audit_log what a statement changed in an audited table';

-- These run as the caller, who must own the table.
CREATE FUNCTION tenancy.audit(tbl regclass, ignore name[] DEFAULT '{}', redact name[] DEFAULT '{}') RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'have_audited_wrapper';
REVOKE EXECUTE ON FUNCTION tenancy.audit(regclass, name[], name[]) FROM PUBLIC;
COMMENT ON FUNCTION tenancy.audit(regclass, name[], name[]) IS
    'Has what is changed in a protected or global table, its partitions and its inheritance children recorded in tenancy.audit_log. A change of ignored columns alone is not recorded; of redacted columns only that they changed. Raises 42501 not the owner, 55000 neither protected nor global, or audited as a part of another, 42703 unknown column, 22023 redacted key or tenant column';

CREATE FUNCTION tenancy.unaudit(tbl regclass) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'unaudit_wrapper';
REVOKE EXECUTE ON FUNCTION tenancy.unaudit(regclass) FROM PUBLIC;
COMMENT ON FUNCTION tenancy.unaudit(regclass) IS
    'Ends recording for a table, its partitions and its inheritance children; what was recorded stays. Raises 42501 not the owner, 55000 not audited, or audited as a part of another';

CREATE FUNCTION tenancy.audit_maintain() RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'audit_maintain_wrapper';
REVOKE EXECUTE ON FUNCTION tenancy.audit_maintain() FROM PUBLIC;
COMMENT ON FUNCTION tenancy.audit_maintain() IS
    'Makes the partitions of tenancy.audit_log for this month and the three that follow, and moves entries that came in for want of one. Returns how many were moved';

CREATE FUNCTION tenancy.audit_row_hash(row_key jsonb) RETURNS bigint
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'audit_row_hash_wrapper';
COMMENT ON FUNCTION tenancy.audit_row_hash(jsonb) IS
    'A number for the key of a row, by which entries of tenancy.audit_log are found: the same for equal keys';

-- As the caller, whom row security binds: what is compared are numbers, by operators that give nothing away, so
-- that indexes serve everybody.
CREATE FUNCTION tenancy.audit_history(tbl regclass, row_key jsonb) RETURNS SETOF tenancy.audit_log
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    -- Keys that the row had before, with the entry that changed it from there.
    WITH RECURSIVE known(key, hash, before) AS (
        SELECT $2, tenancy.audit_row_hash($2), 9223372036854775807
      UNION
        SELECT former.key, tenancy.audit_row_hash(former.key), l.id
        FROM known
        JOIN tenancy.audit_log AS l ON l.row_hash = known.hash AND l.tbl = $1
        CROSS JOIN LATERAL (SELECT jsonb_object_agg(k, l.old_row -> k) AS key
                            FROM jsonb_object_keys(l.row_key) AS k) AS former
        WHERE l.row_key = known.key AND l.id < known.before AND l.op = 'UPDATE' AND former.key <> l.row_key
    )
    SELECT l.*
    FROM (SELECT key, hash, max(before) AS before FROM known GROUP BY key, hash) AS known
    JOIN tenancy.audit_log AS l ON l.row_hash = known.hash AND l.tbl = $1
    WHERE l.row_key = known.key AND l.id < known.before
    ORDER BY l.id;
END;
COMMENT ON FUNCTION tenancy.audit_history(regclass, jsonb) IS
    'What became of one row, the oldest first, as far as the caller reads tenancy.audit_log. The row is named by its key, the last one it had; former keys are followed back';

-- Names are qualified instead of the path set, so that a query takes the function in.
CREATE FUNCTION tenancy.audit_json(entry tenancy.audit_log) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT pg_catalog.json_build_object(
        'id', entry.id,
        'at', pg_catalog.to_char(pg_catalog.timezone('UTC', entry.at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'tenant_id', entry.tenant_id,
        'user_id', entry.user_id,
        'request_id', entry.request_id,
        'role_name', entry.role_name,
        'txid', entry.txid::pg_catalog.text,
        'table_name', entry.table_name,
        'op', entry.op,
        'row_key', entry.row_key,
        'old_row', entry.old_row,
        'new_row', entry.new_row,
        'changed', entry.changed,
        'session_role', entry.session_role,
        'application_name', entry.application_name,
        'client_addr', pg_catalog.host(entry.client_addr),
        'bypass', entry.bypass,
        'reason', entry.reason)::pg_catalog.text;
END;
COMMENT ON FUNCTION tenancy.audit_json(tenancy.audit_log) IS
    'An entry of tenancy.audit_log as one line of JSON, in the form in which it is sealed';

-- The chain: what was in the log when it was sealed, each link made with the one before it.
CREATE TABLE tenancy.audit_chain (
    seq       bigint NOT NULL PRIMARY KEY,
    sealed_at timestamptz NOT NULL,
    kind      text COLLATE "C" NOT NULL CHECK (kind IN ('entries', 'retention')),
    cluster   text COLLATE "C" NOT NULL,
    month     text COLLATE "C",
    after_id  bigint NOT NULL,
    upto_id   bigint NOT NULL,
    from_txid xid8 NOT NULL,
    upto_txid xid8 NOT NULL,
    late_id   bigint NOT NULL,
    entries   bigint NOT NULL,
    digest    bytea NOT NULL,
    marks     bytea NOT NULL,
    tables    bytea NOT NULL,
    previous  bytea NOT NULL,
    hash      bytea NOT NULL
);
ALTER TABLE tenancy.audit_chain ENABLE ROW LEVEL SECURITY;
-- Hashes can't be compressed.
ALTER TABLE tenancy.audit_chain ALTER COLUMN marks SET STORAGE EXTERNAL;
COMMENT ON TABLE tenancy.audit_chain IS
    'Seals of tenancy.audit_log: a hash chain over entries that no transaction can add to any more';
COMMENT ON COLUMN tenancy.audit_chain.kind IS 'entries: seals some; retention: the month was removed by tenancy.audit_retain()';
COMMENT ON COLUMN tenancy.audit_chain.cluster IS 'The server and database that it was sealed in';
COMMENT ON COLUMN tenancy.audit_chain.month IS 'The month, in UTC, of what is sealed; NULL when a seal found nothing';
COMMENT ON COLUMN tenancy.audit_chain.after_id IS 'Sealed are entries with ids above this, and up to upto_id';
COMMENT ON COLUMN tenancy.audit_chain.from_txid IS 'and of transactions from this, and before upto_txid';
COMMENT ON COLUMN tenancy.audit_chain.late_id IS 'or with ids above this';
COMMENT ON COLUMN tenancy.audit_chain.entries IS 'How many there are, in the order of txid and id';
COMMENT ON COLUMN tenancy.audit_chain.digest IS 'SHA-256 of the SHA-256 hashes of their lines, as tenancy.audit_json() has them';
COMMENT ON COLUMN tenancy.audit_chain.marks IS 'For each entry its id and the first 4 bytes of its hash, to find the one that was changed';
COMMENT ON COLUMN tenancy.audit_chain.tables IS 'SHA-256 over which entries are of the same table by the same name (tbl, table_name)';
COMMENT ON COLUMN tenancy.audit_chain.previous IS 'The hash of the link before';
COMMENT ON COLUMN tenancy.audit_chain.hash IS 'SHA-256 of previous, in hexadecimal, and the link''s line';
SELECT pg_extension_config_dump('tenancy.audit_chain', '');

CREATE TRIGGER guard_audit_log BEFORE UPDATE OR DELETE OR TRUNCATE ON tenancy.audit_chain
    FOR EACH STATEMENT EXECUTE FUNCTION tenancy.guard_audit_log();
ALTER TABLE tenancy.audit_chain ENABLE ALWAYS TRIGGER guard_audit_log;

CREATE FUNCTION tenancy.audit_chain_json(link tenancy.audit_chain) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT pg_catalog.json_build_object(
        'seq', link.seq,
        'sealed_at', pg_catalog.to_char(pg_catalog.timezone('UTC', link.sealed_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'kind', link.kind,
        'cluster', link.cluster,
        'month', link.month,
        'after_id', link.after_id,
        'upto_id', link.upto_id,
        'from_txid', link.from_txid::pg_catalog.text,
        'upto_txid', link.upto_txid::pg_catalog.text,
        'late_id', link.late_id,
        'entries', link.entries,
        'digest', pg_catalog.encode(link.digest, 'hex'),
        'marks', pg_catalog.encode(pg_catalog.sha256(link.marks), 'hex'),
        'tables', pg_catalog.encode(link.tables, 'hex'))::pg_catalog.text;
END;
COMMENT ON FUNCTION tenancy.audit_chain_json(tenancy.audit_chain) IS
    'A link of tenancy.audit_chain as the line of JSON that its hash is of';

-- What is not sealed is found by the index on transactions, whatever the planner takes its share to be.
CREATE FUNCTION tenancy.audit_seal() RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    AS 'MODULE_PATHNAME', 'audit_seal_wrapper';
REVOKE EXECUTE ON FUNCTION tenancy.audit_seal() FROM PUBLIC;
COMMENT ON FUNCTION tenancy.audit_seal() IS
    'Seals the new entries of tenancy.audit_log by links of tenancy.audit_chain: those of transactions older than any that still runs, so that none can come between them any more. Returns how many entries were sealed. Raises 55000 in a transaction that is not READ COMMITTED';

CREATE FUNCTION tenancy.audit_verify(checkpoint text DEFAULT NULL)
    RETURNS TABLE (ok boolean, first_bad bigint, detail text)
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'audit_verify_wrapper';
REVOKE EXECUTE ON FUNCTION tenancy.audit_verify(text) FROM PUBLIC;
COMMENT ON FUNCTION tenancy.audit_verify(text) IS
    'Checks that the entries that were sealed, and the chain, are still as they were, also against what audit_checkpoint() gave before. One row when it is; otherwise one for each fault, with the id of the first entry concerned. Raises 22023 malformed checkpoint';

CREATE FUNCTION tenancy.audit_checkpoint() RETURNS text
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT seq || ':' || encode(hash, 'hex') FROM tenancy.audit_chain ORDER BY seq DESC LIMIT 1;
END;
REVOKE EXECUTE ON FUNCTION tenancy.audit_checkpoint() FROM PUBLIC;
COMMENT ON FUNCTION tenancy.audit_checkpoint() IS
    'The last link of the chain in short, for audit_verify(), to be kept where nobody who can change this database can change it; NULL when nothing is sealed';

CREATE FUNCTION tenancy.audit_retain(keep interval) RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    AS 'MODULE_PATHNAME', 'audit_retain_wrapper';
REVOKE EXECUTE ON FUNCTION tenancy.audit_retain(interval) FROM PUBLIC;
COMMENT ON FUNCTION tenancy.audit_retain(interval) IS
    'Seals the log, and drops the months that ended longer ago than keep. Returns how many entries they held. Raises 22023 an interval that is not positive, 55000 when a month can''t be sealed yet';

-- As the caller: his rights and row security decide what can be undone. His search path is left to the triggers that
-- the statements fire; they name everything in full themselves.
CREATE FUNCTION tenancy.audit_revert(txid xid8, dry_run boolean DEFAULT true) RETURNS SETOF text
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'audit_revert_wrapper';
COMMENT ON FUNCTION tenancy.audit_revert(xid8, boolean) IS
    'Undoes what a transaction changed in the rows of the tenant in force, the last change first, with the rights of the caller; a dry run takes it back. Returns the statements. Raises 42501 without a tenant, 55000 where rows were changed since, what they were is not recorded, or they would not be as they were';
