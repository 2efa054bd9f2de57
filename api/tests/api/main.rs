//! The API over a database and a bucket of each test's own.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot be set up has failed"
)]

mod access;
mod downloads;
mod reads;
mod support;
mod unchanged;
