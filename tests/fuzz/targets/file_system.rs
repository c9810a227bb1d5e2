//! The start of a disk: file systems and partition tables.

#![no_main]
#![forbid(unsafe_code)]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| kernel_stubs::fuzzing::file_system(bytes));
