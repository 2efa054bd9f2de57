-- Which version of an account's data is the present one, so that those who ask again need not be told again. Part of the directory, since a
-- key's account has it before it is known who asks.
CREATE TABLE directory.account_versions (
    account_id bigint PRIMARY KEY,
    version    uuid NOT NULL -- another after each change
) WITH (fillfactor = 50);
GRANT SELECT, INSERT, UPDATE ON directory.account_versions TO dbt_api_projector;

-- In PL/pgSQL, which keeps the plan of its statement; SQL makes one for each call.
DROP FUNCTION directory.token_by_key(bytea);
CREATE FUNCTION directory.token_by_key(key bytea)
    RETURNS TABLE (id uuid, account_id bigint, environment_id bigint, scopes text[], use_noted boolean, account_version uuid)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = directory, pg_temp
AS $$
BEGIN
    -- The tokens of an account that is not in use are refused. An account that is not there yet has events that come late.
    RETURN QUERY
        SELECT t.id, t.account_id, t.environment_id, t.scopes,
            coalesce(u.last_used_at > now() - interval '1 minute', false), v.version
        FROM tokens t
            LEFT JOIN token_use u ON u.token_id = t.id
            LEFT JOIN account_versions v ON v.account_id = t.account_id
        WHERE t.key_sha256 = key AND (t.expires_at IS NULL OR t.expires_at > now())
            AND NOT EXISTS (SELECT FROM accounts a WHERE a.id = t.account_id AND a.state <> 'active');
END
$$;
REVOKE ALL ON FUNCTION directory.token_by_key FROM PUBLIC;
GRANT EXECUTE ON FUNCTION directory.token_by_key TO dbt_api_reader, dbt_api_ingest, dbt_api_projector;
