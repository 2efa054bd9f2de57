-- What operators did, and what their pages show of the read model: how much there is and what waits, but neither code nor texts of users.
-- Unqualified names, so that a rebuild can run the same text for another schema.
SELECT set_config('search_path', coalesce(nullif(current_setting('app.read_model_schema', true), ''), 'read_model'), true);
SET LOCAL ROLE dbt_api_projector;

CREATE TABLE operator_actions (
    event_id   uuid NOT NULL,
    account_id bigint NOT NULL, -- 0: not known
    at         timestamptz NOT NULL,
    operator   uuid NOT NULL,   -- the token
    action     text NOT NULL,   -- token_issued, token_revoked, dead_letter_retried or dead_letter_dropped
    subject    uuid NOT NULL,   -- the token or the event that it was done to
    PRIMARY KEY (event_id, account_id)
);
CREATE INDEX ON operator_actions (at, event_id);
CREATE INDEX ON operator_actions (subject);

DO $$
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO dbt_api_operator', current_schema());
END
$$;
GRANT SELECT ON attempts, dead_letters, format, ledger, operator_actions, watermark TO dbt_api_operator;
GRANT SELECT (event_id, place, account_id, environment_id, event_time, done_at, kind, sha256, size, pruned, run_id) ON artifacts TO dbt_api_operator;
GRANT SELECT (event_id, place, account_id, environment_id, event_time, sha256, size, stored_size) ON files TO dbt_api_operator;
GRANT SELECT (id, account_id, environment_id, status, created_at, updated_at, finished_at) ON runs TO dbt_api_operator;
CREATE POLICY operator ON artifacts FOR SELECT TO dbt_api_operator USING (true);
CREATE POLICY operator ON files FOR SELECT TO dbt_api_operator USING (true);
CREATE POLICY operator ON runs FOR SELECT TO dbt_api_operator USING (true);

RESET ROLE;
SET LOCAL search_path TO DEFAULT;
