-- The roles that the service's connections take. They belong to the whole server, so they may exist already: another database of the same
-- server created them, or an administrator, because the owner may not create roles.
DO $$
DECLARE
    role_name text;
    is_superuser boolean := (SELECT rolsuper FROM pg_roles WHERE rolname = current_user);
    -- Since PostgreSQL 16, a member may lack the right to take the role.
    taking text := CASE WHEN current_setting('server_version_num')::integer >= 160000 THEN 'SET' ELSE 'MEMBER' END;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['dbt_api_projector', 'dbt_api_reader', 'dbt_api_ingest', 'dbt_api_operator'] LOOP
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name) THEN
                EXECUTE format('CREATE ROLE %I NOLOGIN', role_name);
            END IF;
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN
                NULL;
            WHEN insufficient_privilege THEN
                RAISE EXCEPTION 'the role "%" does not exist, and the user "%" may not create it', role_name, current_user
                    USING ERRCODE = 'insufficient_privilege';
        END;
        -- A superuser may take any role; two grants at the same moment, from two databases, would fail each other.
        IF NOT is_superuser AND NOT (pg_has_role(current_user, role_name, taking) AND pg_has_role(current_user, role_name, 'USAGE')) THEN
            BEGIN
                EXECUTE format('GRANT %I TO current_user', role_name);
            EXCEPTION
                -- Another database of the same user granted it at the same moment.
                WHEN unique_violation THEN
                    NULL;
                WHEN insufficient_privilege THEN
                    RAISE EXCEPTION 'the user "%" does not have the role "%" with the right to take it and to inherit from it, and may not grant it',
                        current_user, role_name USING ERRCODE = 'insufficient_privilege';
            END;
        END IF;
    END LOOP;
END
$$;
