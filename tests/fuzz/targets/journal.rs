//! A pool's journal, read back and replayed.

#![no_main]
#![forbid(unsafe_code)]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| store::fuzzing::journal(bytes));
