-- The newest memories of a type, and those that are pinned, however many others there are: the rowid,
-- which is created_seq, is the last column of every index. Without statistics SQLite takes the index
-- of which a query names the most columns, so that of a session and of a project have theirs each.
CREATE INDEX memories_by_type ON memories (tenant, type, state);
CREATE INDEX memories_by_type_of_project ON memories (tenant, project, type, state)
    WHERE project IS NOT NULL;
CREATE INDEX memories_by_type_of_session ON memories (tenant, session, type, state)
    WHERE session IS NOT NULL;
CREATE INDEX memories_pinned ON memories (tenant, state) WHERE pinned IS TRUE;
CREATE INDEX memories_pinned_of_project ON memories (tenant, project, state)
    WHERE pinned IS TRUE AND project IS NOT NULL;
-- What contradicts each other is rare among links.
CREATE INDEX links_contradicting ON links (created_at) WHERE type = 'contradicts';
