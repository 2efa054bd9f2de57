-- What Airflow tells of DAG runs. Unqualified names, so that a rebuild can run the same text for another schema.
SELECT set_config('search_path', coalesce(nullif(current_setting('app.read_model_schema', true), ''), 'read_model'), true);
SET LOCAL ROLE dbt_api_projector;

-- A DAG run as its newest observation has it.
CREATE TABLE airflow_runs (
    account_id     bigint NOT NULL,
    environment_id bigint NOT NULL,
    key_sha256     bytea NOT NULL,       -- of the run's key, as ids.runs has it: an index takes no text of any length
    dag_id         text NOT NULL,
    run_id         text NOT NULL,        -- Airflow's
    state          text NOT NULL,        -- Airflow's word, or removed
    status         smallint NOT NULL,    -- dbt Cloud's: 1, 3, 10, 20 or 30
    queued_at      timestamptz,
    started_at     timestamptz,
    finished_at    timestamptz,
    schedule       text,                 -- the DAG's, as Airflow writes it
    cron           text,                 -- the same as cron writes it; null: it cannot
    created_at     timestamptz NOT NULL, -- the earliest that any observation of it tells
    event_time     timestamptz NOT NULL, -- of the newest observation, which all else here is of
    event_id       uuid NOT NULL,
    pruned         boolean NOT NULL,     -- that observation was pruned: the run is not shown, and only tells which DAG it is of
    PRIMARY KEY (environment_id, key_sha256)
);
CREATE INDEX ON airflow_runs (environment_id, hashtextextended(run_id, 0));
CREATE INDEX ON airflow_runs (environment_id, hashtextextended(dag_id, 0), event_time, event_id) WHERE NOT pruned;
CREATE INDEX ON airflow_runs (environment_id) WHERE status < 10 AND NOT pruned;
CREATE INDEX ON airflow_runs (event_id);

ALTER TABLE jobs ADD COLUMN cron text; -- as the newest observation of any of its runs has it

-- Ingest asks what is known already, of any environment whose Airflow it observes. Readers see runs and jobs, not this.
ALTER TABLE airflow_runs ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON airflow_runs TO dbt_api_ingest;
CREATE POLICY ingest ON airflow_runs FOR SELECT TO dbt_api_ingest USING (true);

RESET ROLE;
SET LOCAL search_path TO DEFAULT;
