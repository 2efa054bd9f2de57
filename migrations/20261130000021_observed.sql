-- When Airflow and Datacoves were last observed, for operators.
CREATE TABLE directory.observed (
    source      text PRIMARY KEY, -- `datacoves`, or `airflow of ACCOUNT/SLUG`
    observed_at timestamptz NOT NULL
);

GRANT SELECT, INSERT, UPDATE ON directory.observed TO dbt_api_ingest, dbt_api_projector;
