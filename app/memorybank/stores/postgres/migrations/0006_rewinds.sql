-- What the bank in this database was made of in place of what it was: what it began with, and what
-- it was put back to. A row is written in the transaction that does it, so it is there when, and
-- only when, that was done.
CREATE TABLE rewinds (
    id text COLLATE "C" PRIMARY KEY,
    record text NOT NULL  -- JSON
);
