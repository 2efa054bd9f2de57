-- Tokens may end by themselves.
ALTER TABLE directory.tokens ADD COLUMN expires_at timestamptz; -- null: never

CREATE OR REPLACE FUNCTION directory.token_by_key(key_sha256 bytea)
    RETURNS TABLE (id uuid, account_id bigint, environment_id bigint, scopes text[], use_noted boolean)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = directory, pg_temp
AS $$
    SELECT t.id, t.account_id, t.environment_id, t.scopes, coalesce(u.last_used_at > now() - interval '1 minute', false)
    FROM tokens t LEFT JOIN token_use u ON u.token_id = t.id
    WHERE t.key_sha256 = token_by_key.key_sha256 AND (t.expires_at IS NULL OR t.expires_at > now())
$$;
