//! Tests with events that no well-behaved client sends: invented, cut, or stitched together.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot be set up has failed"
)]

mod check {
    pub(crate) mod event;
}
mod events;
mod mutate;
