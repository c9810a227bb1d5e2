//! What an initiator sends over SCSI: commands and their data.

#![no_main]
#![forbid(unsafe_code)]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| targets::fuzzing::scsi_cdb(bytes));
