-- Where the warehouses of projects are, as operators say. Part of the directory, like projects, which it is not joined with: events may be
-- applied in any order.
CREATE TABLE directory.connections (
    project_id bigint PRIMARY KEY,
    account_id bigint NOT NULL,
    details    jsonb NOT NULL,       -- the keys that have a value
    updated_at timestamptz NOT NULL, -- of the newest event
    event_id   uuid NOT NULL         -- that event
);
CREATE INDEX ON directory.connections (account_id);

ALTER TABLE directory.connections ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE, DELETE ON directory.connections TO dbt_api_projector;
GRANT SELECT ON directory.connections TO dbt_api_reader;
CREATE POLICY projector ON directory.connections TO dbt_api_projector USING (true);
CREATE POLICY reader ON directory.connections FOR SELECT TO dbt_api_reader
    USING (account_id = (SELECT directory.current_account())
        AND ((SELECT directory.current_environments()) IS NULL
            OR project_id IN (SELECT e.project_id FROM directory.environments e)));
