//! The superblock of a pool.

#![no_main]
#![forbid(unsafe_code)]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| store::fuzzing::superblock(bytes));
