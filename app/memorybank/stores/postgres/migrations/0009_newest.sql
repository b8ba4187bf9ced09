-- The newest memories of a type, and those that are pinned, however many others there are.
CREATE INDEX memories_by_type ON memories (tenant, type, state, created_seq);
CREATE INDEX memories_pinned ON memories (tenant, state, created_seq) WHERE pinned IS TRUE;
-- What contradicts each other is rare among links.
CREATE INDEX links_contradicting ON links (created_at) WHERE type = 'contradicts';
