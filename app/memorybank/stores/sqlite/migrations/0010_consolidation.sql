-- Runs of the consolidation jobs, and what each would have to put back.
CREATE TABLE consolidation_runs (
    added INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    tenant TEXT NOT NULL,
    job TEXT NOT NULL,
    cause TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('running', 'done', 'failed', 'interrupted', 'undone')),
    examined INTEGER NOT NULL DEFAULT 0,
    kept INTEGER NOT NULL DEFAULT 0,
    archived INTEGER NOT NULL DEFAULT 0,
    ended_at INTEGER,
    error TEXT,                 -- never contents
    undone_at INTEGER,
    alive_at INTEGER NOT NULL   -- when whoever runs it was heard of last
) STRICT;
CREATE INDEX consolidation_runs_by_tenant ON consolidation_runs (tenant);
CREATE INDEX consolidation_runs_under_way ON consolidation_runs (alive_at) WHERE status = 'running';
CREATE TABLE consolidation_changes (
    run TEXT NOT NULL REFERENCES consolidation_runs (id) ON DELETE CASCADE,
    created_seq INTEGER NOT NULL REFERENCES memories (created_seq) ON DELETE CASCADE,
    number INTEGER NOT NULL,    -- of the step
    kept INTEGER NOT NULL,      -- whether it stands for the others of the step; else it was archived
    revision INTEGER,           -- that the step made of the one that was kept, if it made one
    linked TEXT,                -- type of the link to it from the one that was kept, if it is new
    state TEXT NOT NULL,        -- before the run
    state_changed_at INTEGER,
    state_run TEXT,
    undone INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (run, created_seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX consolidation_changes_by_memory ON consolidation_changes (created_seq);
