//! Fuzzes URL queries with the checks of the property tests.
#![no_main]

#[path = "../../crates/edge/tests/queries/check.rs"]
mod query;

libfuzzer_sys::fuzz_target!(|query: &str| query::check(query));
