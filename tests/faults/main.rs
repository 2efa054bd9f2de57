//! What is promised when things break, proved by breaking them: the real program, real servers, `kill -9`, wiped data, full disks.
//!
//! `FAULTS_SECONDS` says how long the loops go on (default 15), `FAULTS_EVENTS` how many events the journals have (default 1,500),
//! `SOAK_SECONDS` how long the load lasts (default 20).
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot be set up has failed"
)]

#[path = "../../cli/tests/service/installation.rs"]
#[expect(dead_code, reason = "it is shared with the tests of `service`, which use more of it")]
mod installation;

mod again;
mod clients;
mod events;
mod history;
mod kills;
mod letters;
mod order;
mod parts;
mod prune;
mod rebuild;
mod recover;
mod soak;

/// A number that whoever runs the tests may set.
#[expect(
    clippy::disallowed_methods,
    reason = "tests have no settings; this is how a longer run is asked for"
)]
fn number(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}
