//! Tests the bucket, both in a local folder and in S3 over HTTP.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot be set up has failed"
)]

mod artifacts;
mod claims;
mod credentials;
mod journal;
mod layout;
mod leftovers;
mod legacy;
mod outages;
mod parts;
mod refused;
mod revocations;
mod segments;
mod settings;
mod stores;
