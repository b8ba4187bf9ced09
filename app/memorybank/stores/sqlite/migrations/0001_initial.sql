-- One row. `seq` numbers every change of the bank, in the order of their commits, and never goes
-- back, not even when the newest rows are gone.
CREATE TABLE feed (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    seq INTEGER NOT NULL
) STRICT;
INSERT INTO feed (id, seq) VALUES (1, 0);

-- Times are microseconds since 1970 in UTC. `tags` and `metadata` are JSON.
CREATE TABLE memories (
    created_seq INTEGER PRIMARY KEY,  -- seq of the creation: the order of lists
    seq INTEGER NOT NULL UNIQUE,      -- seq of the newest change: the order of the feed
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
    UNIQUE (tenant, id)
) STRICT;
CREATE INDEX memories_by_tenant ON memories (tenant);
CREATE INDEX memories_by_project ON memories (tenant, project) WHERE project IS NOT NULL;
CREATE INDEX memories_by_session ON memories (tenant, session) WHERE session IS NOT NULL;

-- Apart from the texts, so that lists need not read past them and an edit of a tag need not write
-- them. `vector` is little-endian float32; `model` names its embedding space.
CREATE TABLE vectors (
    created_seq INTEGER PRIMARY KEY REFERENCES memories (created_seq) ON DELETE CASCADE,
    model TEXT NOT NULL,
    vector BLOB NOT NULL
) STRICT;

-- What the feed says of memories that are gone.
CREATE TABLE deletions (
    seq INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    memory_id TEXT NOT NULL
) STRICT;

CREATE TABLE keys (
    added INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    tenant TEXT NOT NULL,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    digest TEXT NOT NULL UNIQUE,  -- SHA-256 of the key, hex; the key itself is never kept
    created_at INTEGER NOT NULL,
    revoked_at INTEGER,
    bootstrap INTEGER NOT NULL CHECK (bootstrap IN (0, 1))
) STRICT;
CREATE INDEX keys_by_tenant ON keys (tenant);
