-- One row when the bank is encrypted, none when it is not: a constant under a key of the ring, which
-- proves that a ring is the right one.
CREATE TABLE encryption (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    key_id TEXT NOT NULL,
    proof BLOB NOT NULL
) STRICT;

-- The key of each tenant's data, wrapped by a key of the ring. Without it the data is noise.
CREATE TABLE data_keys (
    tenant TEXT PRIMARY KEY,
    key_id TEXT NOT NULL,
    wrapped BLOB NOT NULL
) STRICT, WITHOUT ROWID;
