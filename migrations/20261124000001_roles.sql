-- The roles that the service's connections take. They belong to the whole cluster, so they may exist already: another database
-- of the same cluster made them, or an operator whose DB_USER may not create roles.
DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['dbt_api_projector', 'dbt_api_reader', 'dbt_api_ingest'] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', role_name);
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN
                NULL;
        END;
        -- A superuser may take any role; two grants at the same moment, from two databases, would fail each other.
        IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
            EXECUTE format('GRANT %I TO current_user', role_name);
        END IF;
    END LOOP;
END
$$;
