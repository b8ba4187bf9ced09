-- Which rows a transaction sees and may write, whatever its statements ask for (ADR 86). It says so
-- in `memorybank.tenant`: the rows of a tenant, of all with '*', none while it says nothing. The
-- owner of the tables is bound by it, too: the service is that owner.
--
-- Asked in a query of its own, the setting is read once for a statement, not for each row. CASE is
-- what the planner takes for every second row; of OR it believes that nearly none will do, and reads
-- the feed by sorting all of it.
DO $$
DECLARE
    setting CONSTANT text := $q$(SELECT current_setting('memorybank.tenant', true))$q$;
    wall record;
BEGIN
    FOR wall IN SELECT * FROM (VALUES
        ('tenants', 'name = ' || setting),
        ('memories', 'tenant = ' || setting),
        ('deletions', 'tenant = ' || setting),
        ('keys', 'tenant = ' || setting),
        ('revisions', 'tenant = ' || setting),
        ('idempotency', 'tenant = ' || setting),
        ('forgetting_runs', 'tenant = ' || setting),
        ('audit_chains', 'tenant = ' || setting),
        ('audit', 'tenant = ' || setting),
        ('usage', 'tenant = ' || setting),
        ('data_keys', 'tenant = ' || setting),
        -- These are of the tenant whose memories they are of, which have a wall of their own.
        ('vectors', 'EXISTS (SELECT 1 FROM memories WHERE memories.created_seq = vectors.created_seq)'),
        ('links', 'EXISTS (SELECT 1 FROM memories WHERE created_seq = source)'
            ' AND EXISTS (SELECT 1 FROM memories WHERE created_seq = target)'),
        ('forgetting_changes', 'EXISTS (SELECT 1 FROM forgetting_runs WHERE id = run) AND EXISTS ('
            'SELECT 1 FROM memories WHERE memories.created_seq = forgetting_changes.created_seq)')
    ) AS walls (of, own)
    LOOP
        EXECUTE format(
            'CREATE POLICY wall ON %I USING (CASE %s WHEN ''*'' THEN true ELSE %s END)',
            wall.of, setting, wall.own
        );
        EXECUTE format(
            'ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', wall.of
        );
    END LOOP;
END $$;
