-- Who the memories belong to. A tenant that is deleted leaves its name in state 'deleting' until
-- everything of it is gone, then 'deleted': a write that is late must find out that it is.
CREATE TABLE tenants (
    name TEXT PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN ('active', 'deleting', 'deleted')),
    created_at INTEGER NOT NULL,
    max_memories INTEGER,         -- NULL: no limit
    requests_per_minute INTEGER,  -- NULL: the bank's setting
    burst INTEGER,
    memories INTEGER NOT NULL     -- how many there are, kept by the triggers below
) STRICT, WITHOUT ROWID;
INSERT INTO tenants (name, state, created_at, memories)
    SELECT tenant, 'active', min(created_at), (SELECT count(*) FROM memories WHERE memories.tenant = found.tenant)
    FROM (
        SELECT tenant, created_at FROM keys
        UNION ALL
        SELECT tenant, created_at FROM memories WHERE tenant != '_selftest'
    ) AS found GROUP BY tenant;
INSERT OR IGNORE INTO tenants (name, state, created_at, memories)
    VALUES ('default', 'active', CAST(unixepoch('subsec') * 1000000 AS INTEGER), 0);

-- However a memory comes, it is counted and the quota holds; the store reads these words.
CREATE TRIGGER memories_admitted BEFORE INSERT ON memories BEGIN
    SELECT RAISE(ABORT, 'the tenant is deleted')
        FROM tenants WHERE name = NEW.tenant AND state != 'active';
    SELECT RAISE(ABORT, 'the quota of memories is used up')
        FROM tenants WHERE name = NEW.tenant AND memories >= max_memories;
END;
CREATE TRIGGER memories_counted AFTER INSERT ON memories BEGIN
    UPDATE tenants SET memories = memories + 1 WHERE name = NEW.tenant;
END;
CREATE TRIGGER memories_discounted AFTER DELETE ON memories BEGIN
    UPDATE tenants SET memories = memories - 1 WHERE name = OLD.tenant;
END;

ALTER TABLE keys ADD COLUMN expires_at INTEGER;
ALTER TABLE keys ADD COLUMN last_used_at INTEGER;
ALTER TABLE keys ADD COLUMN rotated_from TEXT;
