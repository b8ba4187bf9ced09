-- Where each tenant's chain of audit records ends (seq, hash), and where it begins now that older
-- records were pruned. Hashes are SHA-256, hex.
CREATE TABLE audit_chains (
    tenant TEXT PRIMARY KEY,
    seq INTEGER NOT NULL,
    hash TEXT NOT NULL,
    pruned_seq INTEGER NOT NULL,
    pruned_hash TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (
    tenant TEXT NOT NULL,
    seq INTEGER NOT NULL,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    request_id TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT,
    details TEXT NOT NULL,  -- JSON
    previous TEXT NOT NULL,
    hash TEXT NOT NULL,
    PRIMARY KEY (tenant, seq)
) STRICT, WITHOUT ROWID;

-- How often each tenant asked what, per day in UTC.
CREATE TABLE usage (
    tenant TEXT NOT NULL,
    day TEXT NOT NULL,       -- 2026-03-01
    endpoint TEXT NOT NULL,  -- the template of a route with its method, or an MCP tool
    requests INTEGER NOT NULL,
    refused INTEGER NOT NULL,  -- 4xx among them
    failed INTEGER NOT NULL,   -- 5xx among them
    PRIMARY KEY (tenant, day, endpoint)
) STRICT, WITHOUT ROWID;
