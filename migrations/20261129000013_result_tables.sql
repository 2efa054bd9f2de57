-- Results of nodes by time, over many runs. Unqualified names, so that a rebuild can run the same text for another schema.
SELECT set_config('search_path', coalesce(nullif(current_setting('app.read_model_schema', true), ''), 'read_model'), true);
SET LOCAL ROLE dbt_api_projector;

-- Without the rest of the order (sha256 and place), which would more than double its size: few results have the same time.
CREATE INDEX node_results_at ON node_results (account_id, environment_id, at) WHERE is_attempt OR is_freshness;
-- What is looked for most among many successes.
CREATE INDEX node_results_problems ON node_results (account_id, environment_id, at)
    WHERE (is_attempt OR is_freshness) AND status NOT IN ('success', 'pass');

RESET ROLE;
SET LOCAL search_path TO DEFAULT;
