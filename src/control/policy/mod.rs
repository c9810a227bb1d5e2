//! Protection by policy: when marks are taken, which of them stay, and what there will be at a date.
//!
//! `schedule`, `keep` and `preview` are pure: values in, values out.

pub mod keep;
pub mod schedule;
