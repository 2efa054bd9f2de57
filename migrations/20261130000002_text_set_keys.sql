-- The hash of a text set covers the resource types of its members: the same texts on nodes of other types are another set. Until a rebuild,
-- sets that are stored keep the hash that they have.
SELECT set_config('search_path', coalesce(nullif(current_setting('app.read_model_schema', true), ''), 'read_model'), true);
SET LOCAL ROLE dbt_api_projector;

UPDATE format SET version = 3 WHERE NOT EXISTS (SELECT FROM ledger);

RESET ROLE;
SET LOCAL search_path TO DEFAULT;
