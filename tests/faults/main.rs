//! Tests the promises about failures by causing them: the real program, real servers, `kill -9`, wiped data, full disks.
//!
//! `FAULTS_SECONDS` is how long the loops run (default 15), `FAULTS_EVENTS` the number of events in the journals (default 1,500), and
//! `SOAK_SECONDS` how long the load lasts (default 20).
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failure to set up a test fails the test"
)]

#[path = "../../cli/tests/service/installation.rs"]
#[expect(dead_code, reason = "shared with the tests of `service`, which use more of it")]
mod installation;

mod again;
mod batches;
mod claims;
mod clients;
mod contents;
mod events;
mod history;
mod kills;
mod letters;
mod moments;
mod objects;
mod order;
mod parts;
mod prune;
mod rebuild;
mod recover;
mod roles;
mod sharing;
mod soak;

/// Reads a number from the environment, with a default.
#[expect(
    clippy::disallowed_methods,
    reason = "tests have no settings; longer runs are requested with variables"
)]
fn number(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}
