//! Tests of the API. Each has its own database and bucket.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failure to set up a test fails the test"
)]

mod access;
mod downloads;
mod nodes;
mod read_pool;
mod reads;
mod result_tables;
mod support;
mod unchanged;
