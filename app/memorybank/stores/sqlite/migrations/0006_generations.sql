-- The embedding spaces that memories have vectors of. Searches compare those of the active one; a new
-- one is filled beside it, and the one before is kept for a way back. `embedder` says how its model
-- is reached, as JSON without secrets; NULL is the built-in model.
CREATE TABLE generations (
    id INTEGER PRIMARY KEY,
    model TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL CHECK (state IN ('building', 'active', 'kept', 'refused')),
    embedder TEXT,
    dimensions INTEGER,
    created_at INTEGER NOT NULL,
    activated_at INTEGER
) STRICT;
CREATE UNIQUE INDEX one_active_generation ON generations (state) WHERE state = 'active';

INSERT INTO generations (model, state, created_at)
SELECT model, 'kept', CAST(1000000 * (julianday('now') - 2440587.5) * 86400 AS INTEGER)
FROM vectors GROUP BY model ORDER BY count(*);
-- Of several models the one of most vectors was in use.
UPDATE generations SET state = 'active', activated_at = created_at
WHERE id = (SELECT max(id) FROM generations);

ALTER TABLE vectors RENAME TO vectors_of_one_model;
CREATE TABLE vectors (
    created_seq INTEGER NOT NULL REFERENCES memories (created_seq) ON DELETE CASCADE,
    generation INTEGER NOT NULL REFERENCES generations (id),
    vector BLOB NOT NULL,
    PRIMARY KEY (created_seq, generation)
) STRICT;
INSERT INTO vectors
SELECT created_seq, generations.id, vector
FROM vectors_of_one_model JOIN generations USING (model) ORDER BY created_seq;
DROP TABLE vectors_of_one_model;
