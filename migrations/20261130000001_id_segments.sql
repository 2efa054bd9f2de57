-- Which numbers were claimed together, by one object in the bucket. A new claim begins after the last of them.
CREATE TABLE ids.segments (
    kind  text NOT NULL CHECK (kind IN ('jobs', 'runs')),
    first bigint NOT NULL,
    last  bigint NOT NULL,
    PRIMARY KEY (kind, first)
);
CREATE INDEX ON ids.segments (kind, last);

-- The numbers so far were claimed one by one.
INSERT INTO ids.segments (kind, first, last)
SELECT 'jobs', 1, max(id) FROM ids.jobs HAVING count(*) > 0
UNION ALL
SELECT 'runs', 1, max(id) FROM ids.runs HAVING count(*) > 0;

ALTER TABLE ids.segments ENABLE ROW LEVEL SECURITY;
CREATE POLICY projector ON ids.segments TO dbt_api_projector USING (true);
GRANT SELECT, INSERT, UPDATE ON ids.segments TO dbt_api_projector;
