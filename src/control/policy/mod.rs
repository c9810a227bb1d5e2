//! Protection by policy: when marks are taken, which of them stay, and what there will be at a date.
//!
//! `schedule`, `keep`, `planner` and `preview` are pure: values in, values out.

pub mod keep;
pub mod planner;
pub mod preview;
pub mod rules;
pub mod schedule;
