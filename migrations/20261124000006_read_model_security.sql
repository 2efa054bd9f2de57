-- The read model's part of row-level security; unqualified, like the tables. Its owner, the projector, is not held by it: COPY would be refused.
SELECT set_config('search_path', coalesce(nullif(current_setting('app.read_model_schema', true), ''), 'read_model'), true);
SET LOCAL ROLE dbt_api_projector;

DO $$
DECLARE
    table_name text;
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO dbt_api_reader', current_schema());
    FOREACH table_name IN ARRAY ARRAY['jobs', 'runs', 'run_steps', 'artifacts', 'manifests', 'quarantined_nodes', 'node_sets', 'nodes'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', table_name);
        EXECUTE format('GRANT SELECT ON %I TO dbt_api_reader', table_name);
    END LOOP;
    FOREACH table_name IN ARRAY ARRAY['run_steps', 'artifacts', 'jobs', 'runs'] LOOP
        EXECUTE format(
            'CREATE POLICY reader ON %I FOR SELECT TO dbt_api_reader
                USING (account_id = (SELECT directory.current_account())
                    AND ((SELECT directory.current_environment()) IS NULL OR environment_id = (SELECT directory.current_environment())))',
            table_name);
    END LOOP;
    FOREACH table_name IN ARRAY ARRAY['quarantined_nodes', 'node_sets', 'nodes'] LOOP
        EXECUTE format(
            'CREATE POLICY reader ON %I FOR SELECT TO dbt_api_reader USING (account_id = (SELECT directory.current_account()))',
            table_name);
    END LOOP;
END
$$;

-- What a manifest holds is seen by who sees an upload of it.
CREATE POLICY reader ON manifests FOR SELECT TO dbt_api_reader
    USING (account_id = (SELECT directory.current_account())
        AND EXISTS (SELECT FROM artifacts a WHERE a.account_id = manifests.account_id AND a.sha256 = manifests.sha256));

RESET ROLE;
SET LOCAL search_path TO DEFAULT;
