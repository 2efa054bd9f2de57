//! Fuzzes selections of nodes with the checks of the property tests.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| discovery::hostile::selection(text));
