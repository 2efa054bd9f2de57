//! Fuzzes uploaded files with the checks of the property tests.
#![no_main]

#[path = "../../crates/artifacts/tests/hostile/check/artifact.rs"]
mod artifact;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| artifact::check(bytes));
