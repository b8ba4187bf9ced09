-- One row once a bank was moved to another database or came from one: which move it was, the same
-- at both ends, and how far it is. Where it leaves: 'copying', 'gated' while nothing is written,
-- 'moved'. Where it comes to: 'filling', 'whole'. A gate that nobody keeps closed opens by itself.
CREATE TABLE moves (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    move TEXT NOT NULL,
    run TEXT NOT NULL,  -- of the command; the newest one counts
    state TEXT NOT NULL CHECK (state IN ('copying', 'gated', 'moved', 'filling', 'whole')),
    gated_until INTEGER
) STRICT;
