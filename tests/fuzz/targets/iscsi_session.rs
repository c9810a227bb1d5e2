//! What an initiator sends over iSCSI: whole sessions, down to the disk.

#![no_main]
#![forbid(unsafe_code)]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| targets::fuzzing::iscsi_session(bytes));
