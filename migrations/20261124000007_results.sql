-- What run results, catalogs and the freshness of sources say. Unqualified names, so that a rebuild can run the same text for another schema.
SELECT set_config('search_path', coalesce(nullif(current_setting('app.read_model_schema', true), ''), 'read_model'), true);
SET LOCAL ROLE dbt_api_projector;

-- A file of results, once per content: run results, or the freshness of sources.
CREATE TABLE result_files (
    account_id     bigint NOT NULL,
    environment_id bigint NOT NULL,
    sha256         bytea NOT NULL,
    which          text,                      -- the dbt command's name, such as build
    command        text,                      -- as it was typed
    elapsed_time   double precision NOT NULL, -- seconds
    failed         boolean NOT NULL,          -- whether any result says that something is wrong
    PRIMARY KEY (account_id, environment_id, sha256)
);

-- What became of a node.
CREATE TABLE node_results (
    account_id     bigint NOT NULL,
    environment_id bigint NOT NULL,
    sha256         bytea NOT NULL,            -- the file's
    place          integer NOT NULL,          -- in the file, from 0
    unique_id      text NOT NULL,
    status         text NOT NULL,             -- in small letters
    executed       boolean NOT NULL,          -- false: it was listed only
    failed         boolean NOT NULL,
    at             timestamptz NOT NULL,      -- when it was completed, never later than the earliest upload of it
    execution_time double precision,          -- seconds
    failures       bigint,
    rows_affected  bigint,
    doc            bytea NOT NULL,            -- the result as JSON in a zstd frame
    PRIMARY KEY (account_id, environment_id, sha256, place)
);
CREATE INDEX ON node_results (account_id, environment_id, unique_id, at, sha256, place) WHERE executed;
ALTER TABLE node_results ALTER COLUMN doc SET STORAGE EXTERNAL; -- it is compressed

-- A table as the warehouse has it, once per content.
CREATE TABLE catalog_nodes (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id bigint NOT NULL,
    hash       bytea NOT NULL,
    unique_id  text NOT NULL,
    doc        bytea NOT NULL,                -- the entry as JSON in a zstd frame
    UNIQUE (account_id, hash)
);
ALTER TABLE catalog_nodes ALTER COLUMN doc SET STORAGE EXTERNAL; -- it is compressed

-- A catalog's content: read once, however often it is uploaded.
CREATE TABLE catalogs (
    account_id bigint NOT NULL,
    sha256     bytea NOT NULL,
    node_ids   bigint[] NOT NULL,             -- in the order of unique_id
    PRIMARY KEY (account_id, sha256)
);

-- For lineage, and for what is looked for without reading the definition.
ALTER TABLE nodes ADD COLUMN depends_on text[] NOT NULL DEFAULT '{}', ADD COLUMN materialized text;

-- The code that the warehouse got for a node, once per content. It is no part of the node: it changes with the target and the time.
CREATE TABLE compiled_codes (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id bigint NOT NULL,
    hash       bytea NOT NULL,
    code       bytea NOT NULL,                -- in a zstd frame
    UNIQUE (account_id, hash)
);
ALTER TABLE compiled_codes ALTER COLUMN code SET STORAGE EXTERNAL; -- it is compressed

-- The compiled codes of a manifest's nodes, each at the place that its node has in node_sets; manifests with the same codes share them.
CREATE TABLE compiled_sets (
    account_id    bigint NOT NULL,
    hash          bytea NOT NULL,
    resource_type text NOT NULL,
    code_ids      bigint[] NOT NULL,          -- null: that node was not compiled
    PRIMARY KEY (account_id, hash, resource_type)
);
ALTER TABLE manifests ADD COLUMN compiled_set bytea; -- null: nothing was compiled

ALTER TABLE run_steps ADD COLUMN which text, ADD COLUMN command text;
ALTER TABLE runs ADD COLUMN kinds text[] NOT NULL DEFAULT '{}'; -- of its files, each once

-- The order that clients ask for: nulls last in both directions, which one index cannot give.
DROP INDEX runs_account_id_job_id_status_finished_at_id_idx, runs_account_id_environment_id_finished_at_id_idx;
CREATE INDEX ON runs (account_id, finished_at DESC NULLS LAST, id DESC);
CREATE INDEX ON runs (account_id, job_id, status, finished_at DESC NULLS LAST, id DESC);
CREATE INDEX ON runs (account_id, job_id, finished_at DESC NULLS LAST, id DESC);
CREATE INDEX ON runs (account_id, job_id, id);
CREATE INDEX ON runs (account_id, environment_id, finished_at DESC NULLS LAST, id DESC);
CREATE INDEX ON runs (account_id, environment_id, id);
CREATE INDEX ON runs (account_id, project_id, finished_at DESC NULLS LAST, id DESC);
CREATE INDEX ON runs (account_id, status, finished_at DESC NULLS LAST, id DESC);

-- How many runs there are, so that totals need no counting.
CREATE TABLE run_counts (
    account_id     bigint NOT NULL,
    project_id     bigint NOT NULL,
    environment_id bigint NOT NULL,
    job_id         bigint NOT NULL,
    status         smallint NOT NULL,
    runs           bigint NOT NULL,
    PRIMARY KEY (account_id, environment_id, job_id, status)
);

CREATE FUNCTION count_runs() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND (OLD.job_id, OLD.status) IS NOT DISTINCT FROM (NEW.job_id, NEW.status) THEN
        RETURN NULL;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        UPDATE run_counts SET runs = runs - 1
        WHERE account_id = OLD.account_id AND environment_id = OLD.environment_id AND job_id = OLD.job_id AND status = OLD.status;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO run_counts AS c (account_id, project_id, environment_id, job_id, status, runs)
        VALUES (NEW.account_id, NEW.project_id, NEW.environment_id, NEW.job_id, NEW.status, 1)
        ON CONFLICT (account_id, environment_id, job_id, status) DO UPDATE SET runs = c.runs + 1;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER count_runs AFTER INSERT OR UPDATE OF job_id, status OR DELETE ON runs FOR EACH ROW EXECUTE FUNCTION count_runs();

-- What was projected before.
INSERT INTO run_counts (account_id, project_id, environment_id, job_id, status, runs)
SELECT account_id, project_id, environment_id, job_id, status, count(*) FROM runs GROUP BY 1, 2, 3, 4, 5;
UPDATE runs r SET kinds = ARRAY(
    SELECT DISTINCT a.kind FROM artifacts a WHERE a.account_id = r.account_id AND a.run_id = r.id ORDER BY 1);

DO $$
DECLARE
    table_name text;
BEGIN
    FOREACH table_name IN ARRAY ARRAY['result_files', 'node_results', 'catalog_nodes', 'catalogs', 'run_counts',
        'compiled_codes', 'compiled_sets'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', table_name);
        EXECUTE format('GRANT SELECT ON %I TO dbt_api_reader', table_name);
    END LOOP;
    FOREACH table_name IN ARRAY ARRAY['result_files', 'node_results', 'run_counts'] LOOP
        EXECUTE format(
            'CREATE POLICY reader ON %I FOR SELECT TO dbt_api_reader
                USING (account_id = (SELECT directory.current_account())
                    AND ((SELECT directory.current_environment()) IS NULL OR environment_id = (SELECT directory.current_environment())))',
            table_name);
    END LOOP;
    FOREACH table_name IN ARRAY ARRAY['catalog_nodes', 'compiled_codes', 'compiled_sets'] LOOP
        EXECUTE format(
            'CREATE POLICY reader ON %I FOR SELECT TO dbt_api_reader USING (account_id = (SELECT directory.current_account()))',
            table_name);
    END LOOP;
END
$$;

-- What a catalog holds is seen by who sees an upload of it.
CREATE POLICY reader ON catalogs FOR SELECT TO dbt_api_reader
    USING (account_id = (SELECT directory.current_account())
        AND EXISTS (SELECT FROM artifacts a WHERE a.account_id = catalogs.account_id AND a.sha256 = catalogs.sha256));

RESET ROLE;
SET LOCAL search_path TO DEFAULT;
