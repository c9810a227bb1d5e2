//! The head of a chunk of a preserved store.

#![no_main]
#![forbid(unsafe_code)]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| store::fuzzing::chunk_head(bytes));
