//! What an initiator sends over SCSI: parameter lists; and reservations that were kept.

#![no_main]
#![forbid(unsafe_code)]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| targets::fuzzing::scsi_parameters(bytes));
