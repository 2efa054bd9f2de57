-- Processes that accept uploads compare how many events of the directory are applied with what they know: a database that is being recovered
-- does not have all tokens yet.
GRANT SELECT ON directory.ledger TO dbt_api_ingest;
