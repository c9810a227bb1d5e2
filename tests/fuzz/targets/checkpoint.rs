//! A checkpoint of a pool's metadata, with the manifests and events in it.

#![no_main]
#![forbid(unsafe_code)]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| store::fuzzing::checkpoint(bytes));
