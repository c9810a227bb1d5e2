//! What an initiator sends over iSCSI: PDUs, and what is made of their lengths and digests.

#![no_main]
#![forbid(unsafe_code)]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| targets::fuzzing::iscsi_pdu(bytes));
