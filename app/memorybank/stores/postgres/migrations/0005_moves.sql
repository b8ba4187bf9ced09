-- One row once a bank was moved to another database or came from one: which move it was, the same
-- at both ends, and how far it is. Where it leaves: 'copying', 'gated' while nothing is written,
-- 'moved'. Where it comes to: 'filling', 'whole'. A gate that nobody keeps closed opens by itself.
CREATE TABLE moves (
    id smallint PRIMARY KEY CHECK (id = 1),
    move text NOT NULL,
    run text NOT NULL,  -- of the command; the newest one counts
    state text NOT NULL CHECK (state IN ('copying', 'gated', 'moved', 'filling', 'whole')),
    gated_until bigint
) WITH (fillfactor = 10);
