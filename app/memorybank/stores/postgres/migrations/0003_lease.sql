-- Which process does what is to be done once for all that share the database: one row once any has
-- asked. A process that stops renewing it is followed when it has run out, by the clock of this
-- server, which is the only one that all of them know.
CREATE TABLE lease (
    id smallint PRIMARY KEY CHECK (id = 1),
    holder text NOT NULL,
    ends_at timestamptz NOT NULL
) WITH (fillfactor = 10);
