-- One state per node: each aspect of it from its own newest source, and what failed told apart. Unqualified names, so that a rebuild can run
-- the same text for another schema.
SELECT set_config('search_path', coalesce(nullif(current_setting('app.read_model_schema', true), ''), 'read_model'), true);
SET LOCAL ROLE dbt_api_projector;

-- How the rows were made: a read model of an earlier format is shown as it is until it is rebuilt.
CREATE TABLE format (
    one     boolean PRIMARY KEY DEFAULT true CHECK (one),
    version integer NOT NULL
);
INSERT INTO format (version) SELECT CASE WHEN EXISTS (SELECT FROM ledger) THEN 1 ELSE 2 END;

-- ---- Files ----

ALTER TABLE artifacts
    ADD COLUMN done_at timestamptz GENERATED ALWAYS AS (coalesce(generated_at, event_time)) STORED NOT NULL, -- when dbt did the work
    ADD COLUMN dbt_project text,                              -- of a manifest: dbt's name of the project; empty: not known
    ADD COLUMN makes_run boolean NOT NULL DEFAULT true;       -- false: a run that is known may have it, but it is no sign of one
UPDATE artifacts a SET dbt_project = coalesce((
    SELECT m.project_name FROM manifests m WHERE m.account_id = a.account_id AND m.sha256 = a.sha256), '')
WHERE a.kind = 'manifest';
UPDATE artifacts SET makes_run = false WHERE tag LIKE 'latest-%';

DROP INDEX artifacts_account_id_environment_id_kind_event_time_event_i_idx, artifacts_account_id_run_id_name_event_time_event_id_place_idx;
CREATE INDEX artifacts_newest ON artifacts (account_id, environment_id, kind, done_at, event_id, place);
CREATE INDEX artifacts_of_run ON artifacts (account_id, run_id, name, done_at, event_id, place);
CREATE INDEX artifacts_of_project ON artifacts (account_id, environment_id, md5(dbt_project), done_at, event_id, place)
    WHERE kind = 'manifest' AND NOT pruned;

ALTER TABLE manifests
    ADD COLUMN start_hooks text[] NOT NULL DEFAULT '{}', -- the hooks that dbt runs before the nodes, by dbt's ids
    ADD COLUMN end_hooks text[] NOT NULL DEFAULT '{}',   -- those that it runs after them, even after failures
    ADD COLUMN checks_freshness boolean NOT NULL DEFAULT false, -- a source in it says how old it may be
    ADD COLUMN has_traces boolean NOT NULL DEFAULT true, -- its command has compiled or run a node
    ADD COLUMN macro_set bytea;                          -- the macros that its nodes call, as compiled_set; null: none

-- ---- Definitions ----

ALTER TABLE nodes
    ADD COLUMN format smallint NOT NULL DEFAULT 1, -- the rule by which the hash was made
    ADD COLUMN folded_name text,                   -- the name in letters of one case, whatever the alphabet
    ADD COLUMN attached_node text;                 -- of a test: the node that it is about, as dbt says it
UPDATE nodes SET folded_name = lower(name);
ALTER TABLE nodes ALTER COLUMN format DROP DEFAULT;
-- By md5, as for files: only functions that leak nothing are used before row-level security has had its say.
CREATE INDEX nodes_of_id ON nodes (account_id, md5(unique_id));

-- Texts that belong to the nodes of a manifest and change with every command: compiled code, and the macros that are called.
ALTER TABLE compiled_codes RENAME TO texts;
ALTER TABLE texts RENAME COLUMN code TO text;
ALTER TABLE compiled_sets RENAME TO text_sets;
ALTER TABLE text_sets RENAME COLUMN code_ids TO text_ids;

-- Which nodes stand in an environment, or in a run, where that is not simply what the newest manifest holds: several dbt projects side by
-- side, or one that was retired.
CREATE TABLE current_node_sets (
    account_id     bigint NOT NULL,
    environment_id bigint NOT NULL,
    run_id         bigint NOT NULL, -- 0: the environment as a whole
    hash           bytea,           -- as node_sets has it; null: no nodes
    spare          bytea,           -- the one before, which comes back where two projects are uploaded in turn
    PRIMARY KEY (environment_id, run_id)
);
CREATE INDEX ON current_node_sets (account_id, spare);
CREATE INDEX ON current_node_sets (account_id, hash);

-- The dbt projects that an operator took out of an environment. What was generated later counts again.
CREATE TABLE retired_projects (
    account_id     bigint NOT NULL,
    environment_id bigint NOT NULL,
    dbt_project    text NOT NULL,
    retired_at     timestamptz NOT NULL
);
CREATE UNIQUE INDEX ON retired_projects (environment_id, md5(dbt_project));

-- ---- Results ----

ALTER TABLE result_files
    ADD COLUMN kind text NOT NULL DEFAULT 'run_results',
    ADD COLUMN command_key bytea,                            -- the same for the same command, selection, macro and arguments
    ADD COLUMN is_limited boolean NOT NULL DEFAULT false,    -- built with --empty or --sample
    ADD COLUMN is_empty boolean NOT NULL DEFAULT false,      -- it lists nothing
    ADD COLUMN touches_nodes boolean NOT NULL DEFAULT false, -- something was attempted at a node of the manifest
    ADD COLUMN failed_outside boolean NOT NULL DEFAULT false, -- something failed that is no node and no check of freshness
    ADD COLUMN failed_hook boolean NOT NULL DEFAULT false,
    ADD COLUMN hooks text[] NOT NULL DEFAULT '{}',           -- those that it lists, by dbt's ids
    ADD COLUMN leaves_traces boolean NOT NULL DEFAULT false; -- it lists work that the manifest of its invocation must show

ALTER TABLE node_results RENAME COLUMN executed TO is_attempt;
ALTER TABLE node_results
    ADD COLUMN has_passed boolean NOT NULL DEFAULT true,     -- the attempt, or the check of freshness, went well
    ADD COLUMN is_success boolean NOT NULL DEFAULT true,     -- and what it made is what the node is for
    ADD COLUMN is_freshness boolean NOT NULL DEFAULT false,
    ADD COLUMN failure smallint NOT NULL DEFAULT 0;          -- 1 of a node, 2 outside nodes, 3 of freshness; 0 none

-- What was projected before, as far as its rows say. Most are successes, which the defaults suit.
UPDATE node_results r SET
    is_freshness = coalesce(f.which = 'source freshness', false),
    is_attempt = (r.is_attempt AND f.which IS DISTINCT FROM 'source freshness')
        OR (r.status IN ('skipped', 'no-op', 'reused') AND f.which IN ('run', 'build', 'test', 'seed', 'snapshot', 'retry', 'clone')),
    has_passed = r.is_attempt AND NOT r.failed AND r.status IN ('success', 'pass', 'warn'),
    is_success = r.is_attempt AND NOT r.failed AND r.status IN ('success', 'pass', 'warn'),
    failure = CASE WHEN NOT r.failed THEN 0 WHEN f.which = 'source freshness' THEN 3
        WHEN r.is_attempt AND r.unique_id !~ '^(operation|macro|sql_operation)\.' THEN 1 ELSE 2 END
FROM result_files f
WHERE f.account_id = r.account_id AND f.environment_id = r.environment_id AND f.sha256 = r.sha256
    AND (r.failed OR r.status NOT IN ('success', 'pass') OR f.which = 'source freshness');
ALTER TABLE node_results ALTER COLUMN has_passed DROP DEFAULT, ALTER COLUMN is_success DROP DEFAULT;
UPDATE result_files f SET
    kind = CASE WHEN which = 'source freshness' THEN 'sources' ELSE 'run_results' END,
    which = CASE WHEN which = 'source freshness' THEN 'freshness' ELSE which END,
    (is_empty, touches_nodes, failed_outside, failed_hook) = (
        SELECT count(*) = 0, coalesce(bool_or(r.is_attempt AND r.unique_id !~ '^(operation|macro|sql_operation)\.'), false),
            coalesce(bool_or(r.failure = 2), false), coalesce(bool_or(r.failure = 2 AND r.is_attempt AND r.unique_id ~ '^operation\.'), false)
        FROM node_results r WHERE r.account_id = f.account_id AND r.environment_id = f.environment_id AND r.sha256 = f.sha256);
DROP INDEX node_results_account_id_environment_id_hashtextextended_at__idx;
ALTER TABLE node_results DROP COLUMN failed;
-- The last attempt is the later of the last success and the last that was none, so that one index finds both.
CREATE INDEX node_results_attempts ON node_results (account_id, environment_id, md5(unique_id), is_success, at) WHERE is_attempt;
CREATE INDEX node_results_freshness ON node_results (account_id, environment_id, md5(unique_id), at) WHERE is_freshness;

-- ---- Runs and steps ----

ALTER TABLE run_steps
    ADD COLUMN command_key bytea,
    ADD COLUMN touches_nodes boolean NOT NULL DEFAULT false,
    ADD COLUMN failed_outside boolean NOT NULL DEFAULT false,
    ADD COLUMN failed_hook boolean NOT NULL DEFAULT false;
-- Whether others may defer to its manifest. 1: its work on nodes went well, or nothing is known of its commands but that they went well;
-- 2: its commands went well and did no work on nodes, as docs generate; 3: no.
ALTER TABLE runs ADD COLUMN deferral_rank smallint NOT NULL DEFAULT 3;
UPDATE runs SET deferral_rank = CASE WHEN status = 10 THEN 1 ELSE 3 END;
UPDATE run_steps s SET touches_nodes = EXISTS (
    SELECT FROM artifacts a JOIN result_files f
        ON f.account_id = a.account_id AND f.environment_id = a.environment_id AND f.sha256 = a.sha256
    WHERE a.step_id = s.id AND a.account_id = s.account_id AND f.touches_nodes);
DROP INDEX run_steps_account_id_run_id_created_at_id_idx;
CREATE INDEX run_steps_of_run ON run_steps (account_id, run_id, started_at, id);

-- ---- Compiled code and catalogs: the newest source of each node ----

-- The tables of a catalog; catalogs with the same tables share them.
CREATE TABLE catalog_sets (
    account_id bigint NOT NULL,
    hash       bytea NOT NULL,    -- SHA-256 of the hashes of all tables in the order of unique_id
    node_ids   bigint[] NOT NULL, -- in the same order
    PRIMARY KEY (account_id, hash)
);
ALTER TABLE catalogs ADD COLUMN catalog_set bytea, ADD COLUMN has_errors boolean NOT NULL DEFAULT false;
INSERT INTO catalog_sets (account_id, hash, node_ids)
    SELECT account_id, sha256, node_ids FROM catalogs;
UPDATE catalogs SET catalog_set = sha256;
ALTER TABLE catalogs ALTER COLUMN catalog_set SET NOT NULL, DROP COLUMN node_ids;
CREATE INDEX catalog_nodes_of_id ON catalog_nodes (account_id, md5(unique_id));

-- What was uploaded to an environment, and when last: pairs of a manifest's nodes and compiled codes, or the tables of a catalog.
CREATE TABLE aspect_sets (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id     bigint NOT NULL,
    environment_id bigint NOT NULL,
    aspect         text NOT NULL,        -- compiled_code or catalog
    dbt_project    text NOT NULL,        -- of a manifest
    node_set       bytea NOT NULL,       -- of a manifest; empty for a catalog
    content_set    bytea NOT NULL,       -- as text_sets or catalog_sets has it
    done_at        timestamptz NOT NULL, -- of its newest upload, as the next two
    event_id       uuid NOT NULL,
    place          integer NOT NULL
);
CREATE UNIQUE INDEX aspect_sets_key ON aspect_sets (environment_id, aspect, md5(dbt_project), node_set, content_set);
CREATE INDEX aspect_sets_newest ON aspect_sets (environment_id, aspect, done_at, event_id, place);

-- For each node, what the newest of these sets that has it says.
CREATE TABLE aspect_heads (
    account_id     bigint NOT NULL,
    environment_id bigint NOT NULL,
    aspect         text NOT NULL,
    node_md5       uuid NOT NULL,   -- of the unique_id, which may be longer than an index takes
    content_id     bigint NOT NULL, -- in texts or catalog_nodes
    pointed_at     timestamptz NOT NULL, -- the time of the set that said it first: no older one is the newest
    PRIMARY KEY (environment_id, aspect, node_md5)
);

-- What each set has, node by node.
CREATE VIEW aspect_members WITH (security_invoker) AS
SELECT s.account_id, 'compiled_code' AS aspect, s.hash AS node_set, k.hash AS content_set, md5(n.unique_id)::uuid AS node_md5,
    t.text_id AS content_id, s.resource_type, t.place -- where it stands, since one manifest may have an id twice
FROM node_sets s JOIN text_sets k ON k.account_id = s.account_id AND k.resource_type = s.resource_type
    CROSS JOIN LATERAL unnest(s.node_ids, k.text_ids) WITH ORDINALITY AS t (node_id, text_id, place)
    JOIN nodes n ON n.id = t.node_id
WHERE t.text_id IS NOT NULL
UNION ALL
SELECT c.account_id, 'catalog', ''::bytea, c.hash, md5(n.unique_id)::uuid, n.id, '', u.place
FROM catalog_sets c CROSS JOIN LATERAL unnest(c.node_ids) WITH ORDINALITY AS u (id, place) JOIN catalog_nodes n ON n.id = u.id;

DO $$
BEGIN
    ALTER TABLE catalog_sets ALTER COLUMN node_ids SET COMPRESSION lz4;
EXCEPTION
    WHEN feature_not_supported THEN NULL; -- a PostgreSQL that was built without lz4
END
$$;

DO $$
DECLARE
    table_name text;
BEGIN
    ALTER TABLE aspect_sets ENABLE ROW LEVEL SECURITY; -- for the projector alone
    FOREACH table_name IN ARRAY ARRAY['current_node_sets', 'retired_projects', 'catalog_sets', 'aspect_heads'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', table_name);
        EXECUTE format('GRANT SELECT ON %I TO dbt_api_reader', table_name);
    END LOOP;
    FOREACH table_name IN ARRAY ARRAY['current_node_sets', 'retired_projects', 'aspect_heads'] LOOP
        EXECUTE format(
            'CREATE POLICY reader ON %I FOR SELECT TO dbt_api_reader
                USING (account_id = (SELECT directory.current_account())
                    AND ((SELECT directory.current_environments()) IS NULL
                        OR environment_id = ANY ((SELECT directory.current_environments())::bigint[])))',
            table_name);
    END LOOP;
    EXECUTE 'CREATE POLICY reader ON catalog_sets FOR SELECT TO dbt_api_reader USING (account_id = (SELECT directory.current_account()))';
END
$$;

RESET ROLE;
SET LOCAL search_path TO DEFAULT;
