CREATE TABLE tenancy.{name} (LIKE tenancy.audit_log,
    CONSTRAINT month CHECK (at IS NOT NULL AND at >= '{from}' AND at < '{to}')) USING heap;
COMMENT ON TABLE tenancy.{name} IS 'A month of tenancy.audit_log';
ALTER TABLE tenancy.{name} ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON tenancy.{name} FROM PUBLIC;
CREATE INDEX {name}_at_txid_idx ON tenancy.{name}
    USING brin (at, txid tenancy.xid8_minmax_ops) WITH (pages_per_range = 32, autosummarize = on);
CREATE INDEX {name}_tenant_id_at_idx ON tenancy.{name} (tenant_id, at);
CREATE INDEX {name}_row_hash_tbl_idx ON tenancy.{name} (row_hash, tbl);
CREATE TRIGGER guard_audit_log BEFORE UPDATE OR DELETE OR TRUNCATE ON tenancy.{name}
    FOR EACH STATEMENT EXECUTE FUNCTION tenancy.guard_audit_log();
ALTER TABLE tenancy.{name} ENABLE ALWAYS TRIGGER guard_audit_log;
