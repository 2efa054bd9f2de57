-- Every key of what an account has contains the account, so that the tables can be partitioned by it (docs/partitions.sql). It is the last
-- column of each key: rows are still found by what is before it. Unqualified names, so that a rebuild can run the same text for another schema.
SELECT set_config('search_path', coalesce(nullif(current_setting('app.read_model_schema', true), ''), 'read_model'), true);
SET LOCAL ROLE dbt_api_projector;

ALTER TABLE artifacts DROP CONSTRAINT artifacts_pkey, ADD PRIMARY KEY (event_id, place, account_id);
ALTER TABLE files DROP CONSTRAINT files_pkey, ADD PRIMARY KEY (event_id, place, account_id);
ALTER TABLE file_deletions DROP CONSTRAINT file_deletions_pkey, ADD PRIMARY KEY (event_id, account_id);
ALTER TABLE pruned_uploads DROP CONSTRAINT pruned_uploads_pkey, ADD PRIMARY KEY (event_id, account_id);
ALTER TABLE jobs DROP CONSTRAINT jobs_pkey, ADD PRIMARY KEY (id, account_id);
ALTER TABLE runs DROP CONSTRAINT runs_pkey, ADD PRIMARY KEY (id, account_id);
ALTER TABLE airflow_runs DROP CONSTRAINT airflow_runs_pkey, ADD PRIMARY KEY (environment_id, key_sha256, account_id);
ALTER TABLE nodes DROP CONSTRAINT nodes_pkey, ADD PRIMARY KEY (id, account_id);
ALTER TABLE texts DROP CONSTRAINT compiled_codes_pkey, ADD CONSTRAINT texts_pkey PRIMARY KEY (id, account_id);
ALTER TABLE catalog_nodes DROP CONSTRAINT catalog_nodes_pkey, ADD PRIMARY KEY (id, account_id);
ALTER TABLE aspect_sets DROP CONSTRAINT aspect_sets_pkey, ADD PRIMARY KEY (id, account_id);
ALTER TABLE aspect_heads DROP CONSTRAINT aspect_heads_pkey, ADD PRIMARY KEY (environment_id, aspect, node_md5, account_id);
ALTER TABLE current_node_sets DROP CONSTRAINT current_node_sets_pkey, ADD PRIMARY KEY (environment_id, run_id, account_id);

DROP INDEX aspect_sets_key;
CREATE UNIQUE INDEX aspect_sets_key ON aspect_sets (environment_id, aspect, md5(dbt_project), node_set, content_set, account_id);
DROP INDEX retired_projects_environment_id_md5_idx;
CREATE UNIQUE INDEX retired_projects_key ON retired_projects (environment_id, md5(dbt_project), account_id);

-- Events that were applied before have the account 0: they are looked up by their ids alone.
ALTER TABLE ledger ADD COLUMN account_id bigint NOT NULL DEFAULT 0;
ALTER TABLE ledger DROP CONSTRAINT ledger_pkey, ADD PRIMARY KEY (event_id, account_id);
ALTER TABLE ledger ALTER COLUMN account_id DROP DEFAULT;

RESET ROLE;
SET LOCAL search_path TO DEFAULT;
