-- Files that clients store under tags and names. Unqualified names, so that a rebuild can run the same text for another schema.
SELECT set_config('search_path', coalesce(nullif(current_setting('app.read_model_schema', true), ''), 'read_model'), true);
SET LOCAL ROLE dbt_api_projector;

-- A version of a file. The newest of a slug counts, in its environment, unless it was deleted after that by its slug, tag or name.
CREATE TABLE files (
    event_id       uuid NOT NULL,
    place          integer NOT NULL, -- in the event, from 0
    account_id     bigint NOT NULL,
    project_id     bigint NOT NULL,
    environment_id bigint,           -- null: the project's
    event_time     timestamptz NOT NULL,
    slug           uuid NOT NULL,
    tag            text,
    filename       text NOT NULL,
    kind           text NOT NULL,
    sha256         bytea NOT NULL,
    size           bigint NOT NULL,  -- bytes as uploaded
    stored_size    bigint NOT NULL,  -- bytes in the bucket
    PRIMARY KEY (event_id, place)
);
CREATE INDEX ON files (account_id, slug, event_time, event_id, place);
-- Clients choose tags and names, and an index takes some 2,700 bytes at most. By md5, since only functions that are known to leak nothing
-- are used before row-level security has had its say.
CREATE INDEX ON files (account_id, project_id, md5(tag), event_time, event_id, place);
CREATE INDEX ON files (account_id, project_id, md5(filename), event_time, event_id, place);
CREATE INDEX ON files (account_id, project_id, event_time, event_id, place);

-- What was stored before under a slug, a tag or a name is gone. One of the three is told.
CREATE TABLE file_deletions (
    event_id       uuid PRIMARY KEY,
    account_id     bigint NOT NULL,
    project_id     bigint NOT NULL,
    environment_id bigint,           -- null: the project's
    event_time     timestamptz NOT NULL,
    slug           uuid,
    tag            text,
    filename       text,
    CHECK (num_nonnulls(slug, tag, filename) = 1)
);
CREATE INDEX ON file_deletions (account_id, project_id, slug, event_time) WHERE slug IS NOT NULL;
CREATE INDEX ON file_deletions (account_id, project_id, md5(tag), event_time) WHERE tag IS NOT NULL;
CREATE INDEX ON file_deletions (account_id, project_id, md5(filename), event_time) WHERE filename IS NOT NULL;

-- The files that there are now. It sees what the one who asks may see.
CREATE VIEW current_files WITH (security_invoker) AS
SELECT f.* FROM files f
WHERE NOT EXISTS (
        -- In the same environment: while PostgreSQL is away, a client may store what it says is another's.
        SELECT FROM files n WHERE n.account_id = f.account_id AND n.slug = f.slug
            AND n.project_id = f.project_id AND n.environment_id IS NOT DISTINCT FROM f.environment_id
            AND (n.event_time, n.event_id, n.place) > (f.event_time, f.event_id, f.place))
    AND NOT EXISTS (
        SELECT FROM file_deletions d WHERE d.account_id = f.account_id AND d.project_id = f.project_id AND d.slug = f.slug
            AND d.environment_id IS NOT DISTINCT FROM f.environment_id
            AND (d.event_time, d.event_id) > (f.event_time, f.event_id))
    AND NOT EXISTS (
        SELECT FROM file_deletions d WHERE d.account_id = f.account_id AND d.project_id = f.project_id
            AND md5(d.tag) = md5(f.tag) AND d.tag = f.tag AND d.environment_id IS NOT DISTINCT FROM f.environment_id
            AND (d.event_time, d.event_id) > (f.event_time, f.event_id))
    AND NOT EXISTS (
        SELECT FROM file_deletions d WHERE d.account_id = f.account_id AND d.project_id = f.project_id
            AND md5(d.filename) = md5(f.filename) AND d.filename = f.filename
            AND d.environment_id IS NOT DISTINCT FROM f.environment_id
            AND (d.event_time, d.event_id) > (f.event_time, f.event_id));

-- Files without a run id whose tag may begin with one.
CREATE INDEX ON artifacts (environment_id, left(tag, 250) COLLATE "C") WHERE airflow_run_id IS NULL AND tag IS NOT NULL;

ALTER TABLE files ENABLE ROW LEVEL SECURITY;
ALTER TABLE file_deletions ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON files, file_deletions, current_files TO dbt_api_reader, dbt_api_ingest;
CREATE POLICY reader ON files FOR SELECT TO dbt_api_reader
    USING (account_id = (SELECT directory.current_account())
        AND ((SELECT directory.current_environment()) IS NULL OR environment_id = (SELECT directory.current_environment())));
CREATE POLICY reader ON file_deletions FOR SELECT TO dbt_api_reader USING (account_id = (SELECT directory.current_account()));

-- Ingest looks for what shall be replaced or deleted, of any account, and whether its events were applied.
DO $$
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO dbt_api_ingest', current_schema());
END
$$;
CREATE POLICY ingest ON files FOR SELECT TO dbt_api_ingest USING (true);
CREATE POLICY ingest ON file_deletions FOR SELECT TO dbt_api_ingest USING (true);
GRANT SELECT ON ledger TO dbt_api_ingest;

RESET ROLE;
SET LOCAL search_path TO DEFAULT;
