-- Tokens for operators. They have a table of their own, which neither processes of earlier versions nor what looks up keys for reads and uploads
-- know: such a token is nowhere mistaken for one of an account.
CREATE TABLE directory.operator_tokens (
    id         uuid PRIMARY KEY,
    name       text NOT NULL,
    key_sha256 bytea NOT NULL UNIQUE,
    issued_at  timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);

-- A token for operators has no account.
ALTER TABLE directory.revocations ALTER COLUMN account_id DROP NOT NULL;

CREATE FUNCTION directory.operator_by_key(key bytea)
    RETURNS TABLE (id uuid, name text, expires_at timestamptz, use_noted boolean)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = directory, pg_temp
AS $$
BEGIN
    RETURN QUERY
        SELECT t.id, t.name, t.expires_at, coalesce(u.last_used_at > now() - interval '1 minute', false)
        FROM operator_tokens t LEFT JOIN token_use u ON u.token_id = t.id
        WHERE t.key_sha256 = key AND t.expires_at > now();
END
$$;

CREATE OR REPLACE FUNCTION directory.note_token_use(token uuid)
    RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = directory, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM token_use u WHERE u.token_id = token AND u.last_used_at >= now() - interval '1 minute') THEN
        RETURN;
    END IF;
    -- Whoever has the lock is recording the same.
    IF pg_try_advisory_xact_lock(hashtextextended('dbt-api token use ' || token::text, 0)) THEN
        INSERT INTO token_use AS u (token_id, last_used_at)
        SELECT id, now() FROM (SELECT id FROM tokens WHERE id = token UNION ALL SELECT id FROM operator_tokens WHERE id = token) t
        ON CONFLICT (token_id) DO UPDATE SET last_used_at = now() WHERE u.last_used_at < now() - interval '1 minute';
    END IF;
END
$$;

REVOKE ALL ON FUNCTION directory.operator_by_key FROM PUBLIC;
GRANT EXECUTE ON FUNCTION directory.operator_by_key TO dbt_api_reader, dbt_api_ingest;

ALTER TABLE directory.operator_tokens ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE, DELETE ON directory.operator_tokens TO dbt_api_projector;
CREATE POLICY projector ON directory.operator_tokens TO dbt_api_projector USING (true);
GRANT SELECT ON directory.operator_tokens TO dbt_api_ingest;
CREATE POLICY ingest ON directory.operator_tokens FOR SELECT TO dbt_api_ingest USING (true);

-- What the pages for operators show of the directory: all accounts, but no hashes of keys.
GRANT USAGE ON SCHEMA directory TO dbt_api_operator;
GRANT SELECT ON directory.accounts, directory.projects, directory.environments, directory.token_use, directory.observed, directory.ledger
    TO dbt_api_operator;
GRANT SELECT (id, account_id, name, scopes, environment_id, issued_at, expires_at) ON directory.tokens TO dbt_api_operator;
GRANT SELECT (id, name, issued_at, expires_at) ON directory.operator_tokens TO dbt_api_operator;
CREATE POLICY operator ON directory.accounts FOR SELECT TO dbt_api_operator USING (true);
CREATE POLICY operator ON directory.projects FOR SELECT TO dbt_api_operator USING (true);
CREATE POLICY operator ON directory.environments FOR SELECT TO dbt_api_operator USING (true);
CREATE POLICY operator ON directory.token_use FOR SELECT TO dbt_api_operator USING (true);
CREATE POLICY operator ON directory.tokens FOR SELECT TO dbt_api_operator USING (true);
CREATE POLICY operator ON directory.operator_tokens FOR SELECT TO dbt_api_operator USING (true);
