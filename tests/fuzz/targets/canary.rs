//! Not a parser: a fault planted three comparisons deep, which every run must find before it may claim
//! that the other targets have none.

#![no_main]
#![forbid(unsafe_code)]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some(head) = bytes.first_chunk::<8>() else { return };
    if u32::from_le_bytes([head[0], head[1], head[2], head[3]]) == 0x6d64_6974 && head[4] == 7 {
        assert!(bytes.len() % 512 != 13, "the canary sings");
    }
});
