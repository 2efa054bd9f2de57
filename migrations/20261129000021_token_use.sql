-- Recording the use of a token makes nobody wait. Before, all requests that came at the begin of a minute locked the row of their token one
-- after the other, and each held it until its commit was on the disk.
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
        INSERT INTO token_use AS u (token_id, last_used_at) SELECT id, now() FROM tokens WHERE id = token
        ON CONFLICT (token_id) DO UPDATE SET last_used_at = now() WHERE u.last_used_at < now() - interval '1 minute';
    END IF;
END
$$;
