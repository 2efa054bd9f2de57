-- The reader sees the account that its transaction names, and of it only the environment that it names, if it names one. Without a
-- setting it sees nothing.
CREATE FUNCTION directory.current_account() RETURNS bigint LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT nullif(current_setting('app.account_id', true), '')::bigint $$;

-- Null: all of the account.
CREATE FUNCTION directory.current_environment() RETURNS bigint LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT nullif(current_setting('app.environment_id', true), '')::bigint $$;

ALTER TABLE directory.accounts ENABLE ROW LEVEL SECURITY;
ALTER TABLE directory.projects ENABLE ROW LEVEL SECURITY;
ALTER TABLE directory.environments ENABLE ROW LEVEL SECURITY;
ALTER TABLE directory.tokens ENABLE ROW LEVEL SECURITY;
ALTER TABLE directory.revocations ENABLE ROW LEVEL SECURITY;
ALTER TABLE directory.token_use ENABLE ROW LEVEL SECURITY;
ALTER TABLE ids.jobs ENABLE ROW LEVEL SECURITY;
ALTER TABLE ids.runs ENABLE ROW LEVEL SECURITY;

CREATE POLICY reader ON directory.accounts FOR SELECT TO dbt_api_reader
    USING (id = (SELECT directory.current_account()));
CREATE POLICY reader ON directory.environments FOR SELECT TO dbt_api_reader
    USING (account_id = (SELECT directory.current_account())
        AND ((SELECT directory.current_environment()) IS NULL OR id = (SELECT directory.current_environment())));
CREATE POLICY reader ON directory.projects FOR SELECT TO dbt_api_reader
    USING (account_id = (SELECT directory.current_account())
        AND ((SELECT directory.current_environment()) IS NULL
            OR id IN (SELECT e.project_id FROM directory.environments e)));
CREATE POLICY reader ON ids.jobs FOR SELECT TO dbt_api_reader
    USING (account_id = (SELECT directory.current_account())
        AND ((SELECT directory.current_environment()) IS NULL OR environment_id = (SELECT directory.current_environment())));
CREATE POLICY reader ON ids.runs FOR SELECT TO dbt_api_reader
    USING (account_id = (SELECT directory.current_account())
        AND ((SELECT directory.current_environment()) IS NULL OR environment_id = (SELECT directory.current_environment())));

-- Ingest places any account's uploads, the projector applies them.
CREATE POLICY ingest ON directory.accounts FOR SELECT TO dbt_api_ingest USING (true);
CREATE POLICY ingest ON directory.projects FOR SELECT TO dbt_api_ingest USING (true);
CREATE POLICY ingest ON directory.environments FOR SELECT TO dbt_api_ingest USING (true);
CREATE POLICY ingest ON directory.tokens FOR SELECT TO dbt_api_ingest USING (true);
CREATE POLICY projector ON directory.accounts TO dbt_api_projector USING (true);
CREATE POLICY projector ON directory.projects TO dbt_api_projector USING (true);
CREATE POLICY projector ON directory.environments TO dbt_api_projector USING (true);
CREATE POLICY projector ON directory.tokens TO dbt_api_projector USING (true);
CREATE POLICY projector ON directory.revocations TO dbt_api_projector USING (true);
CREATE POLICY projector ON directory.token_use TO dbt_api_projector USING (true);
CREATE POLICY projector ON ids.jobs TO dbt_api_projector USING (true);
CREATE POLICY projector ON ids.runs TO dbt_api_projector USING (true);

-- A schema owned by the projector: that role has to be let at the functions of the policies, and at nothing else of this file.
GRANT EXECUTE ON FUNCTION directory.current_account, directory.current_environment TO dbt_api_reader, dbt_api_projector;
