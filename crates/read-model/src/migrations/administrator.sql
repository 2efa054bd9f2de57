-- Creates the roles that the connections of dbt-api take, and grants them to the owner of its database, who must inherit from them. Run this as
-- a superuser, or as a user who may create roles and grant these.
DO $$
DECLARE
    role_name text;
    options text := CASE WHEN current_setting('server_version_num')::integer >= 160000 THEN ' WITH INHERIT TRUE, SET TRUE' ELSE '' END;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['dbt_api_projector', 'dbt_api_reader', 'dbt_api_ingest', 'dbt_api_operator'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', role_name);
        END IF;
        EXECUTE format('GRANT %I TO %I', role_name, OWNER) || options;
    END LOOP;
END
$$;
