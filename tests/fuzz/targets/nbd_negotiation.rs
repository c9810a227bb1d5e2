//! What a client sends over NBD: negotiation.

#![no_main]
#![forbid(unsafe_code)]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| targets::fuzzing::negotiation(bytes));
