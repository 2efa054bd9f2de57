-- What the API shows: a function of the set of events. Unqualified names, so that a rebuild can run the same text for another schema.
DO $$
BEGIN
    IF current_setting('app.read_model_schema', true) IS NULL THEN
        CREATE SCHEMA read_model AUTHORIZATION dbt_api_projector;
    END IF;
END
$$;
SELECT set_config('search_path', coalesce(nullif(current_setting('app.read_model_schema', true), ''), 'read_model'), true);
SET LOCAL ROLE dbt_api_projector;

CREATE TABLE jobs (
    id             bigint PRIMARY KEY,
    account_id     bigint NOT NULL,
    project_id     bigint NOT NULL,
    environment_id bigint NOT NULL,
    dag_id         text,                 -- null: the job of uploads whose DAG is not known
    created_at     timestamptz NOT NULL, -- of the earliest event
    updated_at     timestamptz NOT NULL  -- of the latest
);
CREATE INDEX ON jobs (account_id, environment_id, id);
CREATE INDEX ON jobs (account_id, project_id, id);

CREATE TABLE runs (
    id              bigint PRIMARY KEY,
    account_id      bigint NOT NULL,
    project_id      bigint NOT NULL,
    environment_id  bigint NOT NULL,
    job_id          bigint NOT NULL,
    dag_id          text,
    airflow_run_id  text,
    status          smallint NOT NULL,   -- dbt Cloud's: 1, 2, 3, 10, 20 or 30
    dbt_version     text,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    started_at      timestamptz,
    finished_at     timestamptz
);
CREATE INDEX ON runs (account_id, id);
CREATE INDEX ON runs (account_id, created_at, id);
CREATE INDEX ON runs (account_id, finished_at, id);
CREATE INDEX ON runs (account_id, job_id, status, finished_at, id);
CREATE INDEX ON runs (account_id, environment_id, finished_at, id);
CREATE INDEX ON runs (account_id, project_id, id);

-- A dbt invocation of a run, or an upload whose invocation is not known.
CREATE TABLE run_steps (
    account_id     bigint NOT NULL,
    id             bigint NOT NULL,      -- 53 bits
    environment_id bigint NOT NULL,
    run_id         bigint NOT NULL,
    invocation_id  text,
    status         smallint NOT NULL,
    dbt_version    text,
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL,
    started_at     timestamptz,
    finished_at    timestamptz,
    PRIMARY KEY (account_id, id)
);
CREATE INDEX ON run_steps (account_id, run_id, created_at, id);

-- A file of an upload: what the event says of it, and the step that it was placed in.
CREATE TABLE artifacts (
    event_id           uuid NOT NULL,
    place              integer NOT NULL, -- in the event, from 0
    account_id         bigint NOT NULL,
    project_id         bigint NOT NULL,
    environment_id     bigint NOT NULL,
    event_time         timestamptz NOT NULL,
    dag_id             text,
    airflow_run_id     text,
    tag                text,
    invocation_id      text,
    kind               text NOT NULL,
    name               text NOT NULL,
    sha256             bytea NOT NULL,
    size               bigint NOT NULL,  -- bytes as uploaded
    dbt_schema_version text,
    dbt_version        text,
    generated_at       timestamptz,
    run_id             bigint,           -- null: it belongs to no run, as what is tagged latest-…
    step_id            bigint,
    PRIMARY KEY (event_id, place)
);
CREATE INDEX ON artifacts (account_id, run_id, name, event_time, event_id, place);
CREATE INDEX ON artifacts (environment_id, airflow_run_id);
CREATE INDEX ON artifacts (environment_id, invocation_id);
CREATE INDEX ON artifacts (account_id, environment_id, kind, event_time, event_id, place);
CREATE INDEX ON artifacts (account_id, sha256);
CREATE INDEX ON artifacts (step_id);

-- A manifest's content: read once, however often it is uploaded.
CREATE TABLE manifests (
    account_id         bigint NOT NULL,
    sha256             bytea NOT NULL,
    node_set           bytea NOT NULL,   -- the hash that node_sets has
    dbt_schema_version text,
    dbt_version        text,
    project_name       text,
    adapter_type       text,
    generated_at       timestamptz,
    PRIMARY KEY (account_id, sha256)
);

-- Parts of a manifest that could not be read as nodes.
CREATE TABLE quarantined_nodes (
    account_id bigint NOT NULL,
    sha256     bytea NOT NULL,           -- the manifest's
    section    text NOT NULL,
    unique_id  text NOT NULL,
    reason     text NOT NULL
);
CREATE INDEX ON quarantined_nodes (account_id, sha256);

-- The nodes of a manifest, by resource type in the order of unique_id; manifests with the same nodes share them.
CREATE TABLE node_sets (
    account_id    bigint NOT NULL,
    hash          bytea NOT NULL,        -- SHA-256 of the hashes of all nodes in the order of resource type and unique_id
    resource_type text NOT NULL,
    node_ids      bigint[] NOT NULL,
    PRIMARY KEY (account_id, hash, resource_type)
);

-- A node, once per content.
CREATE TABLE nodes (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id    bigint NOT NULL,
    hash          bytea NOT NULL,        -- SHA-256 of its definition without what changes at every parse
    unique_id     text NOT NULL,
    resource_type text NOT NULL,
    name          text,
    package_name  text,
    doc           bytea NOT NULL,        -- the definition as JSON in a zstd frame, with a dictionary that the frame names
    UNIQUE (account_id, hash)
);
ALTER TABLE nodes ALTER COLUMN doc SET STORAGE EXTERNAL; -- it is compressed

-- The events that were applied.
CREATE TABLE ledger (
    event_id   uuid PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT now()
);

-- How often the work upon an event was begun; removed at its end. An event that kills its projector is known by it.
CREATE TABLE attempts (
    event_id uuid PRIMARY KEY,
    starts   integer NOT NULL
);

-- Events that cannot be applied. The events themselves stay in the journal.
CREATE TABLE dead_letters (
    event_id   uuid PRIMARY KEY,
    account_id bigint,
    event_type text NOT NULL,
    event_time timestamptz NOT NULL,
    cause      text NOT NULL,
    died_at    timestamptz NOT NULL DEFAULT now()
);

-- Up to when the journal was compared with the ledger.
CREATE TABLE watermark (
    one        boolean PRIMARY KEY DEFAULT true CHECK (one),
    swept_upto timestamptz NOT NULL
);

RESET ROLE;
SET LOCAL search_path TO DEFAULT;
