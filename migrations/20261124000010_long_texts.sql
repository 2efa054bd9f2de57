-- Clients choose these texts, and an index takes some 2,700 bytes at most. Unqualified names, so that a rebuild can run the same text for
-- another schema.
SELECT set_config('search_path', coalesce(nullif(current_setting('app.read_model_schema', true), ''), 'read_model'), true);
SET LOCAL ROLE dbt_api_projector;

DROP INDEX artifacts_environment_id_airflow_run_id_idx;
CREATE INDEX ON artifacts (environment_id, hashtextextended(airflow_run_id, 0));

DROP INDEX node_results_account_id_environment_id_unique_id_at_sha256__idx;
CREATE INDEX ON node_results (account_id, environment_id, hashtextextended(unique_id, 0), at, sha256, place) WHERE executed;

RESET ROLE;
SET LOCAL search_path TO DEFAULT;
