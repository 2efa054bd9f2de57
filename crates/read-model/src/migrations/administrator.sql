-- Creates the roles that the connections of dbt-api take, and allows the owner of its database to take them. Run this as a superuser.
DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['dbt_api_projector', 'dbt_api_reader', 'dbt_api_ingest'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', role_name);
        END IF;
    END LOOP;
END
$$;
GRANT dbt_api_projector, dbt_api_reader, dbt_api_ingest TO OWNER;
