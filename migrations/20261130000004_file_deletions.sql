-- Deletions of files are limited to the environments of the token, as the files are. Unqualified names, so that a rebuild can run the same
-- text for another schema.
SELECT set_config('search_path', coalesce(nullif(current_setting('app.read_model_schema', true), ''), 'read_model'), true);
SET LOCAL ROLE dbt_api_projector;

ALTER POLICY reader ON file_deletions
    USING (account_id = (SELECT directory.current_account())
        AND ((SELECT directory.current_environments()) IS NULL
            OR environment_id = ANY ((SELECT directory.current_environments())::bigint[])));

RESET ROLE;
SET LOCAL search_path TO DEFAULT;
