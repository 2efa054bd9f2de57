-- Who may do what where. A view of the events under events/directory/ of the bucket.
--
-- No foreign keys and no unique slugs: events may be applied in any order, so that for a moment an environment can be there
-- before its account. What may be recorded is checked before the event is made.
CREATE SCHEMA directory;

CREATE TABLE directory.accounts (
    id         bigint PRIMARY KEY,
    name       text NOT NULL,
    slug       text,
    state      text NOT NULL,
    created_at timestamptz NOT NULL, -- of the earliest event
    updated_at timestamptz NOT NULL, -- of the event that tells the present state
    event_id   uuid NOT NULL         -- that event
);

CREATE TABLE directory.projects (
    id         bigint PRIMARY KEY,
    account_id bigint NOT NULL,
    name       text NOT NULL,
    slug       text NOT NULL,
    state      text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    event_id   uuid NOT NULL
);
CREATE INDEX ON directory.projects (account_id, id);

CREATE TABLE directory.environments (
    id               bigint PRIMARY KEY,
    account_id       bigint NOT NULL,
    project_id       bigint NOT NULL,
    name             text NOT NULL,
    slug             text NOT NULL,
    environment_type text NOT NULL,
    state            text NOT NULL,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    event_id         uuid NOT NULL
);
CREATE INDEX ON directory.environments (account_id, slug);
CREATE INDEX ON directory.environments (account_id, id);

CREATE TABLE directory.tokens (
    id             uuid PRIMARY KEY,
    account_id     bigint NOT NULL,
    name           text NOT NULL,
    key_sha256     bytea NOT NULL UNIQUE,
    scopes         text[] NOT NULL,
    environment_id bigint,           -- the only one it sees; null: all of the account
    issued_at      timestamptz NOT NULL
);
CREATE INDEX ON directory.tokens (account_id);

-- Tokens that were deleted: a late event must not bring one back.
CREATE TABLE directory.revocations (
    token_id   uuid PRIMARY KEY,
    account_id bigint NOT NULL,
    revoked_at timestamptz NOT NULL
);

CREATE TABLE directory.token_use (
    token_id     uuid PRIMARY KEY,
    last_used_at timestamptz NOT NULL
);

-- The events that were applied.
CREATE TABLE directory.ledger (
    event_id   uuid PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT now()
);

GRANT USAGE ON SCHEMA directory TO dbt_api_projector, dbt_api_reader, dbt_api_ingest;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA directory TO dbt_api_projector;
GRANT SELECT ON directory.accounts, directory.projects, directory.environments TO dbt_api_reader, dbt_api_ingest;
GRANT SELECT ON directory.tokens TO dbt_api_ingest;

-- The two ways past row-level security: finding a token by its key, before which no account is known, and noting that it was used.
CREATE FUNCTION directory.token_by_key(key_sha256 bytea)
    RETURNS TABLE (id uuid, account_id bigint, environment_id bigint, scopes text[], use_noted boolean)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = directory, pg_temp
AS $$
    SELECT t.id, t.account_id, t.environment_id, t.scopes, coalesce(u.last_used_at > now() - interval '1 minute', false)
    FROM tokens t LEFT JOIN token_use u ON u.token_id = t.id
    WHERE t.key_sha256 = token_by_key.key_sha256
$$;

-- A minute's resolution, so that not each request writes.
CREATE FUNCTION directory.note_token_use(token uuid)
    RETURNS void
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = directory, pg_temp
AS $$
    INSERT INTO token_use AS u (token_id, last_used_at) SELECT id, now() FROM tokens WHERE id = token
    ON CONFLICT (token_id) DO UPDATE SET last_used_at = now() WHERE u.last_used_at < now() - interval '1 minute'
$$;

REVOKE ALL ON FUNCTION directory.token_by_key, directory.note_token_use FROM PUBLIC;
GRANT EXECUTE ON FUNCTION directory.token_by_key, directory.note_token_use
    TO dbt_api_reader, dbt_api_ingest, dbt_api_projector;
