//! Events as the journal and the stream hold them. Its checks are those of the property tests.
#![no_main]

#[path = "../../schemas/tests/hostile/check/event.rs"]
mod event;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| event::check(bytes));
