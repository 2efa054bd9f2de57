//! Fuzzes GraphQL queries with the checks of the property tests.
#![no_main]

#[path = "../../crates/discovery/tests/hostile/check/document.rs"]
mod document;

libfuzzer_sys::fuzz_target!(|text: &str| document::check(text));
