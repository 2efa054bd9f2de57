-- Runs in the order in which they were last updated, for clients that read what changed. Unqualified names, so that a rebuild can run the
-- same text for another schema.
SELECT set_config('search_path', coalesce(nullif(current_setting('app.read_model_schema', true), ''), 'read_model'), true);
SET LOCAL ROLE dbt_api_projector;

CREATE INDEX ON runs (account_id, updated_at, id);

RESET ROLE;
SET LOCAL search_path TO DEFAULT;
