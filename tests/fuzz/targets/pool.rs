//! A whole pool: checkpoint and journal, opened, looked into and read.

#![no_main]
#![forbid(unsafe_code)]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| store::fuzzing::pool(bytes));
