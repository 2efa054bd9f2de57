//! Tests with files that no well-behaved client sends: invented, cut, or stitched together.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot be set up has failed"
)]

mod artifacts;
mod check {
    pub(crate) mod artifact;
}
mod json;
#[path = "../../../../schemas/tests/hostile/mutate.rs"]
mod mutate;
