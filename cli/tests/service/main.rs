//! End-to-end tests with the real program. Each test has its own PostgreSQL database, NATS stream and bucket.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failure to set up a test fails the test"
)]

mod installation;

mod airflow;
mod answers;
mod artifacts_ingest;
mod connect;
mod connections;
mod datacoves;
mod dbt_cloud;
mod deleted_tokens;
mod discovery;
mod document;
mod earlier_build;
mod errors;
mod files;
mod files_v3;
mod growth;
mod hostile;
mod import;
mod isolation;
mod journal;
mod limits;
mod nodes;
mod operate;
mod operators;
mod outages;
mod output;
mod partitions;
mod paths;
mod reads;
mod records;
mod refused;
mod refused_details;
mod replicas;
mod results;
mod semantic_layer;
mod situations;
mod state;
mod stored_artifacts;
mod tls;
mod tokens;
mod traces;
mod unchanged;
mod uploads;
mod verified;
mod waiting;
mod walk;
