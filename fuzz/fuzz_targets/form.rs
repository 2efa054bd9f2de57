//! Fuzzes the forms of uploads with the checks of the property tests.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ingest::hostile::form(bytes));
