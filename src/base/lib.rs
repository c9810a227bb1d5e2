//! The ground floor: units, names, codecs, checksums, clocks and chance. Pure values, no I/O, no runtime.

#![forbid(unsafe_code)]

pub mod bitmap;
pub mod checksum;
pub mod clock;
pub mod codec;
pub mod id;
pub mod limits;
pub mod name;
pub mod rng;
pub mod schema;
pub mod size;
pub mod span;
pub mod units;
