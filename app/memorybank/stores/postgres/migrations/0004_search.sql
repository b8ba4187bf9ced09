-- What is searched inside the database where `vector.provider` is pgvector (ADR 91); empty otherwise.
-- All of it is derived from `memories` and `vectors`, and can be made again. Vectors are in a table
-- of their own for each embedding space, made with the extension when they are first needed.

-- The words of each memory that is not in the trash: lexemes that begin with a mark of the tenant and
-- go on with what stands for all forms of a word. The position of a lexeme says how often it is there.
--
-- No policy is on it: the operators of text search are not leakproof, so behind one no index would
-- be used. What is found is told by joining `memories`, which has its wall.
CREATE TABLE words (
    created_seq bigint PRIMARY KEY,
    tenant text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    session text COLLATE "C",
    moment bigint NOT NULL,   -- when it happened; where nobody said so, when it was stored
    length integer NOT NULL,  -- terms, repeated ones included
    lexemes tsvector NOT NULL,
    UNIQUE (tenant, id)
);
-- Without a list of what is yet to be inserted, which each search would go through.
CREATE INDEX words_by_lexeme ON words USING gin (lexemes) WITH (fastupdate = off);
CREATE INDEX words_by_moment ON words (tenant, moment);
CREATE INDEX words_by_session ON words (tenant, session, moment, id) INCLUDE (length)
    WHERE session IS NOT NULL;

-- Up to which change of the feed `words` and each table of vectors are.
CREATE TABLE indexed (
    part text COLLATE "C" PRIMARY KEY,
    position bigint NOT NULL
) WITH (fillfactor = 10);
INSERT INTO indexed (part, position) VALUES ('words', 0);
