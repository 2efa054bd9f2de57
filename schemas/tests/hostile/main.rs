//! Tests with input that no well-behaved client sends: files and events that are invented, cut, or stitched together.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot be set up has failed"
)]

mod artifacts;
mod check {
    pub(crate) mod artifact;
    pub(crate) mod event;
}
mod events;
mod json;
mod mutate;
