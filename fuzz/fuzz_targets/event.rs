//! Fuzzes events in the form of the journal and the stream with the checks of the property tests.
#![no_main]

#[path = "../../schemas/tests/hostile/check/event.rs"]
mod event;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| event::check(bytes));
