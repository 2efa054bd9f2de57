-- Tokens that see several environments, and accounts that are not in use. The read model's part has unqualified names, so that a
-- rebuild can run the same text for another schema; the directory's part is run once.
DO $$
BEGIN
    IF to_regprocedure('directory.current_environments()') IS NOT NULL THEN
        RETURN;
    END IF;

    -- Null: all of the account. One number in `app.environment_id` comes from processes of the version before, while they are replaced.
    CREATE FUNCTION directory.current_environments() RETURNS bigint[] LANGUAGE sql STABLE PARALLEL SAFE
    AS $f$
        SELECT coalesce(nullif(current_setting('app.environment_ids', true), '')::bigint[],
            CASE WHEN directory.current_environment() IS NOT NULL THEN ARRAY[directory.current_environment()] END)
    $f$;
    GRANT EXECUTE ON FUNCTION directory.current_environments TO dbt_api_reader, dbt_api_projector;

    -- The cast keeps PostgreSQL from taking the array for a list of rows.
    ALTER POLICY reader ON directory.environments
        USING (account_id = (SELECT directory.current_account())
            AND ((SELECT directory.current_environments()) IS NULL
                OR id = ANY ((SELECT directory.current_environments())::bigint[])));
    ALTER POLICY reader ON directory.projects
        USING (account_id = (SELECT directory.current_account())
            AND ((SELECT directory.current_environments()) IS NULL
                OR id IN (SELECT e.project_id FROM directory.environments e)));
    ALTER POLICY reader ON ids.jobs
        USING (account_id = (SELECT directory.current_account())
            AND ((SELECT directory.current_environments()) IS NULL
                OR environment_id = ANY ((SELECT directory.current_environments())::bigint[])));
    ALTER POLICY reader ON ids.runs
        USING (account_id = (SELECT directory.current_account())
            AND ((SELECT directory.current_environments()) IS NULL
                OR environment_id = ANY ((SELECT directory.current_environments())::bigint[])));

    -- The tokens of an account that is not in use are refused. An account that is not there yet has events that come late.
    CREATE OR REPLACE FUNCTION directory.token_by_key(key_sha256 bytea)
        RETURNS TABLE (id uuid, account_id bigint, environment_id bigint, scopes text[], use_noted boolean)
        LANGUAGE sql STABLE SECURITY DEFINER SET search_path = directory, pg_temp
    AS $f$
        SELECT t.id, t.account_id, t.environment_id, t.scopes, coalesce(u.last_used_at > now() - interval '1 minute', false)
        FROM tokens t LEFT JOIN token_use u ON u.token_id = t.id
        WHERE t.key_sha256 = token_by_key.key_sha256 AND (t.expires_at IS NULL OR t.expires_at > now())
            AND NOT EXISTS (SELECT FROM accounts a WHERE a.id = t.account_id AND a.state <> 'active')
    $f$;
END
$$;

SELECT set_config('search_path', coalesce(nullif(current_setting('app.read_model_schema', true), ''), 'read_model'), true);
SET LOCAL ROLE dbt_api_projector;

DO $$
DECLARE
    table_name text;
BEGIN
    FOREACH table_name IN ARRAY ARRAY['run_steps', 'jobs', 'runs', 'result_files', 'node_results', 'run_counts', 'files'] LOOP
        EXECUTE format(
            'ALTER POLICY reader ON %I
                USING (account_id = (SELECT directory.current_account())
                    AND ((SELECT directory.current_environments()) IS NULL
                        OR environment_id = ANY ((SELECT directory.current_environments())::bigint[])))',
            table_name);
    END LOOP;
END
$$;
ALTER POLICY reader ON artifacts
    USING (account_id = (SELECT directory.current_account())
        AND ((SELECT directory.current_environments()) IS NULL
            OR environment_id = ANY ((SELECT directory.current_environments())::bigint[]))
        AND NOT pruned);

RESET ROLE;
SET LOCAL search_path TO DEFAULT;
