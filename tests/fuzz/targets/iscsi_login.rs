//! What an initiator sends over iSCSI: logins.

#![no_main]
#![forbid(unsafe_code)]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| targets::fuzzing::iscsi_login(bytes));
