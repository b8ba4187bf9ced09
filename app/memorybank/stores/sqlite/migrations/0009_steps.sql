-- What was done in an episode, step by step. `said` is JSON: everything but the order and the time,
-- sealed in an encrypted bank.
CREATE TABLE steps (
    created_seq INTEGER NOT NULL REFERENCES memories (created_seq) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    tenant TEXT NOT NULL,
    at INTEGER NOT NULL,
    said TEXT NOT NULL,
    PRIMARY KEY (created_seq, number)
) STRICT, WITHOUT ROWID;
