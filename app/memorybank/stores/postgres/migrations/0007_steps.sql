-- What was done in an episode, step by step. `said` is JSON: everything but the order and the time.
CREATE TABLE steps (
    created_seq bigint NOT NULL REFERENCES memories (created_seq) ON DELETE CASCADE,
    number bigint NOT NULL,
    tenant text COLLATE "C" NOT NULL,
    at bigint NOT NULL,
    said text NOT NULL,
    PRIMARY KEY (created_seq, number)
);

-- The wall of 0002, with what it says of how it is asked.
CREATE POLICY wall ON steps USING (
    CASE (SELECT current_setting('memorybank.tenant', true))
    WHEN '*' THEN true
    ELSE tenant = (SELECT current_setting('memorybank.tenant', true)) END
);
ALTER TABLE steps ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
