-- What was removed because it is old. Unqualified names, so that a rebuild can run the same text for another schema.
SELECT set_config('search_path', coalesce(nullif(current_setting('app.read_model_schema', true), ''), 'read_model'), true);
SET LOCAL ROLE dbt_api_projector;

-- The uploads that an event of retention names, whether they were applied before it or come after it.
CREATE TABLE pruned_uploads (
    event_id   uuid PRIMARY KEY, -- the upload's
    account_id bigint NOT NULL
);
CREATE INDEX ON pruned_uploads (account_id);

-- The files of a pruned upload are forgotten but for what they tell of other files: which run is of which DAG, and which invocation is
-- of which run. So the others stay where they are, whatever the order of the events.
ALTER TABLE artifacts ADD COLUMN pruned boolean NOT NULL DEFAULT false;
DROP POLICY reader ON artifacts;
CREATE POLICY reader ON artifacts FOR SELECT TO dbt_api_reader
    USING (account_id = (SELECT directory.current_account())
        AND ((SELECT directory.current_environment()) IS NULL OR environment_id = (SELECT directory.current_environment()))
        AND NOT pruned);

-- How often something of an account was removed. Who looked before, and finds another number later, has to look again.
CREATE TABLE removals (
    account_id bigint PRIMARY KEY,
    count      bigint NOT NULL
);

-- An operator gave the event up for good. It stays here, so that nobody tries it again.
ALTER TABLE dead_letters ADD COLUMN dropped_at timestamptz;

RESET ROLE;
SET LOCAL search_path TO DEFAULT;
