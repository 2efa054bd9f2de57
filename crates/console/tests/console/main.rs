//! Tests of the console's pages. Each has its own database and bucket.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failure to set up a test fails the test"
)]

mod compare;
mod lineage;
mod node;
mod overview;
mod run;
mod runs;
mod search;
mod support;
