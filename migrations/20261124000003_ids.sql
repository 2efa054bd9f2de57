-- Which number means which job and run. Outside the read model, so that a rebuild keeps them; the claims in the bucket are the truth.
CREATE SCHEMA ids;

CREATE TABLE ids.jobs (
    id             bigint PRIMARY KEY,
    account_id     bigint NOT NULL,
    environment_id bigint NOT NULL,
    key            text NOT NULL,  -- what makes the job what it is, as JSON
    key_sha256     bytea NOT NULL, -- a key may be longer than an index takes
    UNIQUE (environment_id, key_sha256)
);

CREATE TABLE ids.runs (
    id             bigint PRIMARY KEY,
    account_id     bigint NOT NULL,
    environment_id bigint NOT NULL,
    key            text NOT NULL,  -- what makes the run what it is, as JSON
    key_sha256     bytea NOT NULL, -- a key may be longer than an index takes
    UNIQUE (environment_id, key_sha256)
);

GRANT USAGE ON SCHEMA ids TO dbt_api_projector, dbt_api_reader;
GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA ids TO dbt_api_projector;
GRANT SELECT ON ALL TABLES IN SCHEMA ids TO dbt_api_reader;
