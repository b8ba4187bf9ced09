-- The life of a memory: typed fields, state, validity, where it comes from, use, history, links.

ALTER TABLE memories ADD COLUMN details TEXT NOT NULL DEFAULT '{}';  -- JSON
ALTER TABLE memories ADD COLUMN state TEXT NOT NULL DEFAULT 'live';
ALTER TABLE memories ADD COLUMN state_changed_at INTEGER;
ALTER TABLE memories ADD COLUMN state_run TEXT;
ALTER TABLE memories ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0 CHECK (pinned IN (0, 1));
ALTER TABLE memories ADD COLUMN legal_hold INTEGER NOT NULL DEFAULT 0 CHECK (legal_hold IN (0, 1));
ALTER TABLE memories ADD COLUMN valid_from INTEGER;
ALTER TABLE memories ADD COLUMN valid_to INTEGER;
ALTER TABLE memories ADD COLUMN supersedes TEXT;
ALTER TABLE memories ADD COLUMN superseded_by TEXT;
-- Until now nobody wrote down who stored a memory; nearly always that was an agent.
ALTER TABLE memories ADD COLUMN origin TEXT NOT NULL DEFAULT 'agent';
ALTER TABLE memories ADD COLUMN trust REAL NOT NULL DEFAULT 0.8;
ALTER TABLE memories ADD COLUMN revision INTEGER NOT NULL DEFAULT 1;
ALTER TABLE memories ADD COLUMN accessed_at INTEGER;
ALTER TABLE memories ADD COLUMN access_count INTEGER NOT NULL DEFAULT 0;
ALTER TABLE memories ADD COLUMN fingerprint BLOB;  -- memories that share it hold the same words

-- `fingerprint` is a function that the service brings along: domain/duplicates.py.
UPDATE memories SET fingerprint = fingerprint(title, content);

-- Totals are counted in an index alone.
DROP INDEX memories_by_tenant;
DROP INDEX memories_by_project;
DROP INDEX memories_by_session;
CREATE INDEX memories_by_tenant ON memories (tenant, state);
CREATE INDEX memories_by_project ON memories (tenant, project, state) WHERE project IS NOT NULL;
CREATE INDEX memories_by_session ON memories (tenant, session, state) WHERE session IS NOT NULL;
CREATE INDEX memories_by_fingerprint ON memories (tenant, fingerprint);

-- Earlier states of memories: the columns of `memories`, and how the next state came about.
CREATE TABLE revisions (
    created_seq INTEGER NOT NULL REFERENCES memories (created_seq) ON DELETE CASCADE,
    revision INTEGER NOT NULL,
    replaced_at INTEGER NOT NULL,
    replaced_by TEXT NOT NULL,  -- id of a key, or a part of the service
    action TEXT NOT NULL,
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    type TEXT NOT NULL,
    project TEXT,
    session TEXT,
    tags TEXT NOT NULL,
    importance REAL NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    occurred_at INTEGER,
    title TEXT,
    metadata TEXT NOT NULL,
    content TEXT NOT NULL,
    details TEXT NOT NULL,
    state TEXT NOT NULL,
    state_changed_at INTEGER,
    state_run TEXT,
    pinned INTEGER NOT NULL,
    legal_hold INTEGER NOT NULL,
    valid_from INTEGER,
    valid_to INTEGER,
    supersedes TEXT,
    superseded_by TEXT,
    origin TEXT NOT NULL,
    trust REAL NOT NULL,
    accessed_at INTEGER,
    access_count INTEGER NOT NULL,
    PRIMARY KEY (created_seq, revision)
) STRICT, WITHOUT ROWID;

CREATE TABLE links (
    source INTEGER NOT NULL REFERENCES memories (created_seq) ON DELETE CASCADE,
    target INTEGER NOT NULL REFERENCES memories (created_seq) ON DELETE CASCADE,
    type TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (source, target, type)
) STRICT, WITHOUT ROWID;
CREATE INDEX links_by_target ON links (target);

-- What requests with an Idempotency-Key were answered: ids and errors, never contents.
CREATE TABLE idempotency (
    tenant TEXT NOT NULL,
    key_id TEXT NOT NULL,
    name TEXT NOT NULL,
    digest BLOB NOT NULL,  -- of the request
    answer TEXT NOT NULL,  -- JSON
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, key_id, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_by_age ON idempotency (created_at);

-- Runs of the forgetting job that changed something, and what each would have to put back.
CREATE TABLE forgetting_runs (
    added INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    tenant TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    cause TEXT NOT NULL,
    archived INTEGER NOT NULL DEFAULT 0,
    trashed INTEGER NOT NULL DEFAULT 0,
    purged INTEGER NOT NULL DEFAULT 0,
    undone_at INTEGER
) STRICT;
CREATE INDEX forgetting_runs_by_tenant ON forgetting_runs (tenant);
CREATE TABLE forgetting_changes (
    run TEXT NOT NULL REFERENCES forgetting_runs (id) ON DELETE CASCADE,
    created_seq INTEGER NOT NULL REFERENCES memories (created_seq) ON DELETE CASCADE,
    state TEXT NOT NULL,        -- before the run
    state_changed_at INTEGER,
    state_run TEXT,
    PRIMARY KEY (run, created_seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX forgetting_changes_by_memory ON forgetting_changes (created_seq);

-- One row: how far the clock was that grace periods are counted by, at which time of the machine's.
CREATE TABLE steady_clock (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    wall INTEGER NOT NULL,
    steady INTEGER NOT NULL,
    job_ran_at INTEGER  -- by the steady clock
) STRICT;
