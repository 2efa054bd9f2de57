-- The last failure of a test that was skipped since. Unqualified names, so that a rebuild can run the same text for another schema.
SELECT set_config('search_path', coalesce(nullif(current_setting('app.read_model_schema', true), ''), 'read_model'), true);
SET LOCAL ROLE dbt_api_projector;

CREATE INDEX node_results_failures ON node_results (account_id, environment_id, md5(unique_id), at)
    WHERE is_attempt AND NOT is_success AND status NOT IN ('skipped', 'no-op', 'reused');

RESET ROLE;
SET LOCAL search_path TO DEFAULT;
