//! The whole line through the real program, with PostgreSQL, NATS and a bucket of each test's own.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot be set up has failed"
)]

mod installation;

mod airflow;
mod artifacts_ingest;
mod datacoves;
mod dbt_cloud;
mod errors;
mod files;
mod files_v3;
mod hostile;
mod import;
mod isolation;
mod limits;
mod nodes;
mod outages;
mod results;
mod situations;
mod state;
mod stored_artifacts;
mod tls;
mod tokens;
mod unchanged;
mod uploads;
mod verified;
mod walk;
